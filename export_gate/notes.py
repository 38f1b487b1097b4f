"""What is said about an export beside the votes: comments, questions to the tenant, its answer, its withdrawal (E1, L2).

A private comment is for those who decide; what was said in a blind round stays with its author until the round is over (law 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, insert, select

from export_gate.evidence import read_evidence
from export_gate.exports import Export, folder_of, get_export, move
from export_gate.review import check_can_approve, check_can_review, check_not_own, record_subjects, reviews_of
from export_gate.rounds import is_open
from export_gate.schema import note
from export_gate.states import ExportState
from jobs.runs import get_job
from lineage.canonical import Json
from lineage.errors import DefinitionError
from lineage.kinds import Kind
from lineage.log import Change
from sandbox.access import Session, check_still_active
from sandbox.domain import Domain, new_id
from sandbox.grants import Zone, live_grant, tables_of
from sandbox.requests import check_working
from sandbox.roles import OrganisationKind, Permission


class NoteKind(StrEnum):
    """Why something was said."""

    COMMENT = "comment"
    QUESTION = "question"
    ANSWER = "answer"
    WITHDRAWAL = "withdrawal"
    REVOCATION = "revocation"


_TOLD_AT_ONCE = frozenset({NoteKind.QUESTION, NoteKind.ANSWER, NoteKind.WITHDRAWAL, NoteKind.REVOCATION})


@dataclass(frozen=True)
class Note:
    """A note as read; ``person`` is an id."""

    person: str
    kind: NoteKind
    private: bool
    text: str
    at: str
    round: int


def comment(domain: Domain, session: Session, identity: str, words: str, *, private: bool) -> None:
    """Say something about an export that one decides on; ``private`` keeps it from the tenant.

    Raises:
        NotPermittedError: the person decides on no exports, or it is their own matter (law 6).
        DefinitionError: nothing was said.
    """
    session.check(Permission.EXPORT_INSPECT)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_export(change.connection, identity)
        check_not_own(change.connection, session, found)
        add_note(change, found, session, NoteKind.COMMENT, words, private=private)
        told: dict[str, Json] = {"text": words, "private": private, "round": found.round}
        change.record(Kind.EXPORT_COMMENTED, record_subjects(change, found), told)


def return_with_question(domain: Domain, session: Session, identity: str, question: str) -> Export:
    """Return an export to its tenant with a question; the votes of the round count no more. Gives the export as it is then.

    Raises:
        NotPermittedError: the person decides on no exports, or on this one not (law 6).
        DefinitionError: nothing is asked, or the export is not before those who decide.
    """
    session.check(Permission.EXPORT_INSPECT)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_export(change.connection, identity)
        if session.can(Permission.EXPORT_APPROVE):
            check_can_approve(change.connection, session, found)
        else:
            check_can_review(change.connection, session, found)
        add_note(change, found, session, NoteKind.QUESTION, question, private=False)
        move(change, found, ExportState.RETURNED)
        change.record(Kind.EXPORT_RETURNED, record_subjects(change, found), {"question": question})
        return get_export(change.connection, identity)


def answer(domain: Domain, session: Session, identity: str, words: str) -> Export:
    """Answer as the tenant; everybody votes anew, on the same evidence. Gives the export as it is then.

    Raises:
        NotPermittedError: the person may not, it is another tenant's, or the scenario may not work now (D1, A8).
        DefinitionError: nothing is said, nothing was asked, or the tables changed since the check: then it is asked for anew,
            which is checked anew.
    """
    session.check(Permission.EXPORT_REQUEST)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_export(change.connection, identity, session)
        check_working(change, get_job(change.connection, found.job).scenario)
        add_note(change, found, session, NoteKind.ANSWER, words, private=False)
        if found.state is not ExportState.RETURNED:
            raise DefinitionError("export.nothing-asked", export=identity)
        _check_unchanged(domain, change, found)
        move(change, found, ExportState.IN_REVIEW, round=found.round + 1)
        change.record(Kind.EXPORT_ANSWERED, record_subjects(change, found), {"answer": words})
        return get_export(change.connection, identity)


def withdraw(domain: Domain, session: Session, identity: str, *, reason: str) -> Export:
    """Withdraw an export as its tenant, at any time before the approval; what was charged stays charged (law 3).

    Raises:
        NotPermittedError: the person may not, or it is another tenant's (D1).
        DefinitionError: no reason, or it is approved or over already.
    """
    session.check(Permission.EXPORT_REQUEST)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_export(change.connection, identity, session)
        add_note(change, found, session, NoteKind.WITHDRAWAL, reason, private=False)
        move(change, found, ExportState.WITHDRAWN)
        change.record(Kind.EXPORT_WITHDRAWN, record_subjects(change, found), {"reason": reason})
        return get_export(change.connection, identity)


def visible_notes(connection: Connection, session: Session, found: Export) -> list[Note]:
    """Read what a person may see: a tenant nothing private, nobody what another said in a round that is still blind."""
    query = select(note).where(note.c.export == found.id).order_by(note.c.at, note.c.id)
    every = [
        Note(row.person, NoteKind(row.kind), bool(row.private), row.text, row.at, row.round)
        for row in connection.execute(query)
    ]
    votes = reviews_of(connection, found.id)
    tenant = session.kind is OrganisationKind.TENANT
    return [
        one
        for one in every
        if not (tenant and one.private)
        and (one.person == session.person or one.kind in _TOLD_AT_ONCE or is_open(found, votes, one.round))
    ]


def add_note(change: Change, found: Export, session: Session, kind: NoteKind, words: str, *, private: bool) -> None:
    """Write a note inside a transaction; whoever calls records the entry.

    Raises:
        DefinitionError: nothing is said.
    """
    if not words.strip():
        raise DefinitionError("reason.missing")
    change.connection.execute(
        insert(note).values(
            id=new_id("N"),
            export=found.id,
            person=session.person,
            kind=kind.value,
            private=private,
            round=found.round,
            text=words,
            at=change.at,
        )
    )


def _check_unchanged(domain: Domain, change: Change, found: Export) -> None:
    """Check that the tables the product was made from are still those of the grant: else the evidence is about other rows."""
    evidence = read_evidence(folder_of(domain, found.id), found.evidence_digest or "")
    grant = live_grant(change.connection, get_job(change.connection, found.job).scenario, change.at)
    held = {table.id for zone in Zone for table in tables_of(change.connection, grant, zone).values()}
    if not {str(one["table"]) for one in evidence["sources"]} <= held:
        raise DefinitionError("export.inputs-changed", export=found.id)
