"""Changing the root key or a tenant's key: who may, in which order, and what the log says of it (D9, law 5).

The tree moves inside the transaction that records it, after the entry is written and before it is committed; the old root is destroyed
after the commit. A crash before the commit leaves a tree that is whole under its new key and an entry that is owed; ``settle`` makes
up for it before anything else is rotated.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from lineage.canonical import Json
from lineage.clock import parse_stamp
from lineage.errors import MissingPartError, NotPermittedError
from lineage.kinds import Kind
from lineage.log import PLATFORM, Change
from sandbox import keys_rotating
from sandbox.access import Session, check_still_active
from sandbox.domain import Domain
from sandbox.keys import ROOT
from sandbox.keys_rotating import Rotated, drop_old_roots
from sandbox.parties import get_organisation
from sandbox.roles import OrganisationKind, Permission


@dataclass(frozen=True)
class KeyLine:
    """What may be told of a key: never the key itself."""

    purpose: str
    generation: int
    under: str
    made: str
    days: int


def rotate_root(domain: Domain, session: Session) -> Rotated:
    """Take a new root key into use; runs and readings go on, they wait for the moment of the change.

    Raises:
        NotPermittedError: the person may not.
        MissingPartError: the key service is down or a key does not open; everything is as before (law 7).
    """
    session.check(Permission.KEY_ROTATE)
    settle(domain)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        # The entry first: where nothing can be recorded nothing is rotated. No other rotation comes between, it would wait here.
        _record(change, ROOT, _generation(domain, ROOT))
        done = keys_rotating.rotate_root(domain.keys)
    drop_old_roots(domain.keys)
    return done


def rotate_tenant(domain: Domain, session: Session, tenant: str) -> Rotated:
    """Take a new key of a tenant into use; its grants' keys are wrapped anew, the tables lie as they are.

    Raises:
        NotPermittedError: the person may not, or there is no such tenant.
        MissingPartError: its key was destroyed, the key service is down, or a key does not open; everything is as before.
    """
    session.check(Permission.KEY_ROTATE)
    settle(domain)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_organisation(change.connection, tenant)
        if found.kind is not OrganisationKind.TENANT:
            raise NotPermittedError("access.not-found")
        _record(change, found.id, _generation(domain, f"tenant:{found.id}"))
        done = keys_rotating.rotate_tenant(domain.keys, found.id)
    return done


def settle(domain: Domain) -> int:
    """Put on the log what a crash kept from it, and destroy a root that nothing lies under; gives how many entries were owed.

    The generations in the tree are compared with the last ones that the log tells of.
    """
    with domain.read() as connection:
        owed = _owed(domain, connection)
    if owed:
        with domain.change(PLATFORM) as change:
            # Asked once more where nobody else writes: the rotation may only just have committed.
            owed = _owed(domain, change.connection)
            for subject, (logged, found) in owed.items():
                level = ROOT if subject == ROOT else "tenant"
                told: dict[str, Json] = {"level": level, "from": logged, "to": found, "settled": True}
                change.record(Kind.KEY_ROTATED, [subject], told)
    drop_old_roots(domain.keys)
    return len(owed)


def list_keys(domain: Domain, session: Session) -> tuple[KeyLine, ...]:
    """List the keys of the tree with generation and age in days.

    Raises:
        NotPermittedError: the person may not.
    """
    session.check(Permission.KEY_READ)
    now = domain.now()
    return tuple(
        KeyLine(one.purpose, one.generation, one.under, one.made, (now - parse_stamp(one.made)).days)
        for one in domain.keys.listed()
    )


def _record(change: Change, subject: str, now: int) -> None:
    level = ROOT if subject == ROOT else "tenant"
    change.record(Kind.KEY_ROTATED, [subject], {"level": level, "from": now, "to": now + 1})


def _generation(domain: Domain, purpose: str) -> int:
    for one in domain.keys.listed():
        if one.purpose == purpose:
            return one.generation
    raise MissingPartError("key.missing", key=purpose)


def _owed(domain: Domain, connection: Connection) -> dict[str, tuple[int, int]]:
    """Give what the tree and the log disagree about: root or tenant → generation on the log, generation in the tree."""
    owed: dict[str, tuple[int, int]] = {}
    for one in domain.keys.listed():
        level, _, tenant = one.purpose.partition(":")
        if level in {ROOT, "tenant"}:
            subject = tenant or ROOT
            logged = _logged(domain, connection, subject)
            if logged != one.generation:
                owed[subject] = (logged, one.generation)
    return owed


def _logged(domain: Domain, connection: Connection, subject: str) -> int:
    entries = [one for one in domain.log.about(connection, subject) if one.kind is Kind.KEY_ROTATED]
    return int(entries[-1].payload["to"]) if entries else 1
