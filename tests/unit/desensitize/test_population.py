"""The second count can fail: each row breaks one number that the first count gave."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from desensitize.kanonymity import Classes, distinct
from desensitize.population import _Places, _places, _verify
from lineage.errors import GateRefusedError


PLACES = _Places(np.array([0, 0, 1, 2, -1]), np.array([0, 0, 0, 1, 1]), np.ones(5, dtype=np.int64))


def test_equal_counts_pass() -> None:
    _verify(PLACES, Classes(np.array([0, 1]), np.array([2, 1]), 0))


@pytest.mark.parametrize(
    ("of", "subjects"),
    [
        pytest.param([0, 1], [3, 1], id="rows counted instead of subjects"),
        pytest.param([0, 1], [2, 2], id="nobody counted as somebody"),
        pytest.param([0, 0], [2, 1], id="two classes taken for one"),
    ],
)
def test_a_count_that_differs_is_an_error(of: list[int], subjects: list[int]) -> None:
    with pytest.raises(GateRefusedError, match="recount"):
        _verify(PLACES, Classes(np.array(of), np.array(subjects), 0))


@pytest.mark.parametrize(
    "known", [[7, 7], [7, 8]], ids=["two classes in one number", "a class that was not seen before"]
)
def test_class_numbers_that_are_not_one_to_one_are_an_error(known: list[int]) -> None:
    pairs = pa.table({"class": [7, 9], "rows": [1, 1]})
    with pytest.raises(GateRefusedError, match="recount"):
        _places(pairs, pa.table({"class": known}), np.array([0, 1]))


def test_distinct_values_are_those_of_numpy() -> None:
    draw = np.random.default_rng(1)
    for size in (0, 1, 2, 1000):
        values = draw.integers(-50, 50, size)
        assert distinct(values).tolist() == np.unique(values).tolist()
