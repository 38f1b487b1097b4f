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
    """Show an export: what the gate found, the votes and notes you may see, until when who is to act."""
    from console.showing import findings_rows
    from export_gate.exports import get_export
    from export_gate.notes import visible_notes
    from export_gate.review import visible_reviews

    here = door()
    with here.domain.read() as connection:
        found = get_export(connection, export, here.session)
        votes = visible_reviews(connection, here.session, found)
        notes = visible_notes(connection, here.session, found)
    if here.as_json:
        reviews = [{"round": v.round, "decision": v.decision, "reason": v.reason} for v in votes]
        said = [{"kind": n.kind, "private": n.private, "text": n.text, "at": n.at} for n in notes]
        here.give({**_summary(here, found), "reviews": reviews, "notes": said})
        return
    _give(here, found)
    here.give_rows(["check", "verdict", "reason"], findings_rows(found, here.language))
    if votes:
        rows = [(v.round, here.shown("decision", v.decision), v.reason, v.at) for v in votes]
        here.give_rows(["round", "decision", "reason", "at"], rows)
    if notes:
        here.give_rows(["kind", "note", "at"], [(here.shown("note", n.kind), n.text, n.at) for n in notes])


def inspect(
    export: str,
    rows: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    page: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Look at what would leave, before deciding on it: the first rows, the card, digests; with --page all of it on one page."""
    from console.showing import show_files
    from export_gate.review import inspect as look

    here = door()
    if page is not None:
        _write_page(here, export, page)
        return
    show_files(here, look(here.domain, here.session, export), rows)
    with here.domain.read() as connection:
        from export_gate.exports import get_export

        here.say("export.decide-with", export=export, digest=str(get_export(connection, export).evidence_digest))


def _write_page(here: Door, export: str, target: Path) -> None:
    """Write the evidence page as HTML, or as JSON by the file's name."""
    import json

    from export_gate.page import evidence_page
    from export_gate.page_html import render
    from lineage.errors import DefinitionError

    if target.suffix not in {".html", ".json"}:
        raise DefinitionError("page.unknown-form", file=target.name)
    made = evidence_page(here.domain, here.session, export)
    told = json.dumps(made.json, ensure_ascii=False, indent=2) + "\n"
    written = told if target.suffix == ".json" else render(made, here.language)
    target.write_text(written, encoding="utf-8")
    here.give({"page": str(target), "digest": made.export.evidence_digest})


def approve(export: str, reason: Annotated[str, typer.Option()], digest: Annotated[str, typer.Option()] = "") -> None:
    """Approve what you saw, named by its digest: as one of two reviewers, or as the authority, whose approval signs the release."""
    from lineage.errors import DefinitionError

    here = door()
    # Like HTTP's If-Match: without it a decision would be about whatever lies there by then.
    if not digest:
        from sandbox.roles import Permission

        here.session.check(Permission.EXPORT_INSPECT)
        raise DefinitionError("export.digest-missing", export=export)
    _decide(export, reason, digest, agree=True)


def refuse(export: str, reason: Annotated[str, typer.Option()], digest: Annotated[str, typer.Option()] = "") -> None:
    """Refuse with a reason; without --digest the refusal is about the evidence as it is now, for nothing leaves by it."""
    _decide(export, reason, digest, agree=False)


def return_(export: str, question: Annotated[str, typer.Option()]) -> None:
    """Return an export to its tenant with a question; the votes of this round count no more."""
    from export_gate.notes import return_with_question

    here = door()
    _give(here, return_with_question(here.domain, here.session, export, question))


def answer(export: str, text: Annotated[str, typer.Option()]) -> None:
    """Answer a question as the tenant; everybody votes anew."""
    from export_gate.notes import answer as reply

    here = door()
    _give(here, reply(here.domain, here.session, export, text))


def withdraw(export: str, reason: Annotated[str, typer.Option()]) -> None:
    """Withdraw an export as its tenant, before it is approved."""
    from export_gate.notes import withdraw as take_back

    here = door()
    _give(here, take_back(here.domain, here.session, export, reason=reason))


def comment(
    export: str,
    text: Annotated[str, typer.Option()],
    public: Annotated[bool, typer.Option("--public/--private")] = False,
) -> None:
    """Say something about an export you decide on; with --public its tenant reads it too."""
    from export_gate.notes import comment as say

    here = door()
    say(here.domain, here.session, export, text, private=not public)
    here.give({"export": export, "private": not public})


def revoke(export: str, reason: Annotated[str, typer.Option()]) -> None:
    """Revoke a release: nobody fetches it any more, and the public list of revocations names it."""
    from export_gate.revoking import revoke as carry_out

    here = door()
    _give(here, carry_out(here.domain, here.session, export, reason=reason))


def _decide(export: str, reason: str, digest: str, *, agree: bool) -> None:
    """Vote or decide by the person's role."""
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
    from export_gate.deadlines import standing
    from export_gate.exports import list_exports

    here = door()
    with here.domain.read() as connection:
        found = list_exports(connection, here.session)
    rows = []
    for one in found:
        stands = standing(one, here.domain.now())
        rows.append(
            (
                one.id,
                one.product,
                here.shown("product", one.kind),
                here.shown("export", one.state),
                here.shown("verdict", stands.verdict),
                stands.due,
                stands.late if here.as_json else here.label("label.yes" if stands.late else "label.no"),
            )
        )
    here.give_rows(["export", "product", "kind", "state", "verdict", "due", "late"], rows)


def open_tries(scenario: str, reason: Annotated[str, typer.Option()]) -> None:
    """Let a scenario's tables be checked again, when the gate has refused so many that only the authority may."""
    from export_gate.records.tries import open_tries as carry_out

    here = door()
    carry_out(here.domain, here.session, scenario, reason=reason)
    here.give({"scenario": scenario})


def resume(reason: Annotated[str, typer.Option()]) -> None:
    """Let the gate work again after a restore."""
    from export_gate.resuming import resume as carry_out

    here = door()
    carry_out(here.domain, here.session, reason=reason)
    here.give({"resumed": True})


def _give(here: Door, found: Export) -> None:
    here.give(_summary(here, found))


def _summary(here: Door, found: Export) -> dict[str, object]:
    from export_gate.deadlines import standing

    stands = standing(found, here.domain.now())
    released = here.home / "releases" / found.id
    return {
        "export": found.id,
        "product": found.product,
        "kind": here.shown("product", found.kind),
        "state": here.shown("export", found.state.value),
        "verdict": here.shown("verdict", stands.verdict),
        "digest": found.evidence_digest,
        "owner": here.shown("owner", stands.owner),
        "due": stands.due,
        "late": stands.late,
        "release": str(released) if released.exists() else None,
    }


COMMANDS: Mapping[str, Callable[..., None]] = {
    "request": request,
    "check": check,
    "show": show,
    "inspect": inspect,
    "approve": approve,
    "refuse": refuse,
    "return": return_,
    "answer": answer,
    "withdraw": withdraw,
    "comment": comment,
    "revoke": revoke,
    "release": release,
    "fetch": fetch,
    "list": list_all,
    "open-tries": open_tries,
    "resume": resume,
}
