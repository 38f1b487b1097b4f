"""The ledger of budget against a model in exact rationals: sums exact, never over a limit, the same question once (law 3)."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from export_gate.ledger import (
    Caps,
    Claim,
    Spending,
    admit,
    charges,
    decimal,
    epsilon_within,
    question_key,
    spendings,
    store_answer,
    stored_answer,
)
from lineage.errors import BudgetError
from lineage.kinds import Kind
from lineage.log import PLATFORM
from tests.factories import Stage, World, claim, refused
from tests.fixtures_domain import WorldAt


CAPS = Caps(Fraction(1, 2), Fraction(1, 4), Fraction(3, 10), Fraction(1, 5), Fraction(1, 1000))
EXACT = st.fractions(min_value=Fraction(1, 997), max_value=Fraction(1, 5), max_denominator=997)
ASKED = st.tuples(
    st.integers(0, 9),
    EXACT,
    st.fractions(min_value=0, max_value=Fraction(1, 2500), max_denominator=10**6),
    st.sets(st.sampled_from(["D-1", "D-2"]), min_size=1),
    st.booleans(),
)
universes = itertools.count()


@pytest.fixture
def world(world_at: WorldAt) -> World:
    return world_at(Stage.EXPORT_REQUESTED)


@given(asked=st.lists(ASKED, min_size=1, max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_ledger_admits_exactly_what_the_model_admits(
    world: World, asked: list[tuple[int, Fraction, Fraction, set[str], bool]]
) -> None:
    universe = f"u{next(universes)}"
    spent: dict[str, Fraction] = defaultdict(Fraction)
    delta, known = Fraction(0), set[str]()
    for number, rho, small, datasets, own in asked:
        tenant, scenario = ("medica", "scenario") if own else ("rival", "scenario:rivals")
        made = claim(
            world,
            world.ids["export"],
            question=question_key(f"{universe}-{number}", []),
            universe=universe,
            datasets=tuple(sorted(datasets)),
            tenant=world.ids[tenant],
            scenario=world.ids[scenario],
            rho=rho,
            delta=small,
        )
        limits = {"": CAPS.universe, tenant: CAPS.tenant, scenario: CAPS.scenario} | dict.fromkeys(
            datasets, CAPS.dataset
        )
        fits = all(spent[name] + rho <= cap for name, cap in limits.items()) and delta + small <= CAPS.delta
        expected = made.question not in known and fits
        with world.domain.change(PLATFORM) as change:
            try:
                admitted = admit(change, made, CAPS)
            except BudgetError:
                assert not fits
                assert made.question not in known
                continue
        assert admitted is expected
        if admitted:
            known.add(made.question)
            delta += small
            for name in limits:
                spent[name] += rho
        _agrees(world, made, spent, tenant, scenario)
    with world.domain.read() as connection:
        assert sum((one.rho for one in charges(connection, universe)), Fraction(0)) == spent[""]
        assert sum((one.delta for one in charges(connection, universe)), Fraction(0)) == delta


def _agrees(world: World, made: Claim, spent: dict[str, Fraction], tenant: str, scenario: str) -> None:
    names = {"universe": "", "tenant": tenant, "scenario": scenario}
    with world.domain.read() as connection:
        for limit in spendings(connection, made, CAPS):
            assert limit.spent == spent[names.get(limit.limit, limit.name)]
            assert limit.spent <= limit.cap
            assert limit.left + limit.spent == limit.cap


@given(value=st.fractions(min_value=0, max_value=1000), places=st.integers(1, 12))
def test_a_figure_for_people_is_never_more_than_there_is(value: Fraction, places: int) -> None:
    shown = decimal(value, places)
    assert Fraction(shown) <= value < Fraction(shown) + Fraction(1, 10**places)
    assert len(shown.partition(".")[2]) == places


@given(rho=EXACT, more=EXACT, delta=st.fractions(min_value=Fraction(1, 10**9), max_value=Fraction(1, 100)))
def test_epsilon_grows_with_rho_and_shrinks_with_delta(rho: Fraction, more: Fraction, delta: Fraction) -> None:
    assert rho < epsilon_within(rho, delta) < epsilon_within(rho + more, delta)
    assert epsilon_within(rho, delta / 2) > epsilon_within(rho, delta)
    assert epsilon_within(Fraction(0), delta) == 0


@given(rho=EXACT, delta=st.fractions(min_value=Fraction(1, 10**9), max_value=Fraction(1, 100)))
def test_epsilon_is_no_less_than_the_best_bound_over_orders(rho: Fraction, delta: Fraction) -> None:
    """ρ-zCDP is (α, ρα)-Rényi for every α > 1, and gives ε = ρα + ln(1/δ)/(α − 1): the closed form is its minimum (Mironov 2017)."""
    chance = math.log(1 / float(delta))
    best = min(float(rho) * alpha + chance / (alpha - 1) for alpha in [1 + step / 10 for step in range(1, 2_000)])
    assert float(epsilon_within(rho, delta)) <= best * (1 + 1e-9)
    assert float(epsilon_within(rho, delta)) >= best * 0.99


def test_the_same_question_is_charged_once_whoever_asks(world: World) -> None:
    first = claim(world, world.ids["export"])
    other = claim(
        world,
        world.ids["export"],
        question=first.question,
        tenant=world.ids["rival"],
        scenario=world.ids["scenario:rivals"],
        rho=Fraction(99),
    )
    for asked, expected in ((first, True), (first, False), (other, False)):
        with world.domain.change(PLATFORM) as change:
            assert admit(change, asked, Caps()) is expected
    with world.domain.read() as connection:
        (only,) = charges(connection, "person")
    assert (only.rho, only.tenant) == (first.rho, world.ids["medica"])
    assert world.kinds().count(Kind.BUDGET_CHARGED) == 1


@given(st.text(), st.lists(st.text(alphabet="T-abc234", min_size=1), max_size=4), st.randoms(use_true_random=False))
def test_a_question_over_the_same_tables_in_any_order_is_the_same(text: str, tables: list[str], random: object) -> None:
    shuffled = sorted(tables, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert question_key(text, tables) == question_key(text, shuffled)
    assert question_key(text, tables) != question_key(text, [*tables, "T-other"])
    assert question_key(text, tables) != question_key(text + " ", tables)


def test_the_first_answer_stays(world: World) -> None:
    asked = claim(world, world.ids["export"])
    for answer in ("first", "second"):
        with world.domain.change(PLATFORM) as change:
            admit(change, asked, Caps())
            store_answer(change, asked.question, answer)
            change.record(Kind.PRODUCT_MADE, [asked.export], {"question": asked.question})
        with world.domain.read() as connection:
            assert stored_answer(connection, asked.question) == "first"


@pytest.mark.parametrize("limit", ["universe", "tenant", "scenario", "dataset"])
def test_each_limit_holds_by_itself_to_the_last_grain(world: World, limit: str) -> None:
    wide = dict.fromkeys(("universe", "tenant", "scenario", "dataset"), Fraction(10))
    caps = Caps(**{**wide, limit: Fraction(1, 3)}, delta=Fraction(1))
    grain = Fraction(1, 10**30)
    with world.domain.change(PLATFORM) as change:
        admit(change, claim(world, world.ids["export"], question="a", rho=Fraction(1, 3) - grain), caps)
    with pytest.raises(BudgetError) as caught, world.domain.change(PLATFORM) as change:
        admit(change, claim(world, world.ids["export"], question="b", rho=2 * grain), caps)
    # Which of the common limits it was would tell of others again (D1).
    told = limit if limit in {"tenant", "scenario"} else "universe"
    assert caught.value.params["limit"] == f"label.limit.{told}"
    with world.domain.change(PLATFORM) as change:
        assert admit(change, claim(world, world.ids["export"], question="c", rho=grain), caps)
    with world.domain.read() as connection:
        found = {one.limit: one.left for one in spendings(connection, claim(world, world.ids["export"]), caps)}
    assert found[limit] == 0


def test_a_limit_that_others_filled_tells_nothing_of_them(world: World) -> None:
    """What is left of the universe would tell a tenant what other tenants do (D1)."""
    caps = Caps(universe=Fraction(1, 100))
    own = claim(world, world.ids["export"], question="b")
    others = claim(
        world,
        world.ids["export"],
        question="a",
        tenant=world.ids["rival"],
        scenario=world.ids["scenario:rivals"],
        rho=Fraction(1, 200),
    )
    with world.domain.change(PLATFORM) as change:
        admit(change, others, caps)
    with refused(BudgetError, "budget.spent-by-all") as caught, world.domain.change(PLATFORM) as change:
        admit(change, own, caps)
    assert set(caught.value.params) == {"limit", "asked"}


def test_delta_is_limited_too(world: World) -> None:
    caps = Caps(delta=Fraction(1, 10**6))
    with world.domain.change(PLATFORM) as change:
        admit(change, claim(world, world.ids["export"], question="a", delta=Fraction(1, 10**6)), caps)
    with refused(BudgetError, "budget.delta-spent"), world.domain.change(PLATFORM) as change:
        admit(change, claim(world, world.ids["export"], question="b", delta=Fraction(1, 10**12)), caps)
    with world.domain.change(PLATFORM) as change:
        assert admit(change, claim(world, world.ids["export"], question="c", delta=Fraction(0)), caps)


@pytest.mark.parametrize("name", ["universe", "dataset", "tenant", "scenario", "delta"])
@pytest.mark.parametrize("value", [Fraction(0), Fraction(-1)])
def test_a_cap_is_positive(name: str, value: Fraction) -> None:
    with pytest.raises(ValueError, match="positive"):
        Caps(**{name: value})


@pytest.mark.parametrize(
    "wrong",
    [{"rho": Fraction(0)}, {"rho": Fraction(-1)}, {"delta": Fraction(-1)}, {"universe": ""}, {"datasets": ()}],
    ids=str,
)
def test_a_claim_costs_something_and_names_somebody(world: World, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a claim has"):
        claim(world, world.ids["export"], **wrong)


def test_nothing_is_left_below_zero() -> None:
    assert Spending("tenant", "x", Fraction(1, 3), Fraction(1, 2)).left == 0
