"""Who is acting and what they may do: token login, permissions, and the twins that buttons and operations share (D4, D5)."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, Row, insert, select, update

from lineage.clock import stamp
from lineage.errors import NotPermittedError
from lineage.kinds import Kind
from lineage.log import Actor, Change
from sandbox.domain import Domain
from sandbox.roles import PERMISSIONS, OrganisationKind, Permission, Role, holders_of
from sandbox.schema import organisation, person, person_role, token
from sandbox.states import OrganisationState, PersonState


TOKEN_LIFETIME = timedelta(days=30)


@dataclass(frozen=True)
class Session:
    """An authenticated person with the organisation they act for and the roles they hold."""

    person: str
    login: str
    name: str
    organisation: str
    organisation_name: str
    kind: OrganisationKind
    roles: frozenset[Role]

    @property
    def actor(self) -> Actor:
        """The ids the log keeps."""
        return Actor(self.person, self.organisation)

    def can(self, permission: Permission) -> bool:
        """Whether a role of this person holds the permission."""
        return any(permission in PERMISSIONS[role] for role in self.roles)

    def check(self, permission: Permission) -> None:
        """Check a permission.

        Raises:
            NotPermittedError: no role holds it; names the roles that do.
        """
        if not self.can(permission):
            raise NotPermittedError(
                "permission.missing",
                person=self.name,
                permission=f"label.permission.{permission}",
                roles="|".join(f"label.role.{role}" for role in holders_of(permission)),
            )

    def check_own(self, owner: str) -> None:
        """Check that a thing belongs to the person's own organisation.

        Raises:
            NotPermittedError: it is another's; says nothing of what it is, or whether it is (D1).
        """
        if self.organisation != owner:
            raise NotPermittedError("access.not-found")


def new_half() -> tuple[str, str]:
    """Draw one half of a token; gives it and the digest under which it may be kept."""
    half = secrets.token_urlsafe(32)
    return half, _digest(half).hex()


def issue_token(change: Change, holder: str, first: str, offered_by: str) -> str:
    """Make a token for a person from the digest of its first half; gives the second half. Only a hash of both is kept.

    The halves go to the person from two people: neither of them can log in as that person (law 6; split knowledge as in
    NIST SP 800-57 part 1).
    """
    second, kept = new_half()
    expires = stamp(change.moment + TOKEN_LIFETIME)
    change.connection.execute(
        insert(token).values(digest=_joined(first, kept), person=holder, issued=change.at, expires=expires)
    )
    change.record(Kind.TOKEN_ISSUED, [holder], {"expires": expires, "offered_by": offered_by})
    return second


def join_halves(first: str, second: str) -> str:
    """Give the token whose halves these are."""
    return f"{first}.{second}"


def revoke_tokens(change: Change, holder: str) -> int:
    """Revoke every token of a person; gives how many."""
    live = (token.c.person == holder) & token.c.revoked.is_(None)
    count = change.connection.execute(update(token).where(live).values(revoked=change.at)).rowcount
    change.record(Kind.TOKEN_REVOKED, [holder], {"count": count})
    return count


def authenticate(domain: Domain, secret: str) -> Session:
    """Open a session by token.

    Raises:
        NotPermittedError: the token is unknown, expired or revoked, or the person or their organisation may not work now (A7, A8).
    """
    query = (
        select(token.c.expires, token.c.revoked, person, organisation.c.kind, organisation.c.state.label("standing"))
        .add_columns(organisation.c.name.label("organisation_name"))
        .join(person, person.c.id == token.c.person)
        .join(organisation, organisation.c.id == person.c.organisation)
        .where(token.c.digest == _stored(secret))
    )
    with domain.read() as connection:
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotPermittedError("token.unknown")
        if row.revoked is not None:
            raise NotPermittedError("token.revoked", person=row.name)
        if row.expires <= stamp(domain.now()):
            raise NotPermittedError("token.expired", person=row.name, expires=row.expires)
        return _session(connection, row)


def _session(connection: Connection, row: Row[tuple[object, ...]]) -> Session:
    if row.state != PersonState.ACTIVE:
        raise NotPermittedError("person.not-active", person=row.name, state=f"label.person.{row.state}")
    if row.standing != OrganisationState.ACTIVE:
        raise NotPermittedError(
            "organisation.not-active", organisation=row.organisation_name, state=f"label.organisation.{row.standing}"
        )
    roles = connection.execute(select(person_role.c.role).where(person_role.c.person == row.id)).scalars()
    return Session(
        person=row.id,
        login=row.login,
        name=row.name,
        organisation=row.organisation,
        organisation_name=row.organisation_name,
        kind=OrganisationKind(row.kind),
        roles=frozenset(Role(role) for role in roles),
    )


def check_still_active(change: Change, session: Session) -> None:
    """Check inside the transaction that the session's person and organisation may still act: a suspension may have come between.

    Raises:
        NotPermittedError: one of them may not work now (A8).
    """
    query = (
        select(person.c.state, organisation.c.state.label("standing"))
        .join(organisation, organisation.c.id == person.c.organisation)
        .where(person.c.id == session.person)
    )
    row = change.connection.execute(query).one()
    if row.state != PersonState.ACTIVE:
        raise NotPermittedError("person.not-active", person=session.name, state=f"label.person.{row.state}")
    if row.standing != OrganisationState.ACTIVE:
        state = f"label.organisation.{row.standing}"
        raise NotPermittedError("organisation.not-active", organisation=session.organisation_name, state=state)


def _stored(secret: str) -> str:
    """Give what is kept of a token; of what is no token, what nothing is kept under."""
    first, dot, second = secret.partition(".")
    return _joined(_digest(first).hex(), _digest(second).hex()) if dot else ""


def _joined(first: str, second: str) -> str:
    return hashlib.sha256(bytes.fromhex(first) + bytes.fromhex(second)).hexdigest()


def _digest(half: str) -> bytes:
    # 256 random bits need no slow hash: there is no dictionary to try.
    return hashlib.sha256(half.encode()).digest()
