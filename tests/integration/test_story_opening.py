"""Acts 1 and 3: who may act at all, on what, and after whose approval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from desensitize.granting import provision_grant
from lineage.errors import DefinitionError, NotPermittedError, ShuzhaError
from lineage.kinds import Kind
from sandbox.access import authenticate
from sandbox.agreements import open_scenario
from sandbox.catalogue import close, declare
from sandbox.enrolment import confirm_role, new_token, propose_role
from sandbox.grants import Zone
from sandbox.parties import advance_person, file_person, get_person
from sandbox.requests import Item, approve, make, narrow, refuse
from sandbox.roles import Role
from sandbox.schema import grant
from sandbox.states import PersonState
from tests.fixtures_story import Played


if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.jail, pytest.mark.spark]

NARROWED = {"sex", "household_id"}


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(ShuzhaError) as caught:
        action()
    return caught.value.code


def test_a_second_role_that_would_check_the_first_is_refused(played: Played) -> None:
    stage, clerk = played.play.stage, played.session("he")
    assert played.play.facts["second_role"] == "role.incompatible"
    assert code_of(lambda: propose_role(stage, clerk, played.play.ids["zhou"], Role.AUDITOR)) == "role.incompatible"
    assert code_of(lambda: propose_role(stage, clerk, played.play.ids["wu"], Role.REVIEWER)) == "role.incompatible"
    with stage.read() as connection:
        assert get_person(connection, "zhou").roles == (Role.REVIEWER,)


def test_nobody_works_before_vetting_training_and_signature(played: Played) -> None:
    stage, tenant = played.play.stage, played.play.ids["anxin-medical"]
    officer, clerk = played.session("li"), played.session("he")
    identity = file_person(stage, clerk, login="newcomer", name="New Comer", organisation_id=tenant)
    propose_role(stage, clerk, identity, Role.PROCESSOR)
    confirm_role(stage, officer, identity, Role.PROCESSOR)
    secret = new_token(stage, clerk, officer, identity)
    for following in (PersonState.VETTED, PersonState.TRAINED, PersonState.ACTIVE):
        assert code_of(lambda: authenticate(stage, secret)) == "person.not-active"
        advance_person(stage, clerk, identity, following)
    assert authenticate(stage, secret).person == identity


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda s, o: confirm_role(s, o, o.person, Role.AUDITOR), id="a role for oneself"),
        pytest.param(lambda s, o: advance_person(s, o, o.person, PersonState.SUSPENDED), id="one's own standing"),
    ],
)
def test_nobody_decides_on_themselves(played: Played, act: Callable[..., None]) -> None:
    """Law 6."""
    stage, officer = played.play.stage, played.session("li")
    assert code_of(lambda: act(stage, officer)) == "law.own-matter"


def test_only_narrowed_columns_and_rows_were_provisioned(played: Played) -> None:
    """What the provider struck out is in no table of the grant, and every row meets the row condition."""
    for zone in Zone:
        tables = played.tables(zone)
        assert not NARROWED & set(tables["social.residents"].column_names)
        assert set(tables["social.residents"].column_names) == {"resident_id", "birth_date", "district"}
        assert not {"visit_id", "visit_date"} & set(tables["health.visits"].column_names)
    births = tables["social.residents"].column("birth_date").to_pylist()
    assert min(births).year >= 1920
    assert len(births) == int((played.residents["birth_date"].astype(str) >= "1920-01-01").sum())


def test_the_grant_came_after_every_provider_and_the_authority(played: Played) -> None:
    request, given = played.play.ids["medical.request"], played.play.ids["medical.grant"]
    about = [entry for entry in played.log() if request in entry.subjects or given in entry.subjects]
    first = {kind: [entry for entry in about if entry.kind is kind] for kind in Kind}
    approvals, grants = first[Kind.REQUEST_PROVIDER_APPROVED], first[Kind.GRANT_STARTED]
    assert [entry.actor.person for entry in approvals] == [played.play.ids["zhao"], played.play.ids["qian"]]
    assert [entry.actor.person for entry in grants] == [played.session("li").person]
    assert max(entry.seq for entry in approvals) < grants[0].seq
    assert all(entry.seq > grants[0].seq for entry in first[Kind.TABLE_PROVISIONED])


@pytest.mark.parametrize("login", ["zhao", "qian", "li"])
def test_a_further_approval_is_refused(played: Played, login: str) -> None:
    with pytest.raises(DefinitionError):
        approve(played.play.stage, played.session(login), played.play.ids["medical.request"])
    assert len(grants_of(played, played.play.ids["medical"])) == 1


def grants_of(played: Played, scenario: str) -> list[str]:
    with played.play.stage.read() as connection:
        return list(connection.execute(select(grant.c.id).where(grant.c.scenario == scenario)).scalars())


def ask(played: Played, scenario: str, *items: Item) -> str:
    return make(
        played.play.stage,
        played.session("zheng"),
        scenario_id=scenario,
        items=items,
        persons=["wang"],
        purpose="to see what is refused",
        until=played.play.stage.now() + timedelta(days=30),
    )


def new_scenario(played: Played, name: str) -> str:
    agreement = played.play.ids["medical.agreement"]
    return open_scenario(played.play.stage, played.session("li"), agreement_id=agreement, name=name, purpose="test")


def test_no_grant_before_provider_and_authority(played: Played) -> None:
    stage = played.play.stage
    scenario = new_scenario(played, "approvals in order")
    both = (Item("health.visits", ("department",)), Item("social.residents", ("district",)))
    request = ask(played, scenario, *both)
    authority, other = (
        played.session("li"),
        replace(played.session("qian"), organisation=played.play.ids["expert-panel"]),
    )
    with pytest.raises(DefinitionError):
        approve(stage, authority, request)
    assert code_of(lambda: approve(stage, played.session("wang"), request)) == "permission.missing"
    assert code_of(lambda: approve(stage, other, request)) == "access.not-found"
    assert approve(stage, played.session("zhao"), request) is None
    with pytest.raises(DefinitionError):
        approve(stage, authority, request)
    with pytest.raises(DefinitionError):
        approve(stage, played.session("zhao"), request)
    assert grants_of(played, scenario) == []
    refuse(stage, played.session("qian"), request, "not needed")
    with pytest.raises(DefinitionError):
        approve(stage, authority, request)
    assert grants_of(played, scenario) == []


def test_narrowing_cannot_widen_and_cannot_come_late(played: Played) -> None:
    stage = played.play.stage
    request = ask(played, new_scenario(played, "narrowing"), Item("social.residents", ("district", "birth_date")))
    wider = Item("social.residents", ("district", "birth_date", "mobile"))
    assert code_of(lambda: narrow(stage, played.session("qian"), request, wider)) == "request.not-narrower"
    decided = played.play.ids["medical.request"]
    less = Item("social.residents", ("district",))
    assert code_of(lambda: narrow(stage, played.session("qian"), decided, less)) == "request.decided"


@pytest.mark.parametrize(
    ("item", "code"),
    [
        pytest.param(Item("social.companies", ("industry",)), "request.ungraded", id="ungraded"),
        pytest.param(Item("social.residents", ("ethnicity",)), "request.closed-column", id="closed column"),
        pytest.param(Item("health.registry", ("kind",)), "request.closed-dataset", id="closed dataset"),
        pytest.param(Item("social.residents", ("wealth",)), "dataset.no-such-column", id="unknown column"),
        pytest.param(Item("police.residents", ("name",)), "dataset.unknown", id="unknown dataset"),
    ],
)
def test_what_is_ungraded_or_closed_cannot_be_asked_for(played: Played, closed: None, item: Item, code: str) -> None:
    """I3 and I4: before a person confirmed its grade, and after it was closed, a column cannot be requested."""
    assert code_of(lambda: ask(played, played.play.ids["medical"], item)) == code


@pytest.fixture(scope="module")
def closed(played: Played) -> None:
    """A column and a dataset that nothing in the story uses, closed."""
    stage = played.play.stage
    close(stage, played.session("qian"), "social.residents", "ethnicity", "closed by law")
    declare(
        stage,
        played.session("zhao"),
        name="health.registry",
        title="registry",
        columns=[("kind", "string")],
        schema={},
        subject=None,
    )
    close(stage, played.session("zhao"), "health.registry", None, "closed by law")


def test_what_was_closed_after_the_request_is_not_approved(played: Played) -> None:
    stage = played.play.stage
    request = ask(played, new_scenario(played, "closed meanwhile"), Item("social.residents", ("marital",)))
    close(stage, played.session("qian"), "social.residents", "marital", "closed by law")
    assert code_of(lambda: approve(stage, played.session("qian"), request)) == "request.closed-column"


def test_a_grant_that_ended_is_not_provisioned_again(played: Played, spark: SparkSession) -> None:
    with pytest.raises(NotPermittedError):
        provision_grant(played.play.stage, spark, played.play.ids["mobility.grant"])
