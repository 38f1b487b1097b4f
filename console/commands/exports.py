"""Exports on the command line: asked for by processors, checked by the gate, decided by people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.door import door


if TYPE_CHECKING:
    from console.door import Door
    from export_gate.exports import Export


def request(
    job: str,
    product: str,
    run: Annotated[str, typer.Option()] = "",
    check: Annotated[bool, typer.Option("--check/--no-check")] = True,
) -> None:
    """Ask to let one product of a promoted job out; the gate makes and checks it at once."""
    from export_gate.exports import get_export
    from export_gate.exports import request as ask

    here = door()
    identity = ask(here.domain, here.session, job, product, run or None)
    if check:
        _check(here, identity)
        return
    with here.domain.read() as connection:
        _give(here, get_export(connection, identity))


def check(export: str) -> None:
    """Make and check the product of an export that waits for it."""
    from export_gate.exports import get_export
    from sandbox.roles import Permission

    here = door()
    # A check may spend the tenant's budget, so it is for its own processors and for the authority.
    if not here.session.can(Permission.EXPORT_APPROVE):
        here.session.check(Permission.EXPORT_REQUEST)
    with here.domain.read() as connection:
        get_export(connection, export, here.session)
    _check(here, export)


def _check(here: Door, identity: str) -> None:
    from export_gate.checking import check_export
    from export_gate.gatekeeper import Gatekeeper
    from export_gate.states import ExportState
    from lineage.errors import GateRefusedError

    found = check_export(Gatekeeper(here.domain, here.jail), identity)
    if found.state is ExportState.REFUSED and not here.as_json:
        from console.showing import reason_text

        raise GateRefusedError("export.refused-by-gate", export=identity, reasons=reason_text(found, here.language))
    _give(here, found)
    if found.state is ExportState.REFUSED:
        raise SystemExit(int(GateRefusedError.exit))


def show(export: str) -> None:
    """Show an export: what the gate found, and the votes you may see."""
    from console.showing import findings_rows
    from export_gate.exports import get_export
    from export_gate.review import visible_reviews

    here = door()
    with here.domain.read() as connection:
        found = get_export(connection, export, here.session)
        votes = visible_reviews(connection, here.session, found)
    if here.as_json:
        here.give({**_summary(here, found), "reviews": [{"decision": v.decision, "reason": v.reason} for v in votes]})
        return
    _give(here, found)
    here.give_rows(["check", "verdict", "reason"], findings_rows(found, here.language))
    if votes:
        here.give_rows(
            ["decision", "reason", "at"], [(here.shown("decision", v.decision), v.reason, v.at) for v in votes]
        )


def inspect(export: str, rows: Annotated[int, typer.Option(min=1, max=1000)] = 50) -> None:
    """Look at what would leave, before deciding on it: the table's first rows, the card, and every file's digest."""
    from console.showing import show_files
    from export_gate.review import inspect as look

    here = door()
    show_files(here, look(here.domain, here.session, export), rows)


def approve(export: str, reason: Annotated[str, typer.Option()], digest: Annotated[str, typer.Option()] = "") -> None:
    """Approve: as one of two reviewers, or as the authority after them; the authority's approval signs the release."""
    _decide(export, reason, digest, agree=True)


def refuse(export: str, reason: Annotated[str, typer.Option()], digest: Annotated[str, typer.Option()] = "") -> None:
    """Refuse with a reason."""
    _decide(export, reason, digest, agree=False)


def _decide(export: str, reason: str, digest: str, *, agree: bool) -> None:
    """Vote or decide by the person's role; without --digest the decision is about the evidence as it is now."""
    from export_gate.exports import get_export
    from export_gate.release import release as sign
    from export_gate.review import Decision, vote
    from export_gate.review import approve as agree_finally
    from export_gate.review import refuse as deny
    from sandbox.roles import Permission

    here = door()
    with here.domain.read() as connection:
        found = get_export(connection, export, here.session)
    seen = digest or found.evidence_digest or ""
    if here.session.can(Permission.EXPORT_APPROVE):
        if agree:
            agree_finally(here.domain, here.session, export, reason=reason, digest=seen)
            sign(here.domain, export)
        else:
            deny(here.domain, here.session, export, reason=reason)
    else:
        decision = Decision.APPROVE if agree else Decision.REFUSE
        vote(here.domain, here.session, export, decision, reason=reason, digest=seen)
    with here.domain.read() as connection:
        _give(here, get_export(connection, export))


def release(export: str) -> None:
    """Finish the release of an approved export, after a crash."""
    from export_gate.exports import get_export
    from export_gate.release import release as sign
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.EXPORT_APPROVE)
    sign(here.domain, export)
    with here.domain.read() as connection:
        _give(here, get_export(connection, export))


def fetch(export: str, into: Annotated[Path, typer.Option()] = Path()) -> None:
    """Fetch a release as its recipient."""
    from export_gate.release import fetch as take

    here = door()
    path = take(here.domain, here.session, export, into)
    here.give({"release": str(path), "zip": str(path.with_suffix(".zip"))})


def list_all() -> None:
    """List exports."""
    from export_gate.exports import list_exports

    here = door()
    with here.domain.read() as connection:
        found = list_exports(connection, here.session)
    here.give_rows(
        ["export", "product", "kind", "state", "verdict"],
        [
            (
                e.id,
                e.product,
                here.shown("product", e.kind),
                here.shown("export", e.state),
                here.shown("verdict", e.verdict),
            )
            for e in found
        ],
    )


def open_tries(scenario: str, reason: Annotated[str, typer.Option()]) -> None:
    """Let a scenario's tables be checked again, when the gate has refused so many that only the authority may."""
    from export_gate.records.tries import open_tries as carry_out

    here = door()
    carry_out(here.domain, here.session, scenario, reason=reason)
    here.give({"scenario": scenario})


def _give(here: Door, found: Export) -> None:
    here.give(_summary(here, found))


def _summary(here: Door, found: Export) -> dict[str, object]:
    released = here.home / "releases" / found.id
    return {
        "export": found.id,
        "product": found.product,
        "kind": here.shown("product", found.kind),
        "state": here.shown("export", found.state.value),
        "verdict": here.shown("verdict", found.verdict),
        "digest": found.evidence_digest,
        "release": str(released) if released.exists() else None,
    }


COMMANDS: Mapping[str, Callable[..., None]] = {
    "request": request,
    "check": check,
    "show": show,
    "inspect": inspect,
    "approve": approve,
    "refuse": refuse,
    "release": release,
    "fetch": fetch,
    "list": list_all,
    "open-tries": open_tries,
}
