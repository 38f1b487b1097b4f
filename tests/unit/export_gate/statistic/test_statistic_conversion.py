"""From (ε, δ) to ρ: never more than OpenDP allows, and hardly less."""

from __future__ import annotations

import math
from fractions import Fraction
from statistics import NormalDist

import pytest

from export_gate.statistic.conversion import rho_within, tail_quantile


@pytest.mark.parametrize("delta", [Fraction(1, 10**10), Fraction(1, 10**6), Fraction(1, 1000)])
@pytest.mark.parametrize("epsilon", [Fraction(1, 1000), Fraction(1, 10), Fraction(1), Fraction(3), Fraction(20)])
def test_opendp_reads_no_more_epsilon_out_of_the_rho(epsilon: Fraction, delta: Fraction) -> None:
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
    gaussian = dp.m.make_gaussian(*space, scale=math.sqrt(1 / (2 * rho_within(epsilon, delta))))
    read = dp.c.make_fix_delta(dp.c.make_zCDP_to_approxDP(gaussian), delta=float(delta)).map(1.0)[0]
    assert float(epsilon) * (1 - 5e-5) < read <= float(epsilon)


def test_a_rho_grows_with_epsilon_and_delta() -> None:
    assert rho_within(Fraction(1), Fraction(1, 10**6)) < rho_within(Fraction(2), Fraction(1, 10**6))
    assert rho_within(Fraction(1), Fraction(1, 10**6)) < rho_within(Fraction(1), Fraction(1, 10**5))


def test_no_rho_is_left() -> None:
    with pytest.raises(ValueError, match="no rho"):
        rho_within(Fraction(1, 10**9), Fraction(1, 10**10))


@pytest.mark.parametrize("chance", [Fraction(1, 100), Fraction(1, 10**6), Fraction(1, 10**12)])
def test_the_tail_is_below_the_chance_and_near_it(chance: Fraction) -> None:
    tail = math.erfc(float(tail_quantile(chance)) / math.sqrt(2)) / 2
    assert float(chance) * 0.8 < tail <= float(chance)
    assert NormalDist().cdf(-float(tail_quantile(Fraction(1, 100)))) <= 0.01
