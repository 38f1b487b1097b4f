"""Data requests and grants: what is asked, narrowed, approved by every provider and then by the authority (A5, A6, law 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from lineage.canonical import Json
from lineage.clock import stamp
from lineage.errors import DefinitionError, NotPermittedError
from lineage.kinds import Kind
from lineage.log import Change
from sandbox.access import Session, check_still_active
from sandbox.agreements import get_scenario, reason_not_to_work
from sandbox.catalogue import Dataset, columns_of, get_dataset, own_dataset
from sandbox.domain import Domain, new_id
from sandbox.parties import get_person
from sandbox.roles import OrganisationKind, Permission, Role
from sandbox.schema import dataset, grant, request, request_approval, scenario
from sandbox.states import REQUEST, GrantState, PersonState, RequestState


@dataclass(frozen=True)
class Item:
    """What of one dataset: columns, and a condition on its own columns that rows must meet (least necessary, D5)."""

    dataset: str
    columns: tuple[str, ...]
    row_filter: str | None = None

    def __post_init__(self) -> None:
        """Refuse an item without columns or with one twice."""
        if not self.columns or len(set(self.columns)) != len(self.columns):
            raise DefinitionError("request.bad-item", dataset=self.dataset)

    @property
    def json(self) -> dict[str, Json]:
        """The stored form."""
        return {"dataset": self.dataset, "columns": list(self.columns), "row_filter": self.row_filter}

    def within(self, wider: Item) -> bool:
        """Whether this asks for no more than ``wider``: the same or fewer columns; a filter may be added, not changed."""
        same_filter = wider.row_filter is None or self.row_filter == wider.row_filter
        return self.dataset == wider.dataset and set(self.columns) <= set(wider.columns) and same_filter


@dataclass(frozen=True)
class Request:
    """A request as read."""

    id: str
    scenario: str
    items: tuple[Item, ...]
    persons: tuple[str, ...]
    purpose: str
    until: str
    state: RequestState
    made_by: str
    reason: str | None


def make(
    domain: Domain,
    session: Session,
    *,
    scenario_id: str,
    items: Sequence[Item],
    persons: Sequence[str],
    purpose: str,
    until: datetime,
) -> str:
    """Ask for data under an own scenario; gives the request's id.

    Raises:
        NotPermittedError: the person may not, the scenario is another's or closed, a dataset or column is closed (I4).
        DefinitionError: a column is unknown or ungraded, a person is no active processor, the end is past.
    """
    session.check(Permission.REQUEST_MAKE)
    _check_once_each(items)
    identity = new_id("R")
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        get_scenario(change.connection, scenario_id, session)
        check_working(change, scenario_id)
        if not items or not purpose.strip() or until <= change.moment:
            raise DefinitionError("request.incomplete")
        for item in items:
            _check_item(change.connection, item)
        processors = [_processor(change.connection, session, login) for login in persons]
        if not processors:
            raise DefinitionError("request.incomplete")
        change.connection.execute(
            insert(request).values(
                id=identity,
                scenario=scenario_id,
                items=[item.json for item in items],
                persons=processors,
                purpose=purpose,
                until=stamp(until),
                state=RequestState.SUBMITTED.value,
                made_by=session.person,
                made=change.at,
            )
        )
        providers = sorted({get_dataset(change.connection, item.dataset).provider for item in items})
        payload: dict[str, Json] = {"items": [item.json for item in items], "persons": list(processors)}
        payload |= {"purpose": purpose, "until": stamp(until)}
        change.record(Kind.REQUEST_MADE, [identity, scenario_id, *providers], payload)
    return identity


def narrow(domain: Domain, session: Session, identity: str, item: Item) -> None:
    """Let a provider, or the authority, cut one item down; it can only become less (A6).

    Raises:
        NotPermittedError: the person may not, or made the request (law 6).
        DefinitionError: the item is not in the request, or asks for more than before.
    """
    _check_side(session)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = concerning(change.connection, session, identity)
        if session.kind is OrganisationKind.PROVIDER:
            own_dataset(change.connection, session, item.dataset)
        if found.state not in {RequestState.SUBMITTED, RequestState.PROVIDER_APPROVED}:
            raise DefinitionError("request.decided", request=identity)
        wider = next((old for old in found.items if old.dataset == item.dataset), None)
        # Only the table's own provider may add a row condition: after its approval another's could single a person out.
        by_other = (
            wider is not None and item.row_filter != wider.row_filter and session.kind is not OrganisationKind.PROVIDER
        )
        if wider is None or by_other or not item.within(wider):
            raise DefinitionError("request.not-narrower", dataset=item.dataset)
        _check_item(change.connection, item)
        items = [item if old.dataset == item.dataset else old for old in found.items]
        change.connection.execute(
            update(request).where(request.c.id == identity).values(items=[one.json for one in items])
        )
        change.record(Kind.REQUEST_NARROWED, [identity], {"before": wider.json, "after": item.json})


def approve(domain: Domain, session: Session, identity: str) -> str | None:
    """Approve as a provider of a requested dataset, or, after all of them, as the authority; then gives the grant's id.

    Raises:
        NotPermittedError: the person may not, or made the request (law 6).
        DefinitionError: it is not this side's turn, decided already, or its term is over.
    """
    _check_side(session)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = concerning(change.connection, session, identity)
        check_working(change, found.scenario)
        # What was closed after the request was made cannot be authorized any more than before (I4).
        for item in found.items:
            _check_item(change.connection, item)
        if found.until <= change.at:
            raise DefinitionError("request.past", until=found.until)
        if session.kind is OrganisationKind.PROVIDER:
            _approve_as_provider(change, session, found)
            return None
        return _approve_as_authority(change, found)


def refuse(domain: Domain, session: Session, identity: str, reason: str) -> None:
    """Refuse a request with a reason, as one of its providers or as the authority (A6)."""
    if not reason.strip():
        raise DefinitionError("reason.missing")
    _check_side(session)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = concerning(change.connection, session, identity)
        REQUEST.check_move(found.state, RequestState.REFUSED)
        values = {"state": RequestState.REFUSED.value, "reason": reason}
        change.connection.execute(update(request).where(request.c.id == identity).values(**values))
        change.record(Kind.REQUEST_REFUSED, [identity, found.scenario], {"reason": reason})


def check_can_decide(session: Session, found: Request) -> None:
    """Check who: a provider's or the authority's officer, never the maker (law 6).

    Raises:
        NotPermittedError: with the permission that is missing.
    """
    if found.made_by == session.person:
        raise NotPermittedError("law.own-matter")
    _check_side(session)


def can_decide(session: Session, found: Request) -> bool:
    """Whether ``check_can_decide`` would let the person decide."""
    try:
        check_can_decide(session, found)
    except NotPermittedError:
        return False
    return True


def check_working(change: Change, scenario_id: str) -> None:
    """Check that work may go on under a scenario now.

    Raises:
        NotPermittedError: the tenant is suspended, or the agreement or scenario is over (A8, A9).
    """
    reason = reason_not_to_work(change.connection, scenario_id, change.at)
    if reason is not None:
        raise NotPermittedError(f"work.{reason.removeprefix('reason.')}", scenario=scenario_id)


def providers_of(connection: Connection, found: Request) -> frozenset[str]:
    """Give the organisations whose datasets a request names."""
    return frozenset(get_dataset(connection, item.dataset).provider for item in found.items)


def get_request(connection: Connection, identity: str) -> Request:
    """Read a request.

    Raises:
        NotPermittedError: there is none.
    """
    row = connection.execute(select(request).where(request.c.id == identity)).one_or_none()
    if row is None:
        raise NotPermittedError("access.not-found")
    return _request(row)


def list_requests(connection: Connection, session: Session) -> list[Request]:
    """Read the requests that concern a session: a tenant's own, a provider's tables', all for the authority and its experts."""
    return _visible(connection, session, select(request).order_by(request.c.made, request.c.id))


