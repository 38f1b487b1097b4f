"""Changing the root key or a tenant's key: who may, in which order, and what the log says of it (D9, law 5).

The log decides: an entry is committed first, then the tree moves in one step, then the old root is destroyed. What a crash leaves is
settled by ``settle`` from the log: a rotation that is recorded is carried out, a root key that no entry speaks of is destroyed.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from lineage.canonical import Json
from lineage.clock import parse_stamp
from lineage.errors import NotPermittedError
from lineage.kinds import Kind
from lineage.log import PLATFORM, Change
from sandbox import keys_rotating
from sandbox.access import Session, check_still_active
from sandbox.domain import Domain
from sandbox.keys import ROOT, end_name
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
        MissingPartError: the key service is down or a key does not open; everything is as before, or is settled later (law 7).
    """
    session.check(Permission.KEY_ROTATE)
    settle(domain)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        _record(domain, change, ROOT)
    done = keys_rotating.rotate_root(domain.keys)
    drop_old_roots(domain.keys)
    return done


def rotate_tenant(domain: Domain, session: Session, tenant: str) -> Rotated:
    """Take a new key of a tenant into use; its grants' keys are wrapped anew, the tables lie as they are.

    Raises:
        NotPermittedError: the person may not, or there is no such tenant.
        MissingPartError: its key was destroyed, the key service is down, or a key does not open; as for the root.
    """
    session.check(Permission.KEY_ROTATE)
    settle(domain)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_organisation(change.connection, tenant)
        if found.kind is not OrganisationKind.TENANT:
            raise NotPermittedError("access.not-found")
        _record(domain, change, found.id)
    return keys_rotating.rotate_tenant(domain.keys, found.id)


def settle(domain: Domain) -> int:
    """Carry out what the log says was rotated and a crash kept from the tree, and destroy a root that nothing lies under.

    A tree that is ahead of the log comes from a database that was restored from before a rotation; that is put on the log.
    Gives how many keys were settled.
    """
    with domain.read() as connection:
        owed = _owed(domain, connection)
    if owed:
        # Asked once more where nobody else writes: the rotation may only just have been carried out.
        with domain.change(PLATFORM) as change:
            owed = _owed(domain, change.connection)
            for subject, (logged, found) in owed.items():
                if logged < found:
                    told: dict[str, Json] = {"level": _level(subject), "from": logged, "to": found, "settled": True}
                    change.record(Kind.KEY_ROTATED, [subject], told)
                elif subject == ROOT:
                    keys_rotating.rotate_root(domain.keys)
                else:
                    keys_rotating.rotate_tenant(domain.keys, subject)
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


def _record(domain: Domain, change: Change, subject: str) -> None:
    """Record a rotation that is about to be carried out, once it is sure that every key opens and the service answers."""
    now = keys_rotating.check_opens(domain.keys, None if subject == ROOT else subject)
    change.record(Kind.KEY_ROTATED, [subject], {"level": _level(subject), "from": now, "to": now + 1})


def _level(subject: str) -> str:
    return ROOT if subject == ROOT else "tenant"


def _owed(domain: Domain, connection: Connection) -> dict[str, tuple[int, int]]:
    """Give what the tree and the log disagree about: root or tenant → generation on the log, generation in the tree."""
    owed: dict[str, tuple[int, int]] = {}
    live = domain.keys.service.names()
    for one in domain.keys.listed():
        level, _, tenant = one.purpose.partition(":")
        if level in {ROOT, "tenant"}:
            subject = tenant or ROOT
            logged = _logged(domain, connection, subject)
            # Of whom the end key is gone nothing can be wrapped any more: its destruction is what is owed.
            if logged != one.generation and (subject == ROOT or end_name(subject) in live):
                owed[subject] = (logged, one.generation)
    return owed


def _logged(domain: Domain, connection: Connection, subject: str) -> int:
    entries = [one for one in domain.log.about(connection, subject) if one.kind is Kind.KEY_ROTATED]
    return int(entries[-1].payload["to"]) if entries else 1
