"""The ledger of bits: charged before, once, within both caps, never given back (laws 3, 4 and 8)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from jobs import bits, runs, told
from jobs.bits import BitCaps, BitClaim, Purpose
from jobs.runs import Stage as RunStage
from lineage.errors import BudgetError, MissingPartError
from lineage.kinds import Kind
from lineage.log import PLATFORM
from sandbox.domain import open_domain
from tests.factories import Stage, World, add_grant, add_scenario, provision, refused
from tests.fixtures_domain import WorldAt


COST = told.capacity(10 * 60)


def claim(world: World, number: int = 0, cost: int = 100, scenario: str = "scenario") -> BitClaim:
    tenant = "medica" if scenario != "scenario:rivals" else "rival"
    return BitClaim(Purpose.MODEL, f"E-{number}", world.ids[scenario], world.ids[tenant], cost)


def charge(world: World, asked: BitClaim, caps: BitCaps | None = None) -> bool:
    with world.domain.change(PLATFORM) as change:
        return bits.charge_bits(change, asked, caps or BitCaps())


def spent(world: World, login: str = "processor") -> dict[str, int]:
    with world.domain.read() as connection:
        found = bits.bits_overview(connection, world.session(login), BitCaps())
    return {f"{one.limit}:{one.name}": one.spent for one in found}


def with_caps(world: World, text: str) -> World:
    settings = world.domain.home / "domain.toml"
    settings.write_text(f"{settings.read_text()}\n[bits]\n{text}\n")
    world.domain = open_domain(world.domain.home, clock=world.hands)
    return world


def test_a_production_run_is_charged_when_it_is_queued_and_a_development_run_is_not(world_at: WorldAt) -> None:
    world = world_at(Stage.PROMOTED)
    count = len(world.log())
    session, job = world.session("processor"), world.ids["job"]
    runs.queue(world.domain, session, job, 0, RunStage.DEVELOPMENT)
    assert spent(world) == {"tenant:medica": 0, "scenario:clinics": 0}
    run = runs.queue(world.domain, session, job, 0, RunStage.PRODUCTION)
    assert spent(world) == {"tenant:medica": COST, "scenario:clinics": COST}
    assert world.kinds(count) == [Kind.RUN_QUEUED, Kind.BITS_CHARGED, Kind.RUN_QUEUED]
    runs.ask_cancel(world.domain, session, run)
    assert spent(world)["tenant:medica"] == COST


@pytest.mark.parametrize(("text", "limit"), [("scenario = 15", "scenario"), ("tenant = 15", "tenant")])
def test_over_the_cap_nothing_is_queued_and_what_is_left_is_said(world_at: WorldAt, text: str, limit: str) -> None:
    world = with_caps(world_at(Stage.PROMOTED), text)
    session, job = world.session("processor"), world.ids["job"]
    runs.queue(world.domain, session, job, 0, RunStage.PRODUCTION)
    count = len(world.log())
    with refused(BudgetError, "bits.spent") as caught:
        runs.queue(world.domain, session, job, 0, RunStage.PRODUCTION)
    assert caught.value.params == {"limit": f"label.limit.{limit}", "asked": COST, "left": 15 - COST}
    assert int(caught.value.exit) == 14
    assert len(world.log()) == count
    runs.queue(world.domain, session, job, 0, RunStage.DEVELOPMENT)


@pytest.mark.parametrize(
    "text", ["scenario = -1", 'scenario = "many"', "scenario = 1.5", "other = 1", "scenario = true"]
)
def test_caps_that_cannot_be_read_let_nothing_through(world_at: WorldAt, text: str) -> None:
    world = with_caps(world_at(Stage.PROMOTED), text)
    with refused(MissingPartError, "bits.bad-settings"):
        runs.queue(world.domain, world.session("processor"), world.ids["job"], 0, RunStage.PRODUCTION)


def test_the_same_is_charged_once(world_at: WorldAt) -> None:
    world = world_at(Stage.SCENARIO)
    assert charge(world, claim(world))
    with world.domain.change(PLATFORM) as change:
        assert not bits.charge_bits(change, claim(world), BitCaps())
        change.record(Kind.LOG_VERIFIED, [], {})
    assert charge(world, BitClaim(Purpose.FILE, "E-0", world.ids["scenario"], world.ids["medica"], 1))
    assert spent(world)["scenario:clinics"] == 101


def test_two_scenarios_share_their_tenants_cap(world_at: WorldAt) -> None:
    world = world_at(Stage.SCENARIO)
    world.ids["second"] = add_scenario(world, "medica", "second")
    world.ids["third"] = add_scenario(world, "medica", "third")
    assert charge(world, claim(world, 1, 512))
    assert charge(world, claim(world, 2, 512, "second"))
    with refused(BudgetError, "bits.spent") as caught:
        charge(world, claim(world, 3, 1, "third"))
    assert caught.value.params["limit"] == "label.limit.tenant"
    assert charge(world, claim(world, 4, 512, "scenario:rivals"))


def test_a_tenant_sees_its_own_and_the_authority_all(world_at: WorldAt) -> None:
    world = world_at(Stage.SCENARIO)
    charge(world, claim(world, 1, 7))
    charge(world, claim(world, 2, 9, "scenario:rivals"))
    assert spent(world) == {"tenant:medica": 7, "scenario:clinics": 7}
    assert spent(world, "rival-manager") == {"tenant:rival": 9, "scenario:rivals": 9}
    assert sum(spent(world, "auditor").values()) == 2 * (7 + 9)


def test_claims_at_the_same_instant_never_pass_the_cap(world_on: WorldAt) -> None:
    world = world_on(Stage.SCENARIO)
    start = Barrier(4)

    def take(number: int) -> bool:
        own = open_domain(world.domain.home, clock=world.hands)
        start.wait(timeout=60)
        try:
            with own.change(PLATFORM) as change:
                return bits.charge_bits(change, claim(world, number, 200), BitCaps())
        except BudgetError:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(take, range(4))) == [False, False, True, True]
    assert spent(world)["scenario:clinics"] == 400


@pytest.mark.parametrize("cost", [0, -1])
def test_a_claim_costs_something(world_at: WorldAt, cost: int) -> None:
    with pytest.raises(ValueError, match="bit"):
        claim(world_at(Stage.SCENARIO), cost=cost)


def test_the_rivals_run_costs_the_rival(world_at: WorldAt) -> None:
    world = world_at(Stage.PROMOTED)
    provision(world, add_grant(world, "rival", "scenario:rivals"))
    runs.queue(world.domain, world.session("processor"), world.ids["job"], 0, RunStage.PRODUCTION)
    assert spent(world, "rival-processor") == {"tenant:rival": 0, "scenario:rivals": 0}