def read_request(connection: Connection, session: Session, identity: str) -> Request:
    """Read one of the requests that concern a session.

    Raises:
        NotPermittedError: there is none, or it concerns others only (D1).
    """
    found = _visible(connection, session, select(request).where(request.c.id == identity))
    if not found:
        raise NotPermittedError("access.not-found")
    return found[0]


def concerning(connection: Connection, session: Session, identity: str) -> Request:
    """Read a request for somebody who is to decide on it; the first thing a decision does, so that nothing else answers before.

    Raises:
        NotPermittedError: no such permission; then there is none or it concerns other providers; then it is their own (D1, law 6).
    """
    _check_side(session)
    found = read_request(connection, session, identity)
    check_can_decide(session, found)
    return found


def _visible(connection: Connection, session: Session, query: Select[Any]) -> list[Request]:
    # The registrar files people and the maintainer keeps machines: neither has a part in what is asked for (D5).
    if session.kind is OrganisationKind.MAINTAINER or Role.REGISTRAR in session.roles:
        return []
    if session.kind is OrganisationKind.TENANT:
        own = scenario.c.tenant == session.organisation
        query = query.join(scenario, scenario.c.id == request.c.scenario).where(own)
    found = [_request(row) for row in connection.execute(query)]
    if session.kind is not OrganisationKind.PROVIDER:
        return found
    own_tables = set(
        connection.execute(select(dataset.c.name).where(dataset.c.provider == session.organisation)).scalars()
    )
    return [one for one in found if own_tables & {item.dataset for item in one.items}]


