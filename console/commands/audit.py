"""The log on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.door import door


if TYPE_CHECKING:
    from console.door import Door


def list_entries(
    person: Annotated[str, typer.Option()] = "",
    subject: Annotated[str, typer.Option()] = "",
    kind: Annotated[str, typer.Option()] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    start: Annotated[int, typer.Option()] = -1,
) -> None:
    """List entries, newest first, by person, subject or kind."""
    from lineage.audit import Question, entry_json, find
    from lineage.kinds import Kind
    from sandbox.parties import get_person
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.LOG_READ)
    with here.domain.read() as connection:
        identity = get_person(connection, person).id if person else None
        kinds = frozenset(one for one in Kind if kind and one.value.startswith(kind))
        question = Question(person=identity, subject=subject or None, kinds=kinds)
        page = find(connection, question, limit=limit, start=None if start < 0 else start, newest_first=True)
    if here.as_json:
        here.give({"entries": [entry_json(entry) for entry in page.entries], "next": page.next})
        return
    from console.commands.lineages import _names

    names = _names()
    here.give_rows(
        ["entry", "time", "kind", "person", "organisation", "subjects"],
        [
            (
                e.seq,
                e.time,
                e.kind,
                names.get(e.actor.person, e.actor.person),
                names.get(e.actor.organisation, e.actor.organisation),
                e.subjects,
            )
            for e in page.entries
        ],
    )


def verify(against: Annotated[list[Path] | None, typer.Option()] = None) -> None:
    """Verify the whole log, and --against checkpoints that were kept elsewhere; needs no login where the folder can be read."""
    from lineage.errors import GateRefusedError
    from lineage.kinds import Kind
    from lineage.verify import verify as check
    from sandbox.backup_vault import about_backups
    from sandbox.messages import text

    here = door()
    _check_size_is_theirs(here)
    log = here.domain.log
    try:
        witnesses = [
            path.read_text(encoding="utf-8", errors="replace") for path in [log.checkpoint_file, *(against or [])]
        ]
    except OSError as error:
        raise GateRefusedError("audit.checkpoint-missing", file=str(error.filename)) from error
    with here.domain.read() as connection:
        found = check(connection, log.signer.verifier, witnesses)
        restored = [
            {"time": one.time, "backup": one.payload.get("backup", ""), "size": one.payload.get("size", 0)}
            for one in about_backups(connection, Kind.DOMAIN_RESTORED)
        ]
    problems = [
        {"code": p.code, "params": dict(p.params), "text": text(p.code, here.language, **p.params)}
        for p in found.problems
    ]
    for one in restored:
        here.say("audit.restored", **one)
    if here.as_json:
        here.give(
            {"holds": found.holds, "size": found.size, "root": found.root, "problems": problems, "restored": restored}
        )
    elif found.holds:
        here.say("done.log-holds")
        here.give({"size": found.size, "root": found.root})
    if not found.holds:
        if here.as_json:
            raise SystemExit(int(GateRefusedError.exit))
        raise GateRefusedError("audit.log-broken", problems=" ".join(str(one["text"]) for one in problems[:10]))


def prove(seq: int) -> None:
    """Print the proof that an entry is in the log, in the C2SP tlog-proof form."""
    from lineage.proof import prove as make
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.LOG_READ)
    with here.domain.read() as connection:
        proof = make(connection, seq)
    here.give({"proof": proof.text}, shown=proof.text)


def checkpoint() -> None:
    """Print the newest checkpoint, for an auditor to keep elsewhere."""
    from lineage.log import latest_checkpoint

    here = door()
    _check_size_is_theirs(here)
    with here.domain.read() as connection:
        note = latest_checkpoint(connection) or ""
    here.give({"checkpoint": note}, shown=note)


def _check_size_is_theirs(here: Door) -> None:
    """The log's size counts what everybody did: a tenant or provider that acts under a name is not told it (D1).

    Raises:
        NotPermittedError: somebody of a tenant or a provider asks.
    """
    from sandbox.roles import OrganisationKind, Permission

    if here.named and here.session.kind in {OrganisationKind.TENANT, OrganisationKind.PROVIDER}:
        here.session.check(Permission.LOG_READ)


COMMANDS: Mapping[str, Callable[..., None]] = {
    "list": list_entries,
    "verify": verify,
    "prove": prove,
    "checkpoint": checkpoint,
}
