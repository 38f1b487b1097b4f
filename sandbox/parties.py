"""Organisations and persons: registration, filing, vetting, training, suspension (A7, A8, D6). Roles: ``sandbox.enrolment``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from lineage.errors import DefinitionError, NotPermittedError
from lineage.kinds import Kind
from lineage.log import PLATFORM, Change
from sandbox.access import Session, check_still_active, issue_token, join_halves, new_half, revoke_tokens
from sandbox.domain import Domain, new_id
from sandbox.roles import NEVER_EMPTY, OrganisationKind, Permission, Role
from sandbox.schema import check_line, organisation, person, person_role
from sandbox.states import ORGANISATION, PERSON, OrganisationState, PersonState


_SHORT_NAME = re.compile(r"(?=[^a-z]*[a-z])[a-z0-9-]{1,64}")
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

FIRST_UID = 200_000
"""Tenants' uids outside the jail start here: far from every account of the host and from its container ranges' start.

The setting ``first_uid`` of a domain moves it: two domains on one machine must not share a uid."""


@dataclass(frozen=True)
class Organisation:
    """An organisation as read."""

    id: str
    name: str
    title: str
    kind: OrganisationKind
    state: OrganisationState
    uid: int | None


@dataclass(frozen=True)
class Person:
    """A person as read."""

    id: str
    login: str
    name: str
    organisation: str
    state: PersonState
    roles: tuple[Role, ...]


@dataclass(frozen=True)
class Founded:
    """The tokens of a new domain's first two persons."""

    officer: str
    registrar: str


def found_authority(
    domain: Domain, *, name: str, title: str, login: str, officer: str, registrar_login: str, registrar: str
) -> Founded:
    """Open a new domain: register the authority, its first officer and its first registrar; gives their tokens.

    Two persons from the start: one alone could file people and give them what he then decides with (law 6).

    Raises:
        DefinitionError: the domain has an authority already, or both are one login.
    """
    check_founding(title=title, login=login, officer=officer, registrar_login=registrar_login, registrar=registrar)
    first = {login: (officer, Role.AUTHORITY_OFFICER), registrar_login: (registrar, Role.REGISTRAR)}
    with domain.change(PLATFORM) as change:
        if change.connection.execute(select(func.count()).select_from(organisation)).scalar():
            raise DefinitionError("domain.has-authority")
        authority = new_id("O")
        change.record(Kind.DOMAIN_CREATED, [authority], {"name": domain.name})
        _insert_organisation(change, authority, name, title, OrganisationKind.AUTHORITY)
        tokens = [_found_person(change, authority, one, *values) for one, values in first.items()]
        return Founded(*tokens)


def check_founding(*, title: str, login: str, officer: str, registrar_login: str, registrar: str) -> None:
    """Check what a domain would be founded with, before anything is made that a second try would find in its way.

    Raises:
        DefinitionError: a name or login is not one, or both persons are one login (law 6).
    """
    if login == registrar_login:
        raise DefinitionError("person.login-taken", login=login)
    check_line(organisation.c.title, title)
    for one, name in ((login, officer), (registrar_login, registrar)):
        _check_login(one)
        check_line(person.c.name, name)


def _found_person(change: Change, authority: str, login: str, name: str, role: Role) -> str:
    identity = new_id("P")
    change.connection.execute(
        insert(person).values(
            id=identity, login=login, name=name, organisation=authority, state=PersonState.ACTIVE.value
        )
    )
    change.record(Kind.PERSON_FILED, [identity, authority], {"login": login, "name": name})
    insert_role(change, identity, role, PLATFORM.person)
    half, kept = new_half()
    return join_halves(half, issue_token(change, identity, kept, PLATFORM.person))


def register(domain: Domain, session: Session, *, name: str, title: str, kind: OrganisationKind) -> str:
    """Register an organisation; a tenant gets its key and its own uid for jails. Gives the id.

    Raises:
        NotPermittedError: the person may not.
        DefinitionError: the name is taken or no plain name.
    """
    session.check(Permission.ORGANISATION_REGISTER)
    if _SHORT_NAME.fullmatch(name) is None:
        raise DefinitionError("organisation.bad-name", name=name)
    check_line(organisation.c.title, title)
    if kind is OrganisationKind.AUTHORITY:
        raise DefinitionError("domain.has-authority")
    identity = new_id("O")
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        if change.connection.execute(select(organisation.c.id).where(organisation.c.name == name)).scalar():
            raise DefinitionError("organisation.name-taken", name=name)
        _insert_organisation(change, identity, name, title, kind, int(domain.settings.get("first_uid", FIRST_UID)))
        if kind is OrganisationKind.TENANT:
            domain.keys.create_tenant(identity)
            change.record(Kind.KEY_CREATED, [identity], {"level": "tenant"})
    return identity


