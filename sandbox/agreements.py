"""Agreements and scenarios: the contract, and one purpose under it (A3, A5, A9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from lineage.clock import stamp
from lineage.errors import DefinitionError, NotPermittedError
from lineage.kinds import Kind
from lineage.log import Change
from sandbox.access import Session, check_still_active
from sandbox.domain import Domain, new_id
from sandbox.parties import get_organisation
from sandbox.roles import OrganisationKind, Permission
from sandbox.schema import agreement, check_line, organisation, scenario
from sandbox.states import AgreementState, OrganisationState, ScenarioState


REQUIRED_TERMS = ("scope", "rights_and_duties", "security", "revenue", "exit", "breach", "asset_disposal")
"""What article C3 / J9 asks an agreement to hold, beside parties and term."""


@dataclass(frozen=True)
class Agreement:
    """An agreement as read."""

    id: str
    tenant: str
    state: AgreementState
    until: str


@dataclass(frozen=True)
class Scenario:
    """A scenario as read, with the standing that decides whether anything may be done under it."""

    id: str
    agreement: str
    tenant: str
    name: str
    purpose: str


def sign_agreement(domain: Domain, session: Session, *, tenant: str, terms: Mapping[str, str], until: datetime) -> str:
    """Put a signed agreement on record; gives its id.

    Raises:
        DefinitionError: a term that the measures ask for is missing, or the end is past.
        NotPermittedError: the person may not, or the tenant is suspended or ended: an end is final (A8, A9).
    """
    session.check(Permission.AGREEMENT_SIGN)
    missing = [term for term in REQUIRED_TERMS if not terms.get(term, "").strip()]
    if missing:
        raise DefinitionError("agreement.terms-missing", terms="|".join(f"label.term.{term}" for term in missing))
    identity = new_id("A")
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        party = get_organisation(change.connection, tenant)
        if party.kind is not OrganisationKind.TENANT:
            raise DefinitionError("agreement.not-a-tenant", name=party.name)
        if party.state is not OrganisationState.ACTIVE:
            state = f"label.organisation.{party.state}"
            raise NotPermittedError("organisation.not-active", organisation=party.name, state=state)
        if until <= change.moment:
            raise DefinitionError("agreement.past", until=stamp(until))
        change.connection.execute(
            insert(agreement).values(
                id=identity,
                tenant=party.id,
                terms=dict(terms),
                state=AgreementState.ACTIVE.value,
                signed=change.at,
                until=stamp(until),
            )
        )
        change.record(Kind.AGREEMENT_SIGNED, [identity, party.id], {"terms": dict(terms), "until": stamp(until)})
    return identity


def open_scenario(domain: Domain, session: Session, *, agreement_id: str, name: str, purpose: str) -> str:
    """Open one scenario under an agreement (一场景一授权, A5); gives its id.

    Raises:
        NotPermittedError: the person may not, or the agreement is over.
        DefinitionError: name or purpose is missing, or the agreement has a scenario of that name.
    """
    session.check(Permission.SCENARIO_OPEN)
    if not purpose.strip() or not name.strip():
        raise DefinitionError("reason.missing")
    check_line(scenario.c.name, name)
    identity = new_id("S")
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        tenant = check_agreement(change, agreement_id)
        same = (scenario.c.agreement == agreement_id) & (scenario.c.name == name)
        if change.connection.execute(select(scenario.c.id).where(same)).scalar():
            raise DefinitionError("scenario.name-taken", name=name)
        change.connection.execute(
            insert(scenario).values(
                id=identity,
                agreement=agreement_id,
                tenant=tenant,
                name=name,
                purpose=purpose,
                state=ScenarioState.OPEN.value,
            )
        )
        change.record(Kind.SCENARIO_OPENED, [identity, agreement_id, tenant], {"name": name, "purpose": purpose})
    return identity


def check_agreement(change: Change, identity: str) -> str:
    """Check that an agreement runs now; gives its tenant.

    Raises:
        NotPermittedError: it has ended or its term is over (A9).
    """
    found = agreement_of(change.connection, identity)
    if found.state is not AgreementState.ACTIVE or found.until <= change.at:
        raise NotPermittedError("agreement.over", agreement=identity)
    return found.tenant


def agreement_of(connection: Connection, identity: str) -> Agreement:
    """Read an agreement.

    Raises:
        NotPermittedError: there is none.
    """
    row = connection.execute(select(agreement).where(agreement.c.id == identity)).one_or_none()
    if row is None:
        raise NotPermittedError("access.not-found")
    return Agreement(row.id, row.tenant, AgreementState(row.state), row.until)


def get_scenario(connection: Connection, identity: str, session: Session | None = None) -> Scenario:
    """Read a scenario; with a tenant's session only its own (D1).

    Raises:
        NotPermittedError: there is none, or it is another tenant's.
    """
    row = connection.execute(select(scenario).where(scenario.c.id == identity)).one_or_none()
    if row is None:
        raise NotPermittedError("access.not-found")
    if session is not None and session.kind is OrganisationKind.TENANT:
        session.check_own(row.tenant)
    return Scenario(row.id, row.agreement, row.tenant, row.name, row.purpose)


def reason_not_to_work(connection: Connection, scenario_id: str, at: str) -> str | None:
    """Give the code of the reason why nothing may run under a scenario now, or None (A8, A9)."""
    query = (
        select(
            scenario.c.state,
            agreement.c.state.label("agreed"),
            agreement.c.until,
            organisation.c.state.label("standing"),
        )
        .join(agreement, agreement.c.id == scenario.c.agreement)
        .join(organisation, organisation.c.id == scenario.c.tenant)
        .where(scenario.c.id == scenario_id)
    )
    row = connection.execute(query).one_or_none()
    if row is None or row.state != ScenarioState.OPEN:
        return "reason.scenario-closed"
    if row.standing != OrganisationState.ACTIVE:
        return "reason.tenant-suspended"
    if row.agreed != AgreementState.ACTIVE or row.until <= at:
        return "reason.agreement-over"
    return None


def close_agreement(change: Change, identity: str, reason: str) -> str:
    """Mark an agreement and its scenarios as ended inside a transaction; gives the tenant. Keys: see ``sandbox.grants``."""
    row = agreement_of(change.connection, identity)
    if row.state is not AgreementState.ACTIVE:
        raise DefinitionError("agreement.already-ended", agreement=identity)
    change.connection.execute(
        update(agreement).where(agreement.c.id == identity).values(state=AgreementState.ENDED.value)
    )
    change.connection.execute(
        update(scenario).where(scenario.c.agreement == identity).values(state=ScenarioState.CLOSED.value)
    )
    change.record(Kind.AGREEMENT_ENDED, [identity, row.tenant], {"reason": reason})
    return row.tenant


def live_agreements(connection: Connection, tenant: str) -> list[str]:
    """Give the ids of a tenant's agreements that have not ended."""
    query = select(agreement.c.id).where(agreement.c.tenant == tenant, agreement.c.state == AgreementState.ACTIVE.value)
    return list(connection.execute(query).scalars())


def list_agreements(connection: Connection, session: Session) -> list[tuple[str, str, str, str]]:
    """Read agreements as (id, tenant's name, state, end): a tenant its own, authority staff all."""
    session.check(Permission.CATALOGUE_READ)
    query = (
        select(agreement.c.id, organisation.c.name, agreement.c.state, agreement.c.until)
        .join(organisation, organisation.c.id == agreement.c.tenant)
        .order_by(agreement.c.signed)
    )
    if session.kind in {OrganisationKind.TENANT, OrganisationKind.PROVIDER}:
        query = query.where(agreement.c.tenant == session.organisation)
    return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]


def list_scenarios(connection: Connection, session: Session) -> list[Scenario]:
    """Read scenarios: a tenant its own, a provider none but through requests, authority staff all (D1)."""
    session.check(Permission.CATALOGUE_READ)
    query = select(scenario).order_by(scenario.c.name)
    if session.kind in {OrganisationKind.TENANT, OrganisationKind.PROVIDER}:
        query = query.where(scenario.c.tenant == session.organisation)
    return [Scenario(row.id, row.agreement, row.tenant, row.name, row.purpose) for row in connection.execute(query)]
