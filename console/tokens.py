"""Token files of the home folder: readable by their owner alone; two halves that meet in one folder become the token."""

from __future__ import annotations

from pathlib import Path


_FIRST, _SECOND, _WHOLE = "first", "second", "token"


def keep_token(home: Path, login: str, secret: str) -> Path:
    """Write a person's token where ``--as`` looks for it; gives the file."""
    return _keep(home, login, _WHOLE, secret)


def keep_first(home: Path, login: str, half: str) -> Path:
    """Write the first half of a person's new token; the token that is there stays until the second half comes."""
    return _keep(home, login, _FIRST, half)


def keep_second(home: Path, login: str, half: str) -> Path:
    """Write the second half of a person's new token, or the whole where the first half lies in the same folder."""
    from sandbox.access import join_halves

    first = home / "tokens" / f"{login}.{_FIRST}"
    if not first.exists():
        return _keep(home, login, _SECOND, half)
    whole = keep_token(home, login, join_halves(first.read_text(encoding="ascii"), half))
    first.unlink()
    return whole


def _keep(home: Path, login: str, ending: str, secret: str) -> Path:
    path = home / "tokens" / f"{login}.{ending}"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(secret, encoding="ascii")
    return path
