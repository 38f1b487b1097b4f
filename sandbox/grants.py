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

from sqlalchemy import Connection, Row, insert, select, update

from lineage.canonical import Json
from lineage.errors import DefinitionError, NotPermittedError
from lineage.kinds import Kind
from lineage.log import PLATFORM, Change
from sandbox.access import Session, check_still_active
from sandbox.agreements import agreement_of, close_agreement, live_agreements, reason_not_to_work
from sandbox.catalogue import Dataset, get_dataset, node_of
from sandbox.domain import Domain, new_id
from sandbox.parties import get_organisation
from sandbox.requests import Item, item_from_json
from sandbox.roles import OrganisationKind, Permission
from sandbox.schema import grant, organisation, provisioned
from sandbox.states import ORGANISATION, AgreementState, GrantState, OrganisationState


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
        _make_sealed(domain, sealed, key)
    with domain.storage.opened(sealed, key, domain.mounts) as folder:
        yield folder


def _make_sealed(domain: Domain, sealed: Path, key: bytes) -> None:
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


def end_agreement(domain: Domain, session: Session, agreement_id: str, reason: str) -> None:
    """End an agreement: access is revoked at once; when it was the tenant's last, its keys and folders are destroyed (A9, D11).

    The destruction is its own entry with what was destroyed and how it was verified; the log's older entries stay readable.
    Ending again what has ended finishes a destruction that a crash cut short.

    Raises:
        NotPermittedError: the person may not.
        DefinitionError: it has ended already, or no reason is given.
    """
    session.check(Permission.AGREEMENT_END)
    if not reason.strip():
        raise DefinitionError("reason.missing")
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = agreement_of(change.connection, agreement_id)
        tenant = found.tenant
        if found.state is AgreementState.ACTIVE or not _owed(domain, change.connection, tenant):
            _end(change, agreement_id, reason)
    # The keys go after the state is committed: a crash between leaves a tenant that may do nothing, and this call can be
    # repeated; the other order could destroy keys of an agreement that still runs.
    _destroy(domain, session, tenant)


def _end(change: Change, agreement_id: str, reason: str) -> None:
    """End an agreement with its grants, and its tenant with the last one."""
    tenant = close_agreement(change, agreement_id, reason)
    _end_grants(change, tenant)
    if not live_agreements(change.connection, tenant):
        party = get_organisation(change.connection, tenant)
        ORGANISATION.check_move(party.state, OrganisationState.ENDED)
        change.connection.execute(
            update(organisation).where(organisation.c.id == tenant).values(state=OrganisationState.ENDED.value)
        )


def _destroy(domain: Domain, session: Session, tenant: str) -> None:
    """Destroy keys and sealed folders of a tenant's ended grants, and with the tenant its own key; safe to repeat (law 10)."""
    with domain.change(session.actor) as change:
        owed = _owed(domain, change.connection, tenant)
        for one in owed.grants:
            domain.keys.destroy_grant(one)
            shutil.rmtree(domain.home / "sealed" / one, ignore_errors=True)
        if owed.tenant:
            domain.keys.destroy_tenant(tenant)
            shutil.rmtree(domain.held(tenant), ignore_errors=True)
        payload: dict[str, Json] = {
            "keys": [*(f"grant:{one}" for one in owed.grants), *([f"tenant:{tenant}"] if owed.tenant else [])],
            "folders_gone": [one for one in owed.grants if not (domain.home / "sealed" / one).exists()],
            "runs_gone": not domain.held(tenant).exists(),
            "method": "overwrite and unlink; AES-256 crypto-shredding",
        }
        change.record(Kind.KEY_DESTROYED, [tenant, *owed.grants], payload)


@dataclass(frozen=True)
class _Owed:
    """What is over and has no entry of its destruction yet: ended grants, and whether the tenant's own key too."""

    grants: tuple[str, ...]
    tenant: bool

    def __bool__(self) -> bool:
        return bool(self.grants) or self.tenant


def _owed(domain: Domain, connection: Connection, tenant: str) -> _Owed:
    """Ask the log what was destroyed, so that neither a crash nor a restored backup leaves a destruction out."""
    entries = [one for one in domain.log.about(connection, tenant) if one.kind is Kind.KEY_DESTROYED]
    done = {name for entry in entries for name in entry.subjects}
    query = select(grant.c.id).where(grant.c.tenant == tenant, grant.c.state == GrantState.ENDED.value)
    grants = tuple(one for one in connection.execute(query.order_by(grant.c.id)).scalars() if one not in done)
    over = get_organisation(connection, tenant).state is OrganisationState.ENDED
    told = any(f"tenant:{tenant}" in entry.payload.get("keys", ()) for entry in entries)
    return _Owed(grants, over and not told)


def _check_not_ended(change: Change, found: Grant) -> None:
    if get_grant(change.connection, found.id).state is not GrantState.ACTIVE:
        raise NotPermittedError("grant.none", scenario=found.scenario)


def _end_grants(change: Change, tenant: str) -> None:
    """End the grants whose agreement is over, whoever closed it."""
    query = select(grant.c.id, grant.c.scenario).where(
        grant.c.tenant == tenant, grant.c.state == GrantState.ACTIVE.value
    )
    for identity, scenario_id in change.connection.execute(query).all():
        if reason_not_to_work(change.connection, scenario_id, change.at) in {
            "reason.scenario-closed",
            "reason.agreement-over",
        }:
            change.connection.execute(update(grant).where(grant.c.id == identity).values(state=GrantState.ENDED.value))
            change.record(Kind.GRANT_ENDED, [identity, tenant], {})


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
