"""Noise: drawn at the stated scale, thresholds that name a lone subject's group as rarely as δ says, prices that OpenDP agrees with."""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from statistics import NormalDist

import pytest

from export_gate.statistic import Noise, Price, Question, price
from export_gate.statistic import noise as opendp
from export_gate.statistic.conversion import root_above, tail_quantile
from export_gate.statistic.measures import ROWS, SUBJECTS
from jobs.query import parse_query
from lineage.errors import GateRefusedError


DRAWS = 20_000
BINS = 20
CRITICAL_1E_9 = 82.0  # χ² with 19 degrees of freedom
SCALE = Fraction(5000)
STANDARD = NormalDist()
PLAIN = Noise(ROWS, 1000, 1000, 1000, SCALE, Fraction(1, 50))


def chi_square(drawn: Sequence[int], scale: float) -> float:
    """Compare draws with the normal distribution in bins of equal probability."""
    edges = [scale * STANDARD.inv_cdf(position / BINS) for position in range(1, BINS)]
    counts = [0] * BINS
    for value in drawn:
        counts[bisect.bisect(edges, value)] += 1
    expected = len(drawn) / BINS
    return sum((count - expected) ** 2 / expected for count in counts)


@pytest.fixture(scope="module")
def drawn() -> list[int]:
    return opendp.noisy(PLAIN, [0] * DRAWS)


def test_the_noise_has_the_stated_scale(drawn: list[int]) -> None:
    assert chi_square(drawn, float(SCALE)) < CRITICAL_1E_9


@pytest.mark.parametrize("factor", [0.7, 1.3, 0.9, 1.1])
def test_the_same_test_fails_at_another_scale(drawn: list[int], factor: float) -> None:
    assert chi_square(drawn, float(SCALE) * factor) > CRITICAL_1E_9


@pytest.mark.parametrize("factor", [Fraction(7, 10), Fraction(13, 10)])
def test_noise_drawn_at_another_scale_is_caught(factor: Fraction) -> None:
    planted = dataclasses.replace(PLAIN, scale=SCALE * factor)
    assert chi_square(opendp.noisy(planted, [0] * DRAWS), float(SCALE)) > CRITICAL_1E_9


def test_the_noise_is_added_to_the_totals_and_is_new_every_time(drawn: list[int]) -> None:
    again = opendp.noisy(PLAIN, [10**12] * DRAWS)
    assert abs(sum(again) / DRAWS - 10**12) < 6 * float(SCALE) / math.sqrt(DRAWS)
    assert [value - 10**12 for value in again] != drawn


# Thresholds. One subject's own group is planted many times over; how often it is named is a binomial around the claimed chance.
CHANCE = Fraction(1, 100)


def with_threshold(threshold: int) -> Noise:
    return Noise(SUBJECTS, 1000, 1415, 1000, SCALE, Fraction(1, 20), threshold)


def lone_threshold() -> int:
    return 1000 + math.ceil(tail_quantile(CHANCE) * SCALE) + 2


def share_named(noise: Noise, total: int) -> float:
    return len(opendp.named(noise, [total] * DRAWS)) / DRAWS


def six_sigma(chance: float) -> float:
    return 6 * math.sqrt(chance * (1 - chance) / DRAWS)


def test_a_lone_subject_is_named_no_more_often_than_delta_says() -> None:
    share = share_named(with_threshold(lone_threshold()), 1000)
    assert share <= CHANCE + six_sigma(float(CHANCE))
    assert share >= CHANCE / 2, "the threshold costs far more groups than delta asks for"


@pytest.mark.parametrize("bug", [-0.5, -1.0])
def test_a_threshold_that_is_too_low_is_caught(bug: float) -> None:
    planted = with_threshold(lone_threshold() + int(bug * float(SCALE)))
    assert share_named(planted, 1000) > CHANCE + six_sigma(float(CHANCE))


@pytest.mark.parametrize("distance", [-1.5, 0.0, 1.0, 2.0])
def test_a_planted_group_is_named_with_the_probability_of_its_distance(distance: float) -> None:
    noise = with_threshold(lone_threshold())
    total = lone_threshold() + int(distance * float(SCALE))
    chance = STANDARD.cdf(distance)
    assert abs(share_named(noise, total) - chance) < six_sigma(chance) + 1e-3