def file_person(domain: Domain, session: Session, *, login: str, name: str, organisation_id: str) -> str:
    """File a person under their real name; they may do nothing until vetted, trained and signed. Gives the id."""
    session.check(Permission.PERSON_FILE)
    _check_login(login)
    check_line(person.c.name, name)
    identity = new_id("P")
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        if change.connection.execute(select(person.c.id).where(person.c.login == login)).scalar():
            raise DefinitionError("person.login-taken", login=login)
        employer = get_organisation(change.connection, organisation_id)
        change.connection.execute(
            insert(person).values(
                id=identity, login=login, name=name, organisation=employer.id, state=PersonState.FILED.value
            )
        )
        change.record(Kind.PERSON_FILED, [identity, employer.id], {"login": login, "name": name})
    return identity


def advance_person(domain: Domain, session: Session, identity: str, to: PersonState) -> None:
    """Move a person one step: vetted, trained, active (confidentiality signed), suspended. A suspension revokes their tokens.

    Back from a suspension leads through every step and a new token, which takes two people again.

    Raises:
        DefinitionError: the step does not follow.
        NotPermittedError: the person may not, it is about themselves, or nobody would be left in a needed role (law 6).
    """
    suspending = to is PersonState.SUSPENDED
    session.check(Permission.PERSON_SUSPEND if suspending else Permission.PERSON_FILE)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = other_person(change.connection, session, identity)
        PERSON.check_move(found.state, to)
        if suspending:
            for role in found.roles:
                _check_not_last(change.connection, found, role)
        change.connection.execute(update(person).where(person.c.id == found.id).values(state=to.value))
        change.record(Kind.PERSON_ADVANCED, [found.id], {"from": found.state.value, "to": to.value})
        if suspending:
            revoke_tokens(change, found.id)


def take_role(domain: Domain, session: Session, identity: str, role: Role) -> None:
    """Take a role from a person; one of the two who gave it is enough, for taking opens nothing.

    Raises:
        NotPermittedError: the person may not, it is about themselves, or nobody would be left in a needed role (law 6).
        DefinitionError: the role is not held.
    """
    session.check(Permission.PERSON_SUSPEND)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = other_person(change.connection, session, identity)
        _check_not_last(change.connection, found, role)
        held = (person_role.c.person == found.id) & (person_role.c.role == role.value)
        if not change.connection.execute(delete(person_role).where(held)).rowcount:
            raise DefinitionError("role.not-held", role=f"label.role.{role}")
        change.record(Kind.ROLE_TAKEN, [found.id], {"role": role.value})


def _check_not_last(connection: Connection, found: Person, role: Role) -> None:
    if role not in NEVER_EMPTY or role not in found.roles or found.state is not PersonState.ACTIVE:
        return
    others = (
        select(func.count())
        .select_from(person_role.join(person, person.c.id == person_role.c.person))
        .where(person_role.c.role == role.value, person.c.state == PersonState.ACTIVE.value, person.c.id != found.id)
    )
    if not connection.execute(others).scalar():
        raise NotPermittedError("role.last", role=f"label.role.{role}")


def suspend(domain: Domain, session: Session, identity: str, reason: str) -> None:
    """Suspend an organisation: its persons are refused at once and its runs are stopped (A8, law 10).

    The supervisor stops a run whose tenant is not active at its next look; see ``jobs.supervisor``.
    """
    _move(domain, session, identity, OrganisationState.SUSPENDED, Kind.ORGANISATION_SUSPENDED, reason)


def restore(domain: Domain, session: Session, identity: str, reason: str) -> None:
    """Let a suspended organisation work again."""
    _move(domain, session, identity, OrganisationState.ACTIVE, Kind.ORGANISATION_RESTORED, reason)


