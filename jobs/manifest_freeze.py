"""Promotion fixes a job by digest: exactly these bytes run in production, and a reviewer sees what changed (D3)."""

from __future__ import annotations

import difflib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from jobs.manifest_files import plain_files, refuse_hidden, visible
from lineage.errors import DefinitionError


def digest_of(folder: Path) -> str:
    """Give the digest of a job folder: SHA-256 (hex) over its sorted list of (path, SHA-256 of the content).

    Raises:
        DefinitionError: the folder holds links, special files, too much, or text that hides what it says.
    """
    return _digest(_checked(folder))


def freeze(folder: Path, into: Path) -> str:
    """Copy a job folder into ``into/<digest>`` and give the digest.

    What is hashed is what was copied: the files are read once. Freezing the same content again changes nothing.

    Args:
        folder: the job's folder.
        into: an existing folder of frozen jobs, on one file system.

    Raises:
        DefinitionError: as :func:`digest_of`; ``job.frozen-changed`` when the copy there is no longer what its name says.
    """
    files = _checked(folder)
    digest = _digest(files)
    target = into / digest
    if target.exists():
        return _same(target, digest)
    building = Path(tempfile.mkdtemp(prefix=".freezing-", dir=into))
    try:
        for relative, content in files:
            path = building / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o444)
        building.chmod(0o755)
        building.rename(target)
    except OSError:
        shutil.rmtree(building, ignore_errors=True)
        if not target.exists():
            raise
    _sync(into)
    return _same(target, digest)


def diff(old: Path | None, new: Path) -> str:
    """Show what changed between two job folders as a unified diff; ``old`` is None for a first promotion.

    Control characters are shown as escapes, and a file that is no text by its digest, so nothing can paint over the page.
    """
    before = dict(plain_files(old)) if old else {}
    after = dict(plain_files(new))
    parts = [_file_diff(path, before.get(path), after.get(path)) for path in sorted({*before, *after})]
    return "".join(part for part in parts if part)


def _file_diff(path: str, before: bytes | None, after: bytes | None) -> str:
    if before == after:
        return ""
    names = ("/dev/null" if before is None else f"a/{path}", "/dev/null" if after is None else f"b/{path}")
    try:
        old, new = ((content or b"").decode("utf-8") for content in (before, after))
    except UnicodeDecodeError:
        shown = (
            f"sha256:{hashlib.sha256(content).hexdigest()}\n" if content is not None else ""
            for content in (before, after)
        )
        old, new = shown
    lines = list(difflib.unified_diff(_lines(old), _lines(new), *names, lineterm="")) or [
        f"--- {names[0]}",
        f"+++ {names[1]}",
    ]
    return "".join(f"{visible(line)}\n" for line in lines)


def _lines(text: str) -> list[str]:
    """Split at line feeds alone: what else some programs take for a line end must show as an escape."""
    return text.removesuffix("\n").split("\n") if text else []


def _checked(folder: Path) -> tuple[tuple[str, bytes], ...]:
    try:
        files = plain_files(folder)
    except OSError as error:
        raise DefinitionError("job.file-missing", file="job.toml", line=1, path=visible(folder.name)) from error
    if "job.toml" not in {path for path, _ in files}:
        raise DefinitionError("job.file-missing", file="job.toml", line=1, path="job.toml")
    for path, content in files:
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            continue
        refuse_hidden(text, path)
    return files


def _digest(files: tuple[tuple[str, bytes], ...]) -> str:
    whole = hashlib.sha256()
    for path, content in files:
        whole.update(f"{path}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return whole.hexdigest()


def _same(target: Path, digest: str) -> str:
    if _digest(_checked(target)) != digest:
        raise DefinitionError("job.frozen-changed", digest=digest)
    return digest


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
