"""Every operation by everybody who may not: refused, and nothing is changed, told or kept (D1, D5, D6; laws 5 and 6)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy import select

import export_gate.schema
import jobs.schema  # noqa: F401 - its tables are on the metadata
from export_gate import review
from export_gate.exports import get_export
from jobs import promotion
from jobs.runs import get_job, get_run
from lineage.errors import NotPermittedError, ShuzhaError
from lineage.schema import metadata
from sandbox import agreements, catalogue, parties, requests
from sandbox.access import Session
from sandbox.domain import new_id
from sandbox.roles import OrganisationKind, Permission, Role
from sandbox.states import PersonState
from tests.factories import PEOPLE, Stage, World, refused
from tests.fixtures_domain import WorldAt
from tests.operations import OPERATIONS, Operation


every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
ROLES: Mapping[str, Role] = {
    "officer": Role.AUTHORITY_OFFICER,
    "clerk": Role.REGISTRAR,
    **{login: role for login, (_, role) in PEOPLE.items()},
}


def everything(world: World) -> Mapping[str, list[tuple[Any, ...]]]:
    """All that the database holds."""
    with world.domain.read() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        }


def refusal(operation: Operation, world: World, session: Session) -> ShuzhaError:
    """Give the error with which an operation is refused."""
    with pytest.raises(NotPermittedError) as caught:
        operation.act(world, session)
    return caught.value


@every_operation
def test_without_the_permission_everybody_is_refused_by_name_of_it(operation: Operation, world_at: WorldAt) -> None:
    world = world_at(operation.stage)
    before = everything(world)
    without = [login for login, role in ROLES.items() if not operation.open_to(role)]
    assert without
    for login in without:
        error = refusal(operation, world, world.session(login))
        assert error.code == "permission.missing"
        assert error.params["permission"] in {f"label.permission.{one}" for one in operation.permissions}
    assert everything(world) == before


@every_operation
def test_a_refusal_for_want_of_permission_does_not_tell_whether_the_thing_exists(
    operation: Operation, world_at: WorldAt
) -> None:
    world = world_at(operation.stage)
    for login, role in ROLES.items():
        if operation.open_to(role):
            continue
        session = world.session(login)
        there = refusal(operation, world, session)
        gone = refusal(operation, _without(world, operation.target), session)
        assert (gone.code, gone.params) == (there.code, there.params)


@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if one.owner is not None], ids=lambda operation: operation.name
)
def test_anothers_thing_is_refused_in_the_words_for_one_that_is_not_there(
    operation: Operation, world_at: WorldAt
) -> None:
    world = world_at(operation.stage)
    before = everything(world)
    tenant = {
        Role.TENANT_MANAGER: "rival-manager",
        Role.PROCESSOR: "rival-processor",
        Role.PROVIDER_OFFICER: "captain",
    }
    other = world.session(tenant[ROLES[operation.login]])
    assert other.can(operation.permission)
    there, gone = refusal(operation, world, other), refusal(operation, _without(world, operation.target), other)
    assert there.code == gone.code
    assert set(there.params) <= {"name"}
    assert everything(world) == before


def _without(world: World, target: str | None) -> World:
    """The same world, where the operation is asked for an id that nobody has."""
    ids = dict(world.ids)
    if target is not None:
        ids[target] = new_id("Z")
    return dataclasses.replace(world, ids=ids)


@every_operation
def test_a_person_suspended_after_logging_in_is_refused(operation: Operation, world_at: WorldAt) -> None:
    world = world_at(operation.stage)
    session = world.session(operation.login)
    above = world.session("deputy")
    parties.advance_person(world.domain, above, session.person, PersonState.SUSPENDED)
    before = everything(world)
    with refused(NotPermittedError, "person.not-active"):
        operation.act(world, session)
    assert everything(world) == before
    assert not (world.domain.home.parent / f"for-{session.login}").exists()


@pytest.mark.parametrize(
    "operation",
    [one for one in OPERATIONS if one.login not in {"officer", "clerk", "reviewer"}],
    ids=lambda operation: operation.name,
)
def test_an_organisation_suspended_after_its_person_logged_in_is_refused(
    operation: Operation, world_at: WorldAt
) -> None:
    world = world_at(operation.stage)
    session = world.session(operation.login)
    parties.suspend(world.domain, world.session("officer"), session.organisation, "risk found")
    before = everything(world)
    with pytest.raises(NotPermittedError):
        operation.act(world, session)
    assert everything(world) == before
    assert not (world.domain.home.parent / f"for-{session.login}").exists()


@every_operation
def test_the_innocent_twin_is_let_do_it(operation: Operation, world_at: WorldAt) -> None:
    world = world_at(operation.stage)
    operation.act(world, world.session(operation.login))


def test_every_permission_that_changes_something_is_tried() -> None:
    reading = {
        Permission.BUDGET_READ,
        Permission.CATALOGUE_READ,
        Permission.JOB_READ,
        Permission.KEY_READ,
        Permission.LOG_READ,
        Permission.PARTY_READ,
    }
    tried = {operation.permission for operation in OPERATIONS}
    assert set(Permission) - reading - {Permission.VIEW_READ} == tried


Read = Callable[[Any, World, Session], object]
READS: Mapping[str, tuple[str, Read]] = {
    "scenario": ("scenario", lambda c, w, s: agreements.get_scenario(c, w.ids["scenario"], s)),
    "job": ("job", lambda c, w, s: get_job(c, w.ids["job"], s)),
    "run": ("run", lambda c, w, s: get_run(c, w.ids["run"], s)),
    "promotion": ("promotion", lambda c, w, s: promotion.get_promotion(c, w.ids["promotion"], s)),
    "export": ("export", lambda c, w, s: get_export(c, w.ids["export"], s)),
}


@pytest.mark.parametrize("name", READS)
def test_a_tenant_reads_its_own_and_hears_nothing_of_anothers(name: str, world_at: WorldAt) -> None:
    target, read = READS[name]
    world = world_at(Stage.RELEASED)
    own, other = world.session("processor"), world.session("rival-processor")
    with world.domain.read() as connection:
        read(connection, world, own)
        for asked in (world, _without(world, target)):
            with refused(NotPermittedError, "access.not-found") as caught:
                read(connection, asked, other)
            assert caught.value.params == {}


def test_a_tenants_lists_hold_its_own_only(world_at: WorldAt) -> None:
    from export_gate.exports import list_exports
    from jobs.promotion import list_promotions
    from jobs.runs import list_jobs

    world = world_at(Stage.RELEASED)
    rival, own, officer = (world.session(login) for login in ("rival-processor", "processor", "officer"))
    with world.domain.read() as connection:
        lists: list[Callable[[Session], list[Any]]] = [
            lambda session: list_exports(connection, session),
            lambda session: list_promotions(connection, session),
            lambda session: list_jobs(connection, session),
            lambda session: requests.list_requests(connection, session),
        ]
        for listing in lists:
            assert (len(listing(own)), len(listing(rival)), len(listing(officer))) == (1, 0, 1)
        assert {one.id for one in agreements.list_scenarios(connection, rival)} == {world.ids["scenario:rivals"]}
        assert {row[0] for row in agreements.list_agreements(connection, rival)} == {world.ids["agreement:rivals"]}
        assert {row[0] for row in agreements.list_agreements(connection, world.session("doctor"))} == set()


def test_a_provider_lists_its_own_tables_and_the_requests_for_them(world_at: WorldAt) -> None:
    world = world_at(Stage.REQUESTED)
    with world.domain.read() as connection:
        names = [one.name for one in catalogue.list_datasets(connection, world.session("captain"))]
        assert names == ["police.residents"]
        assert len(requests.list_requests(connection, world.session("captain"))) == 1
        assert requests.list_requests(connection, world.session("keeper")) == []


def acting_as(session: Session, role: Role) -> Session:
    """A session with a role that its organisation cannot hold: the last defence must not rest on the first."""
    return dataclasses.replace(session, roles=frozenset({role}))


@pytest.mark.parametrize("login", ["processor", "colleague"])
def test_a_promotion_is_not_decided_by_its_own_side(login: str, world_at: WorldAt) -> None:
    world = world_at(Stage.PROMOTION_REQUESTED)
    session = acting_as(world.session(login), Role.REVIEWER)
    with refused(NotPermittedError, "law.own-matter"):
        promotion.decide(world.domain, session, world.ids["promotion"], approve=True, reason="mine")


@pytest.mark.parametrize("login", ["processor", "colleague"])
def test_an_export_is_not_decided_by_its_own_side(login: str, world_at: WorldAt) -> None:
    world = world_at(Stage.IN_REVIEW)
    export, digest = world.ids["export"], world.ids["digest"]
    reviewer = acting_as(world.session(login), Role.REVIEWER)
    officer = acting_as(world.session(login), Role.AUTHORITY_OFFICER)
    with refused(NotPermittedError, "law.own-matter"):
        review.vote(world.domain, reviewer, export, review.Decision.APPROVE, reason="mine", digest=digest)
    with refused(NotPermittedError, "law.own-matter"):
        review.approve(world.domain, officer, export, reason="mine", digest=digest)
    with refused(NotPermittedError, "law.own-matter"):
        review.refuse(world.domain, officer, export, reason="mine")


@pytest.mark.parametrize("login", ["reviewer", "expert"])
def test_a_reviewer_who_became_an_officer_does_not_approve_what_they_voted_on(login: str, world_at: WorldAt) -> None:
    world = world_at(Stage.REVIEWED)
    officer = acting_as(world.session(login), Role.AUTHORITY_OFFICER)
    with refused(NotPermittedError, "law.own-matter"):
        review.approve(world.domain, officer, world.ids["export"], reason="again", digest=world.ids["digest"])


def test_a_request_is_not_decided_by_its_maker(world_at: WorldAt) -> None:
    world = world_at(Stage.REQUESTED)
    maker = acting_as(world.session("manager"), Role.AUTHORITY_OFFICER)
    with refused(NotPermittedError, "law.own-matter"):
        requests.approve(world.domain, maker, world.ids["request"])


Twins = tuple[Callable[[World, Session], object], Callable[[World, Session], bool]]


def _export_twins(check: Callable[..., None], can: Callable[..., bool]) -> Twins:
    def checked(world: World, session: Session) -> None:
        with world.domain.read() as connection:
            check(connection, session, get_export(connection, world.ids["export"]))

    def allowed(world: World, session: Session) -> bool:
        with world.domain.read() as connection:
            return can(connection, session, get_export(connection, world.ids["export"]))

    return checked, allowed


def _request_twins() -> Twins:
    def read(world: World) -> requests.Request:
        with world.domain.read() as connection:
            return requests.get_request(connection, world.ids["request"])

    return (
        lambda world, session: requests.check_can_decide(session, read(world)),
        lambda world, session: requests.can_decide(session, read(world)),
    )


@pytest.mark.parametrize(
    ("twins", "stage", "allowed"),
    [
        (_export_twins(review.check_can_review, review.can_review), Stage.IN_REVIEW, {"reviewer", "expert", "third"}),
        (_export_twins(review.check_can_approve, review.can_approve), Stage.REVIEWED, {"officer", "deputy"}),
        (_request_twins(), Stage.REQUESTED, {"officer", "deputy", "doctor", "captain"}),
    ],
    ids=["review", "approve", "decide"],
)
def test_what_a_button_shows_is_what_the_operation_lets_do(
    twins: Twins, stage: Stage, allowed: set[str], world_at: WorldAt
) -> None:
    world = world_at(stage)
    check, can = twins
    for login in ROLES:
        session = world.session(login)
        assert can(world, session) is (login in allowed), login
        if login in allowed:
            check(world, session)
            continue
        with pytest.raises(NotPermittedError):
            check(world, session)


def test_organisations_of_every_kind_are_tried() -> None:
    from tests.factories import ORGANISATIONS

    assert set(ORGANISATIONS.values()) == set(OrganisationKind) - {OrganisationKind.AUTHORITY}
    assert export_gate.schema.export.name in {table.name for table in metadata.sorted_tables}