def _move(domain: Domain, session: Session, identity: str, to: OrganisationState, kind: Kind, reason: str) -> None:
    session.check(Permission.ORGANISATION_SUSPEND)
    if not reason.strip():
        raise DefinitionError("reason.missing")
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_organisation(change.connection, identity)
        if found.kind is OrganisationKind.AUTHORITY:
            raise NotPermittedError("law.own-matter")
        ORGANISATION.check_move(found.state, to)
        change.connection.execute(update(organisation).where(organisation.c.id == found.id).values(state=to.value))
        change.record(kind, [found.id], {"reason": reason})


def get_organisation(connection: Connection, identity: str) -> Organisation:
    """Read an organisation by id or by name.

    Raises:
        NotPermittedError: there is none, in the words used for one that may not be seen (D1).
    """
    query = select(organisation).where((organisation.c.id == identity) | (organisation.c.name == identity))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotPermittedError("access.not-found")
    return _organisation(row)


def get_person(connection: Connection, identity: str, of: str | None = None) -> Person:
    """Read a person by id or login; with ``of`` only among that organisation's: others and nobody are then one query (D1).

    Raises:
        NotPermittedError: there is none.
    """
    query = select(person).where((person.c.id == identity) | (person.c.login == identity))
    if of is not None:
        query = query.where(person.c.organisation == of)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotPermittedError("access.not-found")
    return _person(connection, row)


def names_of(connection: Connection, persons: Iterable[str]) -> dict[str, str]:
    """Give the real names of persons by id."""
    query = select(person.c.id, person.c.name).where(person.c.id.in_(set(persons)))
    return {row.id: row.name for row in connection.execute(query)}


def list_organisations(connection: Connection) -> Sequence[Organisation]:
    """Read every organisation, by name."""
    return [_organisation(row) for row in connection.execute(select(organisation).order_by(organisation.c.name))]


def list_persons(connection: Connection) -> Sequence[Person]:
    """Read every person, by login."""
    return [_person(connection, row) for row in connection.execute(select(person).order_by(person.c.login)).all()]


def other_person(connection: Connection, session: Session, identity: str) -> Person:
    """Read a person by id or login who is not the one acting (law 6)."""
    found = get_person(connection, identity)
    if found.id == session.person:
        raise NotPermittedError("law.own-matter")
    return found


def _check_login(login: str) -> None:
    """A login is a file's name and stands beside ids: it must be able to be neither a path nor another person's id."""
    if _LOGIN.fullmatch(login) is None:
        raise DefinitionError("person.bad-login", login=login)


def _organisation(row: Row[tuple[object, ...]]) -> Organisation:
    kind, state = OrganisationKind(row.kind), OrganisationState(row.state)
    return Organisation(row.id, row.name, row.title, kind, state, row.uid)


def _person(connection: Connection, row: Row[tuple[object, ...]]) -> Person:
    roles = connection.execute(select(person_role.c.role).where(person_role.c.person == row.id)).scalars()
    held = tuple(sorted(Role(role) for role in roles))
    return Person(row.id, row.login, row.name, row.organisation, PersonState(row.state), held)


def _insert_organisation(
    change: Change, identity: str, name: str, title: str, kind: OrganisationKind, first_uid: int = FIRST_UID
) -> None:
    uid = None
    if kind is OrganisationKind.TENANT:
        highest = change.connection.execute(select(func.max(organisation.c.uid))).scalar()
        # A pair: the odd one is for production, so that development and production are two users of the machine (D3).
        uid = first_uid if highest is None else highest + 2
    change.connection.execute(
        insert(organisation).values(
            id=identity, name=name, title=title, kind=kind.value, state=OrganisationState.ACTIVE.value, uid=uid
        )
    )
    change.record(Kind.ORGANISATION_REGISTERED, [identity], {"name": name, "title": title, "kind": kind.value})


def insert_role(change: Change, identity: str, role: Role, proposed_by: str) -> None:
    """Enter a role that is given, with who proposed it; who may is checked by ``sandbox.enrolment``."""
    change.connection.execute(insert(person_role).values(person=identity, role=role.value))
    change.record(Kind.ROLE_GIVEN, [identity], {"role": role.value, "proposed_by": proposed_by})
