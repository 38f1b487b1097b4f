"""Ending is real (law 10): what is over is destroyed, the destruction is tried out before it is believed, and the log holds what was tried.

First the state is committed, then keys and folders go, then the record is written: a crash between leaves a tenant that may do
nothing, and whoever comes next finishes it. The other order could destroy keys of an agreement that still runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select, update

from lineage.canonical import Json
from lineage.clock import stamp
from lineage.errors import DefinitionError, MissingPartError
from lineage.kinds import Kind
from lineage.log import PLATFORM, Actor, Change, Entry
from sandbox.access import Session, check_still_active
from sandbox.agreements import agreement_of, close_agreement, live_agreements, reason_not_to_work
from sandbox.backup_vault import destroy_copies
from sandbox.domain import Domain
from sandbox.grants import Zone, get_grant, zone_opened
from sandbox.parties import get_organisation
from sandbox.roles import OrganisationKind, Permission
from sandbox.schema import agreement, grant, organisation, provisioned
from sandbox.states import ORGANISATION, AgreementState, GrantState, OrganisationState
from sandbox.storage import destroy_sealed, serving


METHOD = "end key destroyed, wrapped key overwritten and unlinked, sealed folder destroyed; AES-256 crypto-shredding"


def end_agreement(domain: Domain, session: Session, agreement_id: str, reason: str) -> Entry:
    """End an agreement: access is revoked at once; when it was the tenant's last, its keys and folders are destroyed (A9, D11).

    The destruction is its own entry with what was destroyed and how it was verified, which is given back; the log's older entries
    stay readable. Ending again what has ended finishes a destruction that a crash cut short.

    Raises:
        NotPermittedError: the person may not.
        DefinitionError: it has ended already, or no reason is given.
        MissingPartError: something could not be destroyed, or could still be opened; nothing is recorded, and the call can be repeated.
    """
    session.check(Permission.AGREEMENT_END)
    if not reason.strip():
        raise DefinitionError("reason.missing")
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = agreement_of(change.connection, agreement_id)
        if found.state is AgreementState.ACTIVE or not _owed(domain, change.connection, found.tenant):
            _end(change, agreement_id, reason)
    return _destroy(domain, session.actor, found.tenant)


def end_what_is_over(domain: Domain) -> int:
    """End agreements and grants whose term is over and destroy their keys; also finish what a crash cut short. Gives how many tenants.

    For the platform's housekeeping: nobody has to come and say that a term has passed (A9).
    """
    tenants = _with_something_over(domain)
    for tenant in tenants:
        with domain.change(PLATFORM) as change:
            _end_by_term(change, tenant)
            owed = _owed(domain, change.connection, tenant)
        if owed:
            _destroy(domain, PLATFORM, tenant)
    return len(tenants)


def destructions(domain: Domain, session: Session, agreement_id: str) -> tuple[Entry, ...]:
    """Give the entries of what was destroyed with an agreement's tenant, oldest first (D11).

    Raises:
        NotPermittedError: there is no such agreement, or it is not the person's to see (D1).
    """
    session.check(Permission.CATALOGUE_READ)
    with domain.read() as connection:
        found = agreement_of(connection, agreement_id)
        if session.kind in {OrganisationKind.TENANT, OrganisationKind.PROVIDER}:
            session.check_own(found.tenant)
        return tuple(one for one in domain.log.about(connection, found.tenant) if one.kind is Kind.KEY_DESTROYED)


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


def _end_by_term(change: Change, tenant: str) -> None:
    past = (agreement.c.tenant == tenant) & (agreement.c.state == AgreementState.ACTIVE.value)
    over = select(agreement.c.id).where(past, agreement.c.until <= change.at).order_by(agreement.c.id)
    for identity in change.connection.execute(over).scalars().all():
        _end(change, identity, "term over")
    _end_grants(change, tenant)


def _end_grants(change: Change, tenant: str) -> None:
    """End the grants whose own term, or whose agreement, is over, whoever closed it."""
    query = select(grant.c.id, grant.c.scenario, grant.c.until).where(
        grant.c.tenant == tenant, grant.c.state == GrantState.ACTIVE.value
    )
    for identity, scenario_id, until in change.connection.execute(query).all():
        closed = reason_not_to_work(change.connection, scenario_id, change.at) in {
            "reason.scenario-closed",
            "reason.agreement-over",
        }
        if closed or until <= change.at:
            change.connection.execute(update(grant).where(grant.c.id == identity).values(state=GrantState.ENDED.value))
            change.record(Kind.GRANT_ENDED, [identity, tenant], {})


def _with_something_over(domain: Domain) -> list[str]:
    """Give the tenants with a term that has passed, or with a destruction that is owed."""
    at = stamp(domain.now())
    with domain.read() as connection:
        agreed = select(agreement.c.tenant).where(
            agreement.c.state == AgreementState.ACTIVE.value, agreement.c.until <= at
        )
        given = select(grant.c.tenant).where(grant.c.state == GrantState.ACTIVE.value, grant.c.until <= at)
        ended = select(grant.c.tenant).where(grant.c.state == GrantState.ENDED.value)
        gone = select(organisation.c.id).where(
            organisation.c.state == OrganisationState.ENDED.value,
            organisation.c.kind == OrganisationKind.TENANT.value,
        )
        over = {one for query in (agreed, given) for one in connection.execute(query).scalars()}
        maybe = {one for query in (ended, gone) for one in connection.execute(query).scalars()} - over
        return sorted(over | {one for one in maybe if _owed(domain, connection, one)})


def _destroy(domain: Domain, actor: Actor, tenant: str) -> Entry:
    """Destroy keys and sealed folders of a tenant's ended grants, and with the tenant its own; safe to repeat (law 10)."""
    with domain.change(actor) as change:
        owed = _owed(domain, change.connection, tenant)
        folders = [domain.home / "sealed" / one for one in owed.grants]
        tables = _tables(change.connection, owed.grants)
        for one in owed.grants:
            domain.keys.destroy_grant(one)
        if owed.tenant:
            domain.keys.destroy_tenant(tenant)
            folders.append(domain.held(tenant))
        tried = [code for one in owed.grants for code in _try_to_open(domain, change.connection, one)]
        for folder in folders:
            destroy_sealed(domain.storage, folder)
        names = [*(f"grant:{one}" for one in owed.grants), *([f"tenant:{tenant}"] if owed.tenant else [])]
        _check_gone(domain, [*owed.grants, *([tenant] if owed.tenant else [])], folders)
        payload: dict[str, Json] = {
            "keys": names,
            "tables": tables,
            "folders_gone": list(owed.grants),
            "runs_gone": not domain.held(tenant).exists(),
            "key_service": domain.keys.service.name,
            "storage": domain.storage.name,
            "tried": {"opened": tried, "keys_left": 0, "folders_left": 0, "mounts_left": 0},
            "copies": destroy_copies(domain, change, names) if names else [],
            "method": METHOD,
        }
        seq = change.record(Kind.KEY_DESTROYED, [tenant, *owed.grants], payload)
        return next(one for one in domain.log.about(change.connection, tenant) if one.seq == seq)


