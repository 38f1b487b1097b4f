"""What it takes two people to give: a role, and the token by which somebody logs in (A7, D4, D6, law 6).

The registrar proposes a role and an officer of the authority confirms it. The registrar draws the first half of a token and an
officer the second; each hands over their own half, so that neither ever holds what would log in as somebody else. What waits for
the second of the two is read from the log: the newest entry about it decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from lineage.clock import stamp
from lineage.errors import DefinitionError, NotPermittedError
from lineage.kinds import Kind
from lineage.log import Change, Entry
from sandbox.access import Session, check_still_active, issue_token, join_halves, new_half, revoke_tokens
from sandbox.domain import Domain
from sandbox.parties import (
    Person,
    advance_person,
    file_person,
    get_organisation,
    get_person,
    insert_role,
    other_person,
)
from sandbox.roles import Permission, Role, check_roles
from sandbox.states import PersonState


OFFER_LIFETIME = timedelta(days=7)
"""How long a proposed role or a first half waits: the longer it lies about, the less anybody remembers why."""
_ROLE_KINDS = frozenset({Kind.ROLE_PROPOSED, Kind.ROLE_GIVEN, Kind.ROLE_TAKEN})
_TOKEN_KINDS = frozenset({Kind.TOKEN_OFFERED, Kind.TOKEN_ISSUED, Kind.TOKEN_REVOKED})


@dataclass(frozen=True)
class Issued:
    """A token that was issued to a person: when, until when, and by which two."""

    at: str
    expires: str
    offered_by: str
    confirmed_by: str


def propose_role(domain: Domain, session: Session, identity: str, role: Role) -> None:
    """Propose a role for a person; it opens nothing until an officer confirms it.

    Raises:
        NotPermittedError: the person may not, it is about themselves, or the role may not meet another (law 6, J11).
        DefinitionError: the role is held already.
    """
    session.check(Permission.PERSON_FILE)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = other_person(change.connection, session, identity)
        _check_may_hold(change, found, role)
        change.record(Kind.ROLE_PROPOSED, [found.id], {"role": role.value})


def confirm_role(domain: Domain, session: Session, identity: str, role: Role) -> None:
    """Confirm a proposed role: from now on the person holds it.

    Raises:
        NotPermittedError: the person may not, proposed it, or it is about themselves; the role may not meet another (law 6, J11).
        DefinitionError: nobody proposed it, it waited too long, or it is held already.
    """
    session.check(Permission.ROLE_CONFIRM)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = other_person(change.connection, session, identity)
        _check_may_hold(change, found, role)
        proposal = _waiting_roles(domain, change.connection, found.id, _oldest(domain)).get(role)
        if proposal is None:
            raise DefinitionError("role.not-proposed", role=f"label.role.{role}")
        _check_other(session, proposal)
        insert_role(change, found.id, role, proposal.actor.person)


def offer_token(domain: Domain, session: Session, identity: str) -> str:
    """Draw the first half of a new token; gives it. Older tokens hold until the second half is drawn."""
    session.check(Permission.TOKEN_ISSUE)
    half, kept = new_half()
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_person(change.connection, identity)
        change.record(Kind.TOKEN_OFFERED, [found.id], {"first": kept})
    return half


def confirm_token(domain: Domain, session: Session, identity: str) -> str:
    """Draw the second half of an offered token; gives it, and revokes the person's older tokens.

    Raises:
        NotPermittedError: the person may not, or drew the first half too (law 6).
        DefinitionError: no first half waits.
    """
    session.check(Permission.TOKEN_CONFIRM)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_person(change.connection, identity)
        offer = _waiting_token(domain, change.connection, found.id, _oldest(domain))
        if offer is None:
            raise DefinitionError("token.not-offered", login=found.login)
        _check_other(session, offer)
        revoke_tokens(change, found.id)
        return issue_token(change, found.id, str(offer.payload["first"]), offer.actor.person)


def waiting_roles(domain: Domain, connection: Connection, person: str) -> tuple[Role, ...]:
    """Give the roles that were proposed for a person and wait for an officer."""
    return tuple(sorted(_waiting_roles(domain, connection, person, _oldest(domain))))


def token_waits(domain: Domain, connection: Connection, person: str) -> bool:
    """Whether the first half of a new token waits for the second."""
    return _waiting_token(domain, connection, person, _oldest(domain)) is not None


def tokens_issued(domain: Domain, connection: Connection, person: str) -> Sequence[Issued]:
    """Give every token issued to a person, newest first: they alone know which of them they never received."""
    told = [entry for entry in domain.log.about(connection, person) if entry.kind is Kind.TOKEN_ISSUED]
    return [
        Issued(one.time, str(one.payload["expires"]), str(one.payload["offered_by"]), one.actor.person)
        for one in reversed(told)
    ]


def enrol(
    domain: Domain, registrar: Session, officer: Session, *, login: str, name: str, organisation: str, role: Role
) -> str:
    """Lead a new person through every step with both officials present; gives the whole token.

    Raises:
        NotPermittedError, DefinitionError: as the single steps.
    """
    identity = file_person(domain, registrar, login=login, name=name, organisation_id=organisation)
    for state in (PersonState.VETTED, PersonState.TRAINED, PersonState.ACTIVE):
        advance_person(domain, registrar, identity, state)
    propose_role(domain, registrar, identity, role)
    confirm_role(domain, officer, identity, role)
    return new_token(domain, registrar, officer, identity)


def new_token(domain: Domain, registrar: Session, officer: Session, identity: str) -> str:
    """Draw both halves of a token with both officials present; gives the whole."""
    first = offer_token(domain, registrar, identity)
    return join_halves(first, confirm_token(domain, officer, identity))


def _check_may_hold(change: Change, found: Person, role: Role) -> None:
    if role in found.roles:
        raise DefinitionError("role.held", role=f"label.role.{role}")
    check_roles(get_organisation(change.connection, found.organisation).kind, found.roles, role)


def _check_other(session: Session, first: Entry) -> None:
    """Two people, whatever roles one of them came to hold between the two steps (law 6)."""
    if first.actor.person == session.person:
        raise NotPermittedError("law.own-matter")


def _oldest(domain: Domain) -> str:
    return stamp(domain.now() - OFFER_LIFETIME)


def _waiting_roles(domain: Domain, connection: Connection, person: str, oldest: str) -> dict[Role, Entry]:
    newest: dict[Role, Entry] = {}
    for entry in domain.log.about(connection, person):
        if entry.kind in _ROLE_KINDS:
            newest[Role(entry.payload["role"])] = entry
    return {role: one for role, one in newest.items() if one.kind is Kind.ROLE_PROPOSED and one.time > oldest}


def _waiting_token(domain: Domain, connection: Connection, person: str, oldest: str) -> Entry | None:
    told = [entry for entry in domain.log.about(connection, person) if entry.kind in _TOKEN_KINDS]
    newest = told[-1] if told else None
    return newest if newest is not None and newest.kind is Kind.TOKEN_OFFERED and newest.time > oldest else None
