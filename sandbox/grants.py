"""Grants: what was given, until when; the sealed folders and the provisioned tables in them (D1, D5, D11)."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from lineage.canonical import Json
from lineage.errors import NotPermittedError
from lineage.kinds import Kind
from lineage.log import PLATFORM, Change
from sandbox.access import Session
from sandbox.agreements import reason_not_to_work
from sandbox.catalogue import Dataset, get_dataset, node_of
from sandbox.domain import Domain, new_id
from sandbox.requests import Item, item_from_json
from sandbox.roles import OrganisationKind, Permission
from sandbox.schema import grant, provisioned
from sandbox.states import GrantState


class Zone(StrEnum):
    """Views are what development sees, inputs what production reads; different folders under different keys (D3)."""

    VIEW = "view"
    INPUT = "input"


@dataclass(frozen=True)
class Grant:
    """A grant as read."""

    id: str
    scenario: str
    tenant: str
    items: tuple[Item, ...]
    persons: tuple[str, ...]
    until: str
    state: GrantState


@dataclass(frozen=True)
class Provisioned:
    """A view or an input as read; it lies in its zone's sealed folder under its id."""

    id: str
    grant: str
    zone: Zone
    dataset: str
    version: int
    columns: tuple[str, ...]
    rows: int
    record: Mapping[str, Any]


def live_grant(connection: Connection, scenario_id: str, at: str) -> Grant:
    """Give the newest grant of a scenario that holds now.

    Raises:
        NotPermittedError: there is none, its term is over, or its tenant or agreement may not work (A8, A9).
    """
    reason = reason_not_to_work(connection, scenario_id, at)
    if reason is not None:
        raise NotPermittedError(f"work.{reason.removeprefix('reason.')}", scenario=scenario_id)
    query = (
        select(grant)
        .where(grant.c.scenario == scenario_id, grant.c.state == GrantState.ACTIVE.value, grant.c.until > at)
        .order_by(grant.c.started.desc(), grant.c.id)
    )
    row = connection.execute(query).first()
    if row is None:
        raise NotPermittedError("grant.none", scenario=scenario_id)
    return _grant(row)


def get_grant(connection: Connection, identity: str) -> Grant:
    """Read a grant.

    Raises:
        NotPermittedError: there is none.
    """
    row = connection.execute(select(grant).where(grant.c.id == identity)).one_or_none()
    if row is None:
        raise NotPermittedError("access.not-found")
    return _grant(row)


def check_named(session: Session, found: Grant) -> None:
    """Check that a person is named in a grant (A6: persons are part of what is approved).

    Raises:
        NotPermittedError: another tenant's, or the person is not named.
    """
    session.check_own(found.tenant)
    if session.person not in found.persons:
        raise NotPermittedError("grant.not-named", person=session.name)


@contextmanager
def zone_opened(domain: Domain, found: Grant, zone: Zone) -> Iterator[Path]:
    """Open one zone's sealed folder for the time of a block; made, with the grant's key, at the first call.

    Raises:
        MissingPartError: a key is destroyed or the storage provider fails (law 7).
    """
    sealed = domain.sealed(found.id, zone)
    key = domain.keys.zone_key(found.tenant, found.id, zone)
    if not sealed.exists():
        make_sealed(domain, sealed, key)
    with domain.storage.opened(sealed, key, domain.mounts) as folder:
        yield folder


def make_sealed(domain: Domain, sealed: Path, key: bytes) -> None:
    """Make a sealed folder beside its place: neither a crash nor a second opener may leave a half-made one there."""
    sealed.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (sealed.parent / ".making.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if sealed.exists():
            return
        fresh = sealed.with_name(f".{sealed.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        domain.storage.create(fresh, key)
        fresh.rename(sealed)


def ensure_key(domain: Domain, found: Grant) -> None:
    """Make the grant's key when it is provisioned for the first time, on the log (law 5)."""
    with domain.read() as connection:
        if _key_is_logged(domain, connection, found):
            return
    with domain.change(PLATFORM) as change:
        # Asked once more where nobody else writes: an end that came between must not be undone by a new key (law 10).
        _check_not_ended(change, found)
        if _key_is_logged(domain, change.connection, found):
            return
        # A crash may have left a key without its entry.
        if not domain.keys.has_grant(found.id):
            domain.keys.create_grant(found.tenant, found.id)
        change.record(Kind.KEY_CREATED, [found.id, found.tenant], {"level": "grant"})


def _key_is_logged(domain: Domain, connection: Connection, found: Grant) -> bool:
    return any(entry.kind is Kind.KEY_CREATED for entry in domain.log.about(connection, found.id))


def record_provisioned(
    change: Change,
    found: Grant,
    zone: Zone,
    source: Dataset,
    version: int,
    *,
    table: str,
    columns: Mapping[str, str],
    rows: int,
    record: Mapping[str, Json],
) -> None:
    """Enter a provisioned table; ``columns`` maps its columns to the source's, which is its place in the graph (P4, L1).

    Raises:
        NotPermittedError: the grant has ended meanwhile (law 10).
    """
    _check_not_ended(change, found)
    change.connection.execute(
        insert(provisioned).values(
            id=table,
            grant=found.id,
            zone=zone.value,
            dataset=source.id,
            version=version,
            columns=list(columns),
            rows=rows,
            record=dict(record),
            made=change.at,
        )
    )
    node, origin = f"table:{table}", node_of(source.name, version)
    change.record(
        Kind.TABLE_PROVISIONED,
        [table, found.id, found.scenario, source.id, source.provider],
        {
            "zone": zone.value,
            "rows": rows,
            "record": dict(record),
            "lineage": {
                "from": [origin],
                "to": [node],
                "columns": {f"{node}#{column}": [f"{origin}#{source}"] for column, source in columns.items()},
                "nodes": {node: {"title": f"{source.name} ({zone.value})"}},
            },
        },
    )


def new_table_id() -> str:
    """Make the id under which a provisioned table lies: names of tenants and tables stay out of paths (D1)."""
    return new_id("T")


def tables_of(connection: Connection, found: Grant, zone: Zone) -> dict[str, Provisioned]:
    """Give the newest provisioned table of each granted dataset in a zone, by dataset name."""
    query = (
        select(provisioned)
        .where(provisioned.c.grant == found.id, provisioned.c.zone == zone.value)
        .order_by(provisioned.c.version)
    )
    newest = [_provisioned(row) for row in connection.execute(query)]
    return {get_dataset(connection, table.dataset).name: table for table in newest}


def _check_not_ended(change: Change, found: Grant) -> None:
    if get_grant(change.connection, found.id).state is not GrantState.ACTIVE:
        raise NotPermittedError("grant.none", scenario=found.scenario)


def check_tenant_may_read(session: Session, found: Grant) -> None:
    """Check that a tenant's person reads its own grant, or that another kind of role may see grants at all."""
    if session.kind is OrganisationKind.TENANT:
        check_named(session, found)
    else:
        session.check(Permission.JOB_READ)


def _grant(row: Row[Any]) -> Grant:
    items = tuple(item_from_json(item) for item in row.items)
    return Grant(row.id, row.scenario, row.tenant, items, tuple(row.persons), row.until, GrantState(row.state))


def _provisioned(row: Row[Any]) -> Provisioned:
    return Provisioned(
        row.id, row.grant, Zone(row.zone), row.dataset, row.version, tuple(row.columns), row.rows, row.record
    )
