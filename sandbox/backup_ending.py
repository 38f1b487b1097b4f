"""What had ended when a domain is restored from before its end: it stays ended, because its keys are gone (law 10, A9).

The key copies name the keys that were destroyed there. The restored database may not know: it would show a tenant that works, with
tables that nobody can open.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from sqlalchemy import select, update

from lineage.canonical import Json
from lineage.kinds import Kind
from lineage.log import Change
from sandbox.agreements import close_agreement, live_agreements
from sandbox.domain import Domain
from sandbox.schema import grant, organisation
from sandbox.states import GrantState, OrganisationState


def end_without_keys(domain: Domain, change: Change, destroyed: Sequence[str], backup: str) -> tuple[str, ...]:
    """End the tenants and grants whose keys were destroyed after the backup, on the log; gives their ids."""
    tenants, grants = _still_running(change, destroyed)
    for tenant in tenants:
        for agreement in live_agreements(change.connection, tenant):
            close_agreement(change, agreement, f"restored from backup {backup}; keys destroyed since")
        ended = update(organisation).where(organisation.c.id == tenant).values(state=OrganisationState.ENDED.value)
        change.connection.execute(ended)
    for identity, tenant in grants:
        over = update(grant).where(grant.c.id == identity).values(state=GrantState.ENDED.value)
        change.connection.execute(over)
        change.record(Kind.GRANT_ENDED, [identity, tenant], {})
        domain.keys.destroy_grant(identity)
        shutil.rmtree(domain.home / "sealed" / identity, ignore_errors=True)
    for tenant in tenants:
        domain.keys.destroy_tenant(tenant)
    if tenants or grants:
        names: list[Json] = [*(f"grant:{one}" for one, _ in grants), *(f"tenant:{one}" for one in tenants)]
        subjects = sorted({*tenants, *(one for pair in grants for one in pair)})
        change.record(
            Kind.KEY_DESTROYED, subjects, {"keys": names, "method": "destroyed before the domain was restored"}
        )
    return (*tenants, *(one for one, _ in grants))


def _still_running(change: Change, destroyed: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Give the tenants that the database takes for alive, and the grants with their tenants, whose keys are destroyed."""
    gone = {name.partition(":")[2] for name in destroyed}
    living = select(organisation.c.id).where(organisation.c.state != OrganisationState.ENDED.value)
    tenants = [one for one in change.connection.execute(living.order_by(organisation.c.id)).scalars() if one in gone]
    active = select(grant.c.id, grant.c.tenant).where(grant.c.state == GrantState.ACTIVE.value).order_by(grant.c.id)
    rows = [(str(row.id), str(row.tenant)) for row in change.connection.execute(active)]
    return tenants, [(one, tenant) for one, tenant in rows if one in gone or tenant in gone]