def _check_once_each(items: Sequence[Item]) -> None:
    """A dataset asked for twice could be narrowed in one place and not in the other."""
    names = [item.dataset for item in items]
    for name in names:
        if names.count(name) > 1:
            raise DefinitionError("request.bad-item", dataset=name)


def _check_side(session: Session) -> None:
    """Check the permission alone, before anything is looked up: a refusal must not tell whether a request exists (D1)."""
    provider = session.kind is OrganisationKind.PROVIDER
    session.check(Permission.REQUEST_DECIDE_AS_PROVIDER if provider else Permission.REQUEST_DECIDE_AS_AUTHORITY)


def _approve_as_provider(change: Change, session: Session, found: Request) -> None:
    needed = providers_of(change.connection, found)
    if found.state is not RequestState.SUBMITTED:
        raise DefinitionError("request.decided", request=found.id)
    done = select(request_approval.c.organisation).where(request_approval.c.request == found.id)
    approved = set(change.connection.execute(done).scalars())
    if session.organisation in approved:
        raise DefinitionError("request.decided", request=found.id)
    change.connection.execute(
        insert(request_approval).values(
            request=found.id, organisation=session.organisation, person=session.person, at=change.at
        )
    )
    if approved | {session.organisation} == needed:
        REQUEST.check_move(found.state, RequestState.PROVIDER_APPROVED)
        change.connection.execute(
            update(request).where(request.c.id == found.id).values(state=RequestState.PROVIDER_APPROVED.value)
        )
    change.record(Kind.REQUEST_PROVIDER_APPROVED, [found.id, session.organisation], {})


def _approve_as_authority(change: Change, found: Request) -> str:
    REQUEST.check_move(found.state, RequestState.APPROVED)
    change.connection.execute(update(request).where(request.c.id == found.id).values(state=RequestState.APPROVED.value))
    tenant = get_scenario(change.connection, found.scenario).tenant
    identity = new_id("G")
    change.connection.execute(
        insert(grant).values(
            id=identity,
            request=found.id,
            scenario=found.scenario,
            tenant=tenant,
            items=[item.json for item in found.items],
            persons=list(found.persons),
            started=change.at,
            until=found.until,
            state=GrantState.ACTIVE.value,
        )
    )
    change.record(Kind.REQUEST_APPROVED, [found.id], {})
    change.record(Kind.GRANT_STARTED, [identity, found.id, found.scenario, tenant], {"until": found.until})
    return identity


def _check_item(connection: Connection, item: Item) -> None:
    found = get_dataset(connection, item.dataset)
    if found.name != item.dataset:
        raise NotPermittedError("dataset.unknown", name=item.dataset)
    listed = {column.name: column for column in columns_of(connection, found.id)}
    if found.closed:
        raise NotPermittedError("request.closed-dataset", dataset=found.name)
    for name in _needed(found, item):
        if name not in listed:
            raise DefinitionError("dataset.no-such-column", dataset=found.name, column=name)
        if listed[name].closed:
            raise NotPermittedError("request.closed-column", dataset=found.name, column=name)
        if listed[name].graded is None:
            raise DefinitionError("request.ungraded", dataset=found.name, column=name)


def _needed(found: Dataset, item: Item) -> set[str]:
    """The columns an item names and the subject key, without which nothing can be counted by person."""
    return set(item.columns) | ({found.subject_column} if found.subject_column else set())


def _processor(connection: Connection, session: Session, login: str) -> str:
    found = get_person(connection, login, of=session.organisation)
    if found.state is not PersonState.ACTIVE or Role.PROCESSOR not in found.roles:
        raise DefinitionError("request.not-a-processor", person=login)
    return found.id


def item_from_json(value: Mapping[str, Any]) -> Item:
    """Read a stored item."""
    return Item(value["dataset"], tuple(value["columns"]), value["row_filter"])


def _request(row: Row[Any]) -> Request:
    return Request(
        id=row.id,
        scenario=row.scenario,
        items=tuple(item_from_json(item) for item in row.items),
        persons=tuple(row.persons),
        purpose=row.purpose,
        until=row.until,
        state=RequestState(row.state),
        made_by=row.made_by,
        reason=row.reason,
    )
