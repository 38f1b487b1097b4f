"""Review: two reviewers blind to each other, then the authority; every decision bound to the evidence seen (E1, D6, law 6).

What two votes lead to and who sees them is in ``rounds``, what is said beside them in ``notes``.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, insert, select

from export_gate.evidence import read_evidence, read_file
from export_gate.exports import Export, folder_of, get_export, move
from export_gate.rounds import REVIEWERS_NEEDED, VOTING, Decision, Review, following, is_open, of_round, voters_before
from export_gate.schema import review
from export_gate.states import EXPORT, ExportState
from jobs.runs import get_job
from lineage.canonical import Json
from lineage.errors import DefinitionError, NotPermittedError
from lineage.kinds import Kind
from lineage.log import Change
from sandbox.access import Session, check_still_active
from sandbox.domain import Domain
from sandbox.requests import check_working
from sandbox.roles import Permission


__all__ = [
    "REVIEWERS_NEEDED",
    "Decision",
    "Review",
    "approve",
    "can_approve",
    "can_review",
    "check_can_approve",
    "check_can_review",
    "check_inspected",
    "check_not_own",
    "check_seen",
    "inspect",
    "record_subjects",
    "refuse",
    "reviews_of",
    "visible_reviews",
    "vote",
]


def inspect(domain: Domain, session: Session, identity: str) -> Mapping[str, bytes]:
    """Give the files that would leave, by name, to somebody who decides on them; the look is on the log (E1, L2).

    Its tenant does not see a product before it is released, whoever asks for it there.

    Raises:
        NotPermittedError: the person decides on no exports, or on this one not: it is their own matter (law 6).
        DefinitionError: the gate has made nothing, or kept it in.
        GateRefusedError: evidence or a file is not what was recorded.
    """
    session.check(Permission.EXPORT_INSPECT)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_export(change.connection, identity)
        check_not_own(change.connection, session, found)
        if found.evidence_digest is None or found.state is ExportState.REFUSED:
            raise DefinitionError("export.nothing-made", export=identity)
        folder = folder_of(domain, identity)
        files = read_evidence(folder, found.evidence_digest)["files"]
        change.record(Kind.EXPORT_INSPECTED, _subjects(change.connection, found), {"evidence": found.evidence_digest})
        return {str(one["name"]): read_file(folder, one) for one in files}


def vote(domain: Domain, session: Session, identity: str, decision: Decision, *, reason: str, digest: str) -> Export:
    """Vote on an export in review; the second vote closes the round. Gives the export as it is then.

    Two approvals pass it to the authority, two refusals refuse it. Where the two disagree, both see both and vote once more.

    Raises:
        NotPermittedError: the person may not, asked for it, or belongs to the tenant (law 6).
        DefinitionError: no reason, not in review, voted already, the evidence is not the one the person saw, they agree to what
            they never looked at, or a third person votes in a consolidation.
    """
    if not reason.strip():
        raise DefinitionError("reason.missing")
    session.check(Permission.EXPORT_REVIEW)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_export(change.connection, identity)
        check_can_review(change.connection, session, found)
        if found.state not in VOTING:
            raise DefinitionError("review.not-open", export=identity, state=f"label.export.{found.state}")
        check_seen(found, digest)
        if decision is Decision.APPROVE:
            check_inspected(domain, change.connection, session, found)
        votes = reviews_of(change.connection, identity)
        _check_turn(votes, found, session)
        told = {"decision": decision.value, "reason": reason}
        values = {"export": identity, "round": found.round, "person": session.person, "evidence_digest": digest}
        change.connection.execute(insert(review).values(**values, **told, at=change.at))
        entry: dict[str, Json] = {**told, "evidence": digest, "round": found.round}
        change.record(Kind.EXPORT_REVIEWED, _subjects(change.connection, found), entry)
        _close(change, found, [*(one.decision for one in of_round(votes, found.round)), decision])
        return get_export(change.connection, identity)


def _check_turn(votes: list[Review], found: Export, session: Session) -> None:
    if any(one.person == session.person for one in of_round(votes, found.round)):
        raise DefinitionError("review.voted-already", export=found.id)
    if found.state is ExportState.CONSOLIDATION and session.person not in voters_before(votes, found):
        raise DefinitionError("review.only-the-two", export=found.id)


def _close(change: Change, found: Export, decisions: list[Decision]) -> None:
    """Move the export on, where the round is full."""
    to = following(found.state, decisions)
    if to is ExportState.CONSOLIDATION and found.state is ExportState.IN_REVIEW:
        move(change, found, to, round=found.round + 1)
    elif to is not found.state:
        move(change, found, to)


def approve(domain: Domain, session: Session, identity: str, *, reason: str, digest: str) -> Export:
    """Approve as the authority, after both reviewers; the release follows from it.

    Where the two stayed divided, the authority's reason is what decides.

    Raises:
        NotPermittedError: the person may not, took part before, or the tenant may not work now (law 6, A8).
        DefinitionError: it is not this step's turn, no reason is given, the evidence is not the one seen, or never looked at.
    """
    if not reason.strip():
        raise DefinitionError("reason.missing")
    session.check(Permission.EXPORT_APPROVE)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_export(change.connection, identity)
        check_can_approve(change.connection, session, found)
        check_working(change, get_job(change.connection, found.job).scenario)
        check_seen(found, digest)
        check_inspected(domain, change.connection, session, found)
        move(change, found, ExportState.APPROVED, approved_by=session.person, approval_reason=reason)
        subjects = _subjects(change.connection, found)
        entry: dict[str, Json] = {"reason": reason, "evidence": digest, "divided": found.state is ExportState.DIVIDED}
        change.record(Kind.EXPORT_APPROVED, subjects, entry)
        return get_export(change.connection, identity)


def refuse(domain: Domain, session: Session, identity: str, *, reason: str) -> Export:
    """Refuse as the authority, at any time before the approval."""
    if not reason.strip():
        raise DefinitionError("reason.missing")
    session.check(Permission.EXPORT_APPROVE)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_export(change.connection, identity)
        check_can_approve(change.connection, session, found)
        if found.state is ExportState.APPROVED:
            # From here the gate alone keeps it in, where another release came first; the authority revokes what left.
            raise EXPORT.no_move(found.state, ExportState.REFUSED)
        move(change, found, ExportState.REFUSED)
        change.record(Kind.EXPORT_REFUSED, _subjects(change.connection, found), {"reason": reason})
        return get_export(change.connection, identity)


def check_can_review(connection: Connection, session: Session, found: Export) -> None:
    """Check who may review.

    Raises:
        NotPermittedError: no reviewer, the requester, or of the tenant's organisation (law 6).
    """
    session.check(Permission.EXPORT_REVIEW)
    check_not_own(connection, session, found)


def check_can_approve(connection: Connection, session: Session, found: Export) -> None:
    """Check who may approve: an officer who took no earlier part.

    Raises:
        NotPermittedError: with the rule that stands against it (law 6).
    """
    session.check(Permission.EXPORT_APPROVE)
    check_not_own(connection, session, found)
    if any(one.person == session.person for one in reviews_of(connection, found.id)):
        raise NotPermittedError("law.own-matter")


def can_review(connection: Connection, session: Session, found: Export) -> bool:
    """Whether ``check_can_review`` would let the person vote."""
    try:
        check_can_review(connection, session, found)
    except NotPermittedError:
        return False
    return True


def can_approve(connection: Connection, session: Session, found: Export) -> bool:
    """Whether ``check_can_approve`` would let the person approve."""
    try:
        check_can_approve(connection, session, found)
    except NotPermittedError:
        return False
    return True


def check_seen(found: Export, digest: str) -> None:
    """Check that a decision is about the evidence as it is now: a change voids what was seen before.

    Raises:
        DefinitionError: it is another digest.
    """
    if found.evidence_digest is None or digest != found.evidence_digest:
        raise DefinitionError("export.not-what-you-saw", export=found.id)


def check_inspected(domain: Domain, connection: Connection, session: Session, found: Export) -> None:
    """Check that a person looked at what would leave, as it is now, before agreeing to it: the log tells (E1, D6).

    A refusal needs no look: nothing leaves by it.

    Raises:
        DefinitionError: they did not, or what they saw was another evidence.
    """
    if not any(
        entry.kind is Kind.EXPORT_INSPECTED
        and entry.actor.person == session.person
        and entry.payload.get("evidence") == found.evidence_digest
        for entry in domain.log.about(connection, found.id)
    ):
        raise DefinitionError("review.not-inspected", export=found.id)


def reviews_of(connection: Connection, identity: str) -> list[Review]:
    """Read every vote of every round; for the gate's own use."""
    query = select(review).where(review.c.export == identity).order_by(review.c.round, review.c.at, review.c.person)
    return [
        Review(row.person, Decision(row.decision), row.reason, row.evidence_digest, row.at, row.round)
        for row in connection.execute(query)
    ]


def visible_reviews(connection: Connection, session: Session, found: Export) -> list[Review]:
    """Read the votes a person may see: of a blind round only their own, so that neither follows the other (law 6)."""
    votes = reviews_of(connection, found.id)
    return [one for one in votes if one.person == session.person or is_open(found, votes, one.round)]


def check_not_own(connection: Connection, session: Session, found: Export) -> None:
    """Check that an export is not a person's own matter: they asked for it, wrote the job, or work where either was done.

    Raises:
        NotPermittedError: it is (law 6).
    """
    job = get_job(connection, found.job)
    if session.person in {found.requested_by, job.submitted_by} or session.organisation == job.tenant:
        raise NotPermittedError("law.own-matter")


def _subjects(connection: Connection, found: Export) -> list[str]:
    job = get_job(connection, found.job)
    return [found.id, found.job, job.scenario, job.tenant]


def record_subjects(change: Change, found: Export) -> list[str]:
    """Give the ids that entries about an export name."""
    return _subjects(change.connection, found)
