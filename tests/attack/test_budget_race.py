"""The last of a budget: whoever races for it or dies over it, nobody gets an answer that was not paid (law 3)."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from fractions import Fraction
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest

from export_gate import checking, exports
from export_gate.gatekeeper import Gatekeeper
from export_gate.ledger import Caps, admit, charges, stored_answer
from export_gate.states import ExportState
from jobs.jail.bubblewrap import BubblewrapJail
from lineage.errors import BudgetError, MissingPartError
from lineage.kinds import Kind
from lineage.log import PLATFORM
from sandbox.domain import open_domain
from tests.factories import Stage, World, claim, request_export, submit
from tests.fixtures_domain import WorldAt


RACERS, TRIES = 4, 6
CAPS = Caps(scenario=Fraction(1, 10))
RHO = Fraction(1, 70)
"""Seven fit and the eighth does not, whatever binary fractions would make of it."""


def race(world: World, racer: int, same: bool, start: Barrier, results: Any) -> None:
    own = open_domain(world.domain.home, clock=world.hands)
    answers: Counter[str] = Counter()
    start.wait(timeout=120)
    for number in range(TRIES):
        question = f"{number}" if same else f"{racer}-{number}"
        asked = claim(world, world.ids["export"], question=question, rho=RHO)
        try:
            with own.change(PLATFORM) as change:
                answers["charged" if admit(change, asked, CAPS) else "known"] += 1
        except BudgetError as error:
            answers[error.code] += 1
    results.put(answers)


def run_race(world: World, *, same: bool) -> Counter[str]:
    # Forked children share nothing of a database: every connection is opened after the fork and closed after use.
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(RACERS), context.SimpleQueue()
    racers = [context.Process(target=race, args=(world, one, same, start, results)) for one in range(RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(timeout=240)
        assert racer.exitcode == 0
    return sum((results.get() for _ in racers), Counter[str]())


def spent(world: World) -> Fraction:
    with world.domain.read() as connection:
        return sum((one.rho for one in charges(connection, "person")), Fraction(0))


def test_four_processes_never_overspend(world_on: WorldAt) -> None:
    world = world_on(Stage.EXPORT_REQUESTED)
    answers = run_race(world, same=False)
    assert answers == {"charged": 7, "budget.spent": RACERS * TRIES - 7}
    assert spent(world) == 7 * RHO <= CAPS.scenario
    assert world.kinds().count(Kind.BUDGET_CHARGED) == 7
    assert world.verified().holds


def test_four_processes_with_the_same_questions_pay_each_once(world_on: WorldAt) -> None:
    world = world_on(Stage.EXPORT_REQUESTED)
    answers = run_race(world, same=True)
    assert answers == {"charged": TRIES, "known": (RACERS - 1) * TRIES}
    assert spent(world) == TRIES * RHO


def test_a_check_that_dies_after_the_charge_leaves_the_charge_and_no_answer(world_at: WorldAt) -> None:
    """The tables' folders are gone: the gate charges, then cannot measure. Asked again it neither pays nor answers."""
    world = world_at(Stage.EXPORT_REQUESTED)
    gate = Gatekeeper(world.domain, BubblewrapJail())
    for _ in range(2):
        with pytest.raises(MissingPartError):
            checking.check_export(gate, world.ids["export"])
        with world.domain.read() as connection:
            (only,) = charges(connection, "person")
            assert stored_answer(connection, only.question) is None
            assert exports.get_export(connection, world.ids["export"]).state is ExportState.REQUESTED
    assert world.kinds().count(Kind.BUDGET_CHARGED) == 1
    assert only.rho > 0


def test_what_the_budget_does_not_reach_is_refused_before_any_data_is_read(world_at: WorldAt) -> None:
    world = world_at(Stage.EXPORT_REQUESTED)
    gate = Gatekeeper(world.domain, BubblewrapJail())
    with pytest.raises(BudgetError):
        checking.check_export(gate, world.ids["export"], Caps(scenario=Fraction(1, 10**9)))
    with world.domain.read() as connection:
        found = exports.get_export(connection, world.ids["export"])
        assert charges(connection, "person") == []
    assert found.state is ExportState.REFUSED
    assert found.reasons[0]["reason"] == "gate.over-budget"


def test_the_same_question_in_another_export_finds_the_first_charge(world_at: WorldAt) -> None:
    world = world_at(Stage.EXPORT_REQUESTED)
    gate = Gatekeeper(world.domain, BubblewrapJail())
    for export in (world.ids["export"], request_export(world)):
        with pytest.raises(MissingPartError):
            checking.check_export(gate, export)
    with world.domain.read() as connection:
        (only,) = charges(connection, "person")
    assert only.export == world.ids["export"]


def test_a_smaller_epsilon_is_another_question_and_pays_again(world_at: WorldAt) -> None:
    """Otherwise the cheap answer would be had for the dear one's noise, or the other way round."""
    from jobs import promotion

    world = world_at(Stage.EXPORT_REQUESTED)
    gate = Gatekeeper(world.domain, BubblewrapJail())
    with pytest.raises(MissingPartError):
        checking.check_export(gate, world.ids["export"])
    world.ids["job"] = submit(world, "processor", "scenario", epsilon="0.4")
    asked = promotion.request(world.domain, world.session("processor"), world.ids["job"])
    promotion.decide(world.domain, world.session("reviewer"), asked, approve=True, reason="read")
    with pytest.raises(MissingPartError):
        checking.check_export(gate, request_export(world))
    with world.domain.read() as connection:
        made = charges(connection, "person")
    assert len(made) == 2
    assert made[0].rho != made[1].rho
