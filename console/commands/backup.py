"""Backup and restore on the command line (D10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.door import door


if TYPE_CHECKING:
    from lineage.note import Verifier
    from sandbox.backup_checking import Checked


def recipient(public_key: str) -> None:
    """Name the public recovery key to which backups are encrypted from now on."""
    from sandbox.backup import set_recovery_key

    here = door()
    named = set_recovery_key(here.domain, here.session, public_key)
    here.say("done.recovery-key-set")
    here.give({"recovery_key": named.text})


def create(
    folder: Path,
    keys: Annotated[Path | None, typer.Option()] = None,
    without_sealed: Annotated[bool, typer.Option("--without-sealed")] = False,
) -> None:
    """Back the domain up into a new folder, and --keys up to date into another; work goes on meanwhile."""
    from sandbox.backup import create as make

    here = door()
    made = make(here.domain, here.session, folder, keys=keys, sealed=not without_sealed)
    here.say("done.backup-made", files=made.files, left_out=made.left_out)
    if keys is None:
        here.say("done.backup-without-keys")
    here.give(
        {
            "backup": made.manifest.id,
            "folder": str(made.folder),
            "entries": made.manifest.position.size,
            "root": made.manifest.position.root,
            "files": made.files,
            "left_out": made.left_out,
            "parts": len(made.manifest.parts),
            "bytes": sum(part.bytes for part in made.manifest.parts),
            "keys": made.manifest.vault,
        }
    )


def check(
    folder: Path,
    recovery_key: Annotated[Path | None, typer.Option()] = None,
    keys: Annotated[Path | None, typer.Option()] = None,
    public_key: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Check a backup without restoring it; with --recovery-key the inside too, file by file, and the log in it."""
    from lineage.errors import GateRefusedError
    from sandbox.backup_age import Identity
    from sandbox.backup_checking import check as look
    from sandbox.backup_vault import destroyed_names

    here = door()
    verifier = _public_key(public_key) or here.domain.log.signer.verifier
    copies = None
    if keys is not None:
        with here.domain.read() as connection:
            copies = (keys, destroyed_names(connection))
    identity = Identity.load(recovery_key) if recovery_key else None
    found = look(folder, verifier, identity=identity, keys=copies)
    if found.whole:
        here.say("done.backup-holds" if found.opened else "done.backup-holds-outside")
    if found.whole or here.as_json:
        here.give(_told(found))
    if not found.whole:
        if here.as_json:
            raise SystemExit(int(GateRefusedError.exit))
        raise _refusal(found)


def restore(
    folder: Path,
    keys: Annotated[Path, typer.Option()],
    recovery_key: Annotated[Path, typer.Option()],
    public_key: Annotated[Path | None, typer.Option()] = None,
    newest: Annotated[Path | None, typer.Option()] = None,
    database: Annotated[str, typer.Option()] = "",
    first: Annotated[list[str] | None, typer.Option()] = None,
) -> None:
    """Make a backup a domain again in the empty folder that --home names; every token before it ends."""
    from console.tokens import keep_token
    from sandbox.backup_age import Identity
    from sandbox.backup_restore import Sources
    from sandbox.backup_restore import restore as bring_back

    here = door()
    note = _text(newest) if newest else None
    sources = Sources(folder, keys, Identity.load(recovery_key), _public_key(public_key), note)
    made = bring_back(sources, here.home, database=database or None, first=first or ())
    files = {login: str(keep_token(made.home, login, secret)) for login, secret in made.tokens.items()}
    here.say("done.restored", home=str(made.home), entries=made.manifest.position.size, made=made.manifest.made)
    if made.lost is None:
        here.say("done.restored-lost-unknown")
    elif made.lost:
        here.say("done.restored-lost", lost=made.lost)
    if made.ended:
        here.say("done.restored-ended", ended=", ".join(made.ended))
    if made.without_key:
        here.say("done.restored-without-key", grants=", ".join(made.without_key))
    here.give(
        {
            "home": str(made.home),
            "backup": made.manifest.id,
            "made": made.manifest.made,
            "entries": made.manifest.position.size,
            "lost": made.lost,
            "ended": list(made.ended),
            "without_key": list(made.without_key),
            "token_files": files,
        }
    )


def list_backups() -> None:
    """List the backups that the log knows, newest last."""
    from lineage.kinds import Kind
    from sandbox.backup_vault import about_backups
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.BACKUP_MAKE)
    with here.domain.read() as connection:
        made = about_backups(connection, Kind.BACKUP_MADE)
    here.give_rows(
        ["backup", "time", "entries", "place", "keys"],
        [
            (one.payload["backup"], one.time, one.payload["size"], one.payload["place"], one.payload["vault"])
            for one in made
        ],
    )


def _public_key(file: Path | None) -> Verifier | None:
    from sandbox.domain import read_public_keys

    return read_public_keys(_text(file))[0] if file else None


def _text(file: Path) -> str:
    from lineage.errors import MissingPartError

    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise MissingPartError("backup.no-file", file=str(file)) from error


def _told(found: Checked) -> dict[str, object]:
    return {
        "backup": found.manifest.id,
        "whole": found.whole,
        "domain": found.manifest.domain,
        "made": found.manifest.made,
        "entries": found.manifest.position.size,
        "root": found.manifest.position.root,
        "inside": found.opened,
        "log": None if found.log is None else found.log.holds,
        "damaged": list(found.damaged),
        "unknown": list(found.unknown),
        "owed": list(found.owed),
    }


def _refusal(found: Checked) -> Exception:
    from lineage.errors import GateRefusedError

    if found.damaged:
        return GateRefusedError("backup.damaged", part=", ".join(found.damaged))
    if found.log is not None and not found.log.holds:
        return GateRefusedError("backup.log-broken", first=found.log.problems[0].code, problems=len(found.log.problems))
    return GateRefusedError("backup.keys-owed", places=", ".join(found.owed))


COMMANDS: Mapping[str, Callable[..., None]] = {
    "recipient": recipient,
    "create": create,
    "check": check,
    "restore": restore,
    "list": list_backups,
}
