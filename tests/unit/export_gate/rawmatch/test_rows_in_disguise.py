"""Rows in disguise: copies in every form are met, made-up rows of the same kind and groups are not (B4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from export_gate.finding import Verdict
from export_gate.rawmatch.disguise import find_rows


Columns = Mapping[str, NDArray[np.float64]]
DRAW = np.random.default_rng(20261122)


def drawn(count: int) -> Columns:
    """Made-up people: age, income that grows with it, and visits."""
    age = DRAW.uniform(18, 90, count)
    income = 2000 + 60 * age + DRAW.gamma(2, 900, count)
    return {"age": age, "income": income, "visits": DRAW.gamma(3, 2, count)}


SEEN, OTHERS, INVENTED = drawn(1500), drawn(1500), drawn(600)


def table(columns: Columns) -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in columns.items()}


def chosen(columns: Columns, count: int) -> Columns:
    places = DRAW.permutation(len(columns["age"]))[:count]
    return {name: values[places] for name, values in columns.items()}


LEAKS: Mapping[str, Callable[[], Columns]] = {
    "copied": lambda: SEEN,
    "shuffled and renamed": lambda: {
        "a": (rows := chosen(SEEN, 1500))["income"],
        "b": rows["age"],
        "c": rows["visits"],
    },
    "other units": lambda: {name: values * 3 + 17 for name, values in chosen(SEEN, 1500).items()},
    "turned round": lambda: {name: -values for name, values in chosen(SEEN, 1500).items()},
    "jittered": lambda: {name: values * (1 + DRAW.normal(0, 0.001, 1500)) for name, values in SEEN.items()},
}


@pytest.mark.parametrize("leak", list(LEAKS))
def test_copies_are_blocked(leak: str) -> None:
    assert find_rows(table(LEAKS[leak]()), table(SEEN), table(OTHERS)).verdict is Verdict.BLOCK


def test_invented_people_of_the_same_kind_pass() -> None:
    assert find_rows(table(INVENTED), table(SEEN), table(OTHERS)).verdict is Verdict.NO_ATTACK_SUCCEEDED


def test_a_few_groups_pass() -> None:
    means = {name: np.sort(values).reshape(20, -1).mean(axis=1) for name, values in SEEN.items()}
    assert find_rows(table(means), table(SEEN), table(OTHERS)).verdict is Verdict.NO_ATTACK_SUCCEEDED


def test_where_everybody_was_seen_people_judge() -> None:
    assert find_rows(table(SEEN), table(SEEN)).verdict is Verdict.REVIEW
