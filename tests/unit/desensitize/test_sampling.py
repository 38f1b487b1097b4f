from __future__ import annotations

from fractions import Fraction

import pytest

from desensitize.sampling import SampleRate, threshold
from lineage.errors import DefinitionError


@pytest.mark.parametrize("rate", [Fraction(0), Fraction(-1, 10), Fraction(11, 100), Fraction(1)])
def test_a_rate_that_is_no_sample_is_refused(rate: Fraction) -> None:
    with pytest.raises(DefinitionError, match="sample-rate"):
        SampleRate(rate)


@pytest.mark.parametrize(("floor", "cap"), [(-1, 10), (11, 10), (0, 0)])
def test_bounds_that_contradict_each_other_are_refused(floor: int, cap: int) -> None:
    with pytest.raises(DefinitionError, match="sample-bounds"):
        SampleRate(Fraction(1, 100), floor=floor, cap=cap)


@pytest.mark.parametrize(
    ("rate", "subjects", "effective"),
    [
        pytest.param(SampleRate.development(), 1_000_000, Fraction(1, 100), id="the rate itself"),
        pytest.param(SampleRate.development(), 20_000_000, Fraction(1, 200), id="held at the cap"),
        pytest.param(SampleRate.development(), 10_000, Fraction(1, 10), id="raised to the floor"),
        pytest.param(SampleRate.development(), 500, Fraction(1, 2), id="never more than a half"),
        pytest.param(SampleRate.training(), 1_000_000, Fraction(1, 10), id="training"),
        pytest.param(SampleRate.training(), 0, Fraction(1, 10), id="an empty table"),
    ],
)
def test_the_rate_of_a_table(rate: SampleRate, subjects: int, effective: Fraction) -> None:
    assert rate.effective(subjects) == effective


def test_the_threshold_is_exact() -> None:
    assert threshold(Fraction(1, 2)) == 1 << 63
    assert threshold(Fraction(1)) == 1 << 64
    assert threshold(Fraction(1, 3)) == (1 << 64) // 3