def test_a_group_far_below_zero_is_never_named() -> None:
    assert opendp.named(with_threshold(lone_threshold()), [-(10**9)] * 100) == {}


# Prices. OpenDP's maps must agree with every price, and must refuse every price that was tampered with.
SQL = "SELECT place, COUNT(*) AS n, COUNT(DISTINCT person) AS p, SUM(cost) AS c FROM visits GROUP BY place"
TABLES = {"visits": ["person", "place", "cost"]}


def priced(
    epsilon: Fraction = Fraction(1), delta: Fraction = Fraction(1, 10**6), groups: int = 3, rows: int = 20
) -> Price:
    query = parse_query(SQL, TABLES, {})
    return price(Question(query, "person", groups, rows, epsilon, {"cost": (0, 5000)}, delta=delta))


@pytest.mark.parametrize("epsilon", [Fraction(1, 100), Fraction(1, 2), Fraction(1), Fraction(3), Fraction(20)])
@pytest.mark.parametrize("delta", [Fraction(1, 10**10), Fraction(1, 10**6), Fraction(1, 1000)])
@pytest.mark.parametrize(("groups", "rows"), [(1, 1), (3, 20), (200, 7)])
def test_opendp_agrees_with_every_price(epsilon: Fraction, delta: Fraction, groups: int, rows: int) -> None:
    opendp.check(priced(epsilon, delta, groups, rows))


def change_noise(position: int, **changes: object) -> Callable[[Price], Price]:
    def change(whole: Price) -> Price:
        noises = list(whole.noises)
        noises[position] = dataclasses.replace(noises[position], **changes)  # type: ignore[arg-type]
        return dataclasses.replace(whole, noises=tuple(noises))

    return change


GENUINE = priced()
TAMPERED: dict[str, Callable[[Price], Price]] = {
    "noise times 0.7": change_noise(1, scale=GENUINE.noises[1].scale * Fraction(11, 16)),
    "noise a thousandth less": change_noise(1, scale=GENUINE.noises[1].scale * Fraction(1023, 1024)),
    "radius off by one": change_noise(1, radius=GENUINE.noises[1].radius + 1),
    "nearly no noise": change_noise(1, scale=Fraction(1, 2**200)),
    "threshold lower by half a scale": change_noise(0, threshold=int(GENUINE.noises[0].threshold or 0) - 14_000),
    "a subject in more groups": lambda whole: dataclasses.replace(whole, group_cap=10**4),
    "rho understated": lambda whole: dataclasses.replace(whole, rho=whole.rho * Fraction(999_999, 10**6)),
    "delta understated": lambda whole: dataclasses.replace(whole, delta=whole.delta / 2),
    "epsilon understated": lambda whole: dataclasses.replace(whole, epsilon=whole.epsilon * Fraction(999, 1000)),
    "conversion delta understated": lambda whole: dataclasses.replace(
        whole, conversion_delta=whole.conversion_delta / 10
    ),
}


@pytest.mark.parametrize("bug", TAMPERED)
def test_a_tampered_price_is_refused_before_noise_is_drawn(bug: str) -> None:
    with pytest.raises(GateRefusedError, match="price-too-low"):
        opendp.check(TAMPERED[bug](GENUINE))


@pytest.mark.parametrize(
    "changes", [{"scale": Fraction(0)}, {"scale": Fraction(-1)}, {"scale": Fraction(1, 3)}, {"radius": 0}, {"rho": 0}]
)
def test_a_price_without_noise_cannot_be_written_down(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"double|above zero"):
        change_noise(1, **changes)(GENUINE)


def test_the_price_does_not_waste_budget() -> None:
    spent = sum(Fraction(noise.radius**2) / (2 * noise.scale**2) for noise in GENUINE.noises)
    assert GENUINE.rho * Fraction(9999, 10_000) < spent <= GENUINE.rho


def test_roots_are_exact_upper_bounds() -> None:
    for value in [0, 1, 2, 3, 4, 10**30, 10**30 + 1, 2**126 - 1]:
        root = root_above(Fraction(value), 8)
        assert root**2 >= value
        assert root == 0 or (root - Fraction(1, 8)) ** 2 < value