def _try_to_open(domain: Domain, connection: Connection, identity: str) -> list[str]:
    """Open each zone of a grant as a run would, while its folders still lie there; gives the refusals.

    Raises:
        MissingPartError: one opened.
    """
    found, refusals = get_grant(connection, identity), []
    for zone in Zone:
        try:
            with zone_opened(domain, found, zone):
                pass
        except MissingPartError as error:
            refusals.append(f"{identity}/{zone}: {error.code}")
        else:
            raise MissingPartError("ending.still-opens", grant=identity)
    return refusals


def _check_gone(domain: Domain, owners: Sequence[str], folders: Sequence[Path]) -> None:
    """Look once more for whatever could still be read.

    Raises:
        MissingPartError: a key, a folder, a mount or a process that serves one is left.
    """
    left = [name for one in owners for name in domain.keys.left_of(one)]
    left += [folder.name for folder in folders if folder.exists()]
    left += [f"{folder.name}: {pid}" for folder in folders for pid in serving(folder)]
    if left:
        raise MissingPartError("ending.not-gone", left=", ".join(left))


def _tables(connection: Connection, grants: Sequence[str]) -> list[Json]:
    """Name the tables that end: what is destroyed must be told by name, dataset and size (D11)."""
    query = select(provisioned).where(provisioned.c.grant.in_(list(grants))).order_by(provisioned.c.id)
    return [
        {"table": row.id, "grant": row.grant, "zone": row.zone, "dataset": row.dataset, "version": row.version}
        for row in connection.execute(query)
    ]


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
