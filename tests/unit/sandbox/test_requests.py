"""Data requests: complete, narrowed only, approved by every provider and then the authority, once (A5, A6, I4, law 6)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from lineage.errors import DefinitionError, NotPermittedError, ShuzhaError
from lineage.kinds import Kind
from sandbox import catalogue, grants, parties, requests
from sandbox.domain import open_domain
from sandbox.requests import Item
from sandbox.schema import grant
from sandbox.states import PersonState, RequestState
from tests.factories import (
    COLUMNS,
    Stage,
    World,
    add_dataset,
    add_scenario,
    approve_as_authority,
    approve_as_providers,
    at,
    item,
    make_request,
    refused,
)
from tests.fixtures_domain import WorldAt


def state_of(world: World, request: str) -> RequestState:
    with world.domain.read() as connection:
        return requests.get_request(connection, request).state


def test_a_request_becomes_a_grant_of_just_what_was_asked(world_at: WorldAt) -> None:
    world = world_at(Stage.SCENARIO)
    asked = item("health.visits", "clinic", "cost", row_filter="clinic = 'a'")
    made = make_request(world, asked, days=9)
    approve_as_providers(world, made, "doctor")
    given_id = approve_as_authority(world, made)
    with world.domain.read() as connection:
        found = grants.live_grant(connection, world.ids["scenario"], at(world))
    assert (found.id, found.items, found.persons) == (given_id, (asked,), (world.ids["processor"],))


@pytest.mark.parametrize(
    ("items", "persons", "days", "kind", "code"),
    [
        ([], ["processor"], 9, DefinitionError, "request.incomplete"),
        ([item("health.visits")], [], 9, DefinitionError, "request.incomplete"),
        ([item("health.visits")], ["processor"], 0, DefinitionError, "request.incomplete"),
        ([item("health.visits")], ["processor"], -1, DefinitionError, "request.incomplete"),
        ([item("health.visits"), item("health.visits", "cost")], ["processor"], 9, DefinitionError, "request.bad-item"),
        ([Item("health.visits", ("nothing",))], ["processor"], 9, DefinitionError, "dataset.no-such-column"),
        ([Item("health.nothing", ("cost",))], ["processor"], 9, NotPermittedError, "dataset.unknown"),
        ([item("health.visits")], ["manager"], 9, DefinitionError, "request.not-a-processor"),
        ([item("health.visits")], ["rival-processor"], 9, NotPermittedError, "access.not-found"),
        ([item("health.visits")], ["nobody"], 9, NotPermittedError, "access.not-found"),
    ],
)
def test_what_is_incomplete_or_wrong_is_not_asked(
    world_at: WorldAt, items: list[Item], persons: list[str], days: float, kind: type[ShuzhaError], code: str
) -> None:
    world = world_at(Stage.SCENARIO)
    count = len(world.log())
    with refused(kind, code):
        requests.make(
            world.domain,
            world.session("manager"),
            scenario_id=world.ids["scenario"],
            items=items,
            persons=persons,
            purpose="to plan",
            until=world.hands() + timedelta(days=days),
        )
    assert len(world.log()) == count


@pytest.mark.parametrize("columns", [(), ("cost", "cost")], ids=["none", "twice"])
def test_an_item_names_each_column_once(columns: tuple[str, ...]) -> None:
    with refused(DefinitionError, "request.bad-item"):
        Item("health.visits", columns)


def test_a_dataset_is_asked_for_by_its_name_alone(world_at: WorldAt) -> None:
    """By its id it could stand in a request twice, and be narrowed in one place and not in the other."""
    world = world_at(Stage.SCENARIO)
    by_id = Item(world.ids["health.visits"], ("cost",))
    with refused(NotPermittedError, "dataset.unknown"):
        make_request(world, item("health.visits", "clinic"), by_id)


def test_an_inactive_processor_is_not_named(world_at: WorldAt) -> None:
    world = world_at(Stage.SCENARIO)
    parties.advance_person(world.domain, world.session("officer"), world.ids["processor"], PersonState.SUSPENDED)
    with refused(DefinitionError, "request.not-a-processor"):
        make_request(world)


@pytest.mark.parametrize("column", [None, "cost", "resident_id"], ids=["dataset", "column", "subject key"])
def test_what_law_closes_is_not_requested(world_at: WorldAt, column: str | None) -> None:
    world = world_at(Stage.SCENARIO)
    catalogue.close(world.domain, world.session("doctor"), "health.visits", column, "by law")
    code = "request.closed-dataset" if column is None else "request.closed-column"
    with refused(NotPermittedError, code):
        make_request(world, item("health.visits", "clinic", "cost"))
    if column == "cost":
        make_request(world, item("health.visits", "clinic"))


@pytest.mark.parametrize("column", [None, "cost"], ids=["dataset", "column"])
@pytest.mark.parametrize("stage", [Stage.REQUESTED, Stage.PROVIDER_APPROVED])
def test_what_law_closes_meanwhile_is_not_granted(world_at: WorldAt, stage: Stage, column: str | None) -> None:
    world = world_at(stage)
    catalogue.close(world.domain, world.session("doctor"), "health.visits", column, "by law")
    login = "captain" if stage is Stage.REQUESTED else "officer"
    with refused(NotPermittedError, "request.closed-dataset" if column is None else "request.closed-column"):
        requests.approve(world.domain, world.session(login), world.ids["request"])
    if column is not None and stage is Stage.PROVIDER_APPROVED:
        requests.narrow(
            world.domain,
            world.session("doctor"),
            world.ids["request"],
            item("health.visits", "resident_id", "clinic"),
        )
        approve_as_authority(world, world.ids["request"])
    else:
        requests.refuse(world.domain, world.session(login), world.ids["request"], "closed by law")


def test_what_is_not_graded_is_not_requested(world_at: WorldAt) -> None:
    world = world_at(Stage.SCENARIO)
    doctor = world.session("doctor")
    catalogue.declare(
        world.domain,
        doctor,
        name="health.beds",
        title="Beds",
        columns=[("clinic", "string"), ("beds", "int")],
        schema={},
        subject=None,
    )
    graded = COLUMNS["health.visits"]["clinic"]
    catalogue.grade(world.domain, doctor, "health.beds", {"clinic": (*graded, "")})
    make_request(world, Item("health.beds", ("clinic",)))
    with refused(DefinitionError, "request.ungraded"):
        make_request(world, Item("health.beds", ("clinic", "beds")))


NAMES = tuple(COLUMNS["health.visits"])
ITEMS = st.builds(
    Item,
    st.sampled_from(["health.visits", "police.residents"]),
    st.lists(st.sampled_from(NAMES), min_size=1, unique=True).map(tuple),
    st.sampled_from([None, "cost > 1", "cost > 2"]),
)


@given(ITEMS, ITEMS)
def test_narrower_is_never_more(one: Item, other: Item) -> None:
    if not one.within(other):
        return
    assert one.dataset == other.dataset
    assert set(one.columns) <= set(other.columns)
    assert other.row_filter in {None, one.row_filter}
    if other.within(one):
        assert (set(one.columns), one.row_filter) == (set(other.columns), other.row_filter)


@given(ITEMS, ITEMS, ITEMS)
def test_narrowing_twice_is_narrowing(first: Item, second: Item, third: Item) -> None:
    assert first.within(first)
    if first.within(second) and second.within(third):
        assert first.within(third)


@pytest.mark.parametrize(
    "wider",
    [
        item("health.visits", "clinic", "cost"),
        item("health.visits", "district"),
        item("health.visits", "clinic", row_filter="cost > 2"),
        item("health.visits", "clinic"),
        item("police.residents", "age"),
    ],
    ids=["one more column", "another column", "another filter", "no filter", "not in the request"],
)
@pytest.mark.parametrize("login", ["doctor", "officer"])
def test_a_request_only_becomes_less(world_at: WorldAt, login: str, wider: Item) -> None:
    if login == "doctor" and wider.dataset != "health.visits":
        return
    world = world_at(Stage.SCENARIO)
    made = make_request(world, item("health.visits", "clinic", row_filter="cost > 1"))
    with refused(DefinitionError, "request.not-narrower"):
        requests.narrow(world.domain, world.session(login), made, wider)


def test_what_was_narrowed_is_what_is_granted(world_at: WorldAt) -> None:
    world = world_at(Stage.REQUESTED)
    made = world.ids["request"]
    first = item("health.visits", "clinic", "cost", row_filter="cost > 1")
    last = item("health.visits", "clinic", row_filter="cost > 1")
    requests.narrow(world.domain, world.session("doctor"), made, first)
    approve_as_providers(world, made)
    requests.narrow(world.domain, world.session("officer"), made, last)
    given_id = approve_as_authority(world, made)
    with world.domain.read() as connection:
        items = grants.get_grant(connection, given_id).items
    assert items == (last, item("police.residents"))
    told = [entry.payload for entry in world.log() if entry.kind is Kind.REQUEST_NARROWED]
    assert [payload["after"]["columns"] for payload in told] == [["clinic", "cost"], ["clinic"]]
    assert [payload["before"]["columns"] for payload in told] == [list(COLUMNS["health.visits"]), ["clinic", "cost"]]


def test_a_row_condition_is_the_providers_to_add(world_at: WorldAt) -> None:
    """After the provider's approval a condition of somebody else's could single a person out."""
    world = world_at(Stage.PROVIDER_APPROVED)
    filtered = item("health.visits", row_filter="resident_id = '1'")
    with refused(DefinitionError, "request.not-narrower"):
        requests.narrow(world.domain, world.session("officer"), world.ids["request"], filtered)
    requests.narrow(world.domain, world.session("doctor"), world.ids["request"], filtered)


def test_a_provider_narrows_its_own_dataset_only(world_at: WorldAt) -> None:
    world = world_at(Stage.REQUESTED)
    with refused(NotPermittedError, "dataset.unknown"):
        requests.narrow(world.domain, world.session("captain"), world.ids["request"], item("health.visits", "cost"))


def test_a_provider_that_is_not_concerned_hears_nothing_of_the_request(world_at: WorldAt) -> None:
    world = world_at(Stage.SCENARIO)
    made = make_request(world, item("health.visits"))
    captain = world.session("captain")
    own = item("police.residents", "age")
    for request in (made, "R-none"):
        with refused(NotPermittedError, "access.not-found"):
            requests.approve(world.domain, captain, request)
        with refused(NotPermittedError, "access.not-found"):
            requests.refuse(world.domain, captain, request, "no")
        with refused(NotPermittedError, "access.not-found"):
            requests.narrow(world.domain, captain, request, own)
    with world.domain.read() as connection:
        assert requests.list_requests(connection, captain) == []


def test_the_authority_waits_for_every_provider(world_at: WorldAt) -> None:
    world = world_at(Stage.REQUESTED)
    made = world.ids["request"]
    with refused(DefinitionError, "state.cannot-move"):
        requests.approve(world.domain, world.session("officer"), made)
    approve_as_providers(world, made, "doctor")
    assert state_of(world, made) is RequestState.SUBMITTED
    with refused(DefinitionError, "state.cannot-move"):
        requests.approve(world.domain, world.session("officer"), made)
    approve_as_providers(world, made, "captain")
    assert state_of(world, made) is RequestState.PROVIDER_APPROVED
    approve_as_authority(world, made)
    assert state_of(world, made) is RequestState.APPROVED


def test_a_provider_approves_once_for_all_its_datasets(world_at: WorldAt) -> None:
    world = world_at(Stage.SCENARIO)
    add_dataset(world, "doctor", "health.clinics", {"clinic": COLUMNS["health.visits"]["clinic"]})
    made = make_request(world, item("health.visits"), Item("health.clinics", ("clinic",)), item("police.residents"))
    approve_as_providers(world, made, "doctor")
    with refused(DefinitionError, "request.decided"):
        requests.approve(world.domain, world.session("doctor"), made)
    approve_as_providers(world, made, "captain")
    assert state_of(world, made) is RequestState.PROVIDER_APPROVED


@pytest.mark.parametrize("login", ["doctor", "officer"])
@pytest.mark.parametrize("end", ["approved", "refused"])
def test_what_is_decided_stays_decided(world_at: WorldAt, end: str, login: str) -> None:
    world = world_at(Stage.GRANTED if end == "approved" else Stage.REQUESTED)
    made, session = world.ids["request"], world.session(login)
    if end == "refused":
        requests.refuse(world.domain, session, made, "too much")
    state = state_of(world, made)
    with pytest.raises(DefinitionError):
        requests.approve(world.domain, session, made)
    with pytest.raises(DefinitionError):
        requests.refuse(world.domain, session, made, "again")
    with refused(DefinitionError, "request.decided"):
        requests.narrow(world.domain, session, made, item("health.visits", "cost"))
    assert state_of(world, made) is state


@pytest.mark.parametrize("reason", ["", " \n", "　"])
@pytest.mark.parametrize("login", ["doctor", "officer"])
def test_a_refusal_gives_its_reason(world_at: WorldAt, login: str, reason: str) -> None:
    world = world_at(Stage.REQUESTED)
    with refused(DefinitionError, "reason.missing"):
        requests.refuse(world.domain, world.session(login), world.ids["request"], reason)
    requests.refuse(world.domain, world.session(login), world.ids["request"], "too much")
    with world.domain.read() as connection:
        assert requests.get_request(connection, world.ids["request"]).reason == "too much"


def test_a_request_whose_term_is_over_is_not_granted(world_at: WorldAt) -> None:
    world = world_at(Stage.SCENARIO)
    made = make_request(world, item("health.visits"), days=5)
    approve_as_providers(world, made, "doctor")
    world.hands.forward(days=5)
    with refused(DefinitionError, "request.past"):
        requests.approve(world.domain, world.session("officer"), made)
    requests.refuse(world.domain, world.session("officer"), made, "too late")


def test_nothing_is_granted_to_a_tenant_that_may_not_work(world_at: WorldAt) -> None:
    world = world_at(Stage.PROVIDER_APPROVED)
    parties.suspend(world.domain, world.session("officer"), world.ids["medica"], "risk found")
    with refused(NotPermittedError, "work.tenant-suspended"):
        requests.approve(world.domain, world.session("officer"), world.ids["request"])


def test_nothing_is_granted_after_the_agreements_term(world_at: WorldAt) -> None:
    world = world_at(Stage.CATALOGUE)
    world.ids["scenario"] = add_scenario(world, "medica", "short", days=5)
    made = make_request(world, item("health.visits"), days=20)
    approve_as_providers(world, made, "doctor")
    world.hands.forward(days=5)
    with refused(NotPermittedError, "work.agreement-over"):
        requests.approve(world.domain, world.session("officer"), made)


def test_two_approvals_at_the_same_instant_make_one_grant(world_on: WorldAt) -> None:
    world = world_on(Stage.PROVIDER_APPROVED)
    sessions = [world.session("officer"), world.session("deputy")] * 2
    start = Barrier(len(sessions))

    def approve(place: int) -> str:
        # A domain opened anew has its own connections, as another process would.
        own = open_domain(world.domain.home, clock=world.hands)
        start.wait(timeout=60)
        try:
            return str(requests.approve(own, sessions[place], world.ids["request"]))
        except DefinitionError as error:
            return error.code

    with ThreadPoolExecutor(len(sessions)) as pool:
        answers = sorted(pool.map(approve, range(len(sessions))))
    with world.domain.read() as connection:
        (only,) = connection.execute(select(grant.c.id)).scalars()
        assert connection.execute(select(func.count()).select_from(grant)).scalar() == 1
    assert answers == sorted([only] + ["state.cannot-move"] * (len(sessions) - 1))
    assert world.kinds().count(Kind.GRANT_STARTED) == 1
    assert world.verified().holds
