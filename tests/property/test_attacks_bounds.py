"""Whatever is proved about a population holds in it; and a search never proves less when more is told."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from export_gate.attacks.equalities import build, targets
from export_gate.attacks.suppressed import Effort, Rule, recover
from export_gate.attacks.told import Interval, Measure, Told


ROWS = Measure("count", "*")

PEOPLE = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=60)
KEYS = st.lists(
    st.sampled_from([c for n in (1, 2) for c in combinations(range(3), n)]), min_size=1, max_size=3, unique=True
)


def told(rows: Any, keys: tuple[int, ...], base: int) -> Told:
    groups, sizes = np.unique(rows[:, list(keys)], axis=0, return_counts=True)
    cells = tuple(tuple(int(one) for one in group) for group in groups)
    numbers = tuple(Interval(max(0, int(n) - base), int(n) + base) for n in sizes)
    return Told(str(keys), "people", tuple(f"a{at}" for at in keys), {}, cells, {ROWS: numbers})


@settings(deadline=None, max_examples=30)
@given(PEOPLE, KEYS, st.sampled_from([0, 2]), st.sampled_from(["integer", "linear", "passing"]))
def test_what_is_proved_is_true(people: Any, keys: list[tuple[int, ...]], base: int, method: str) -> None:
    rows = np.array(people)
    system = build([told(rows, one, base) for one in keys], ROWS)
    found = recover(system, Rule(10), Effort(method))
    assert found.consistent
    for one in found.recovered:
        kept = rows
        for name, value in one.of:
            kept = kept[kept[:, int(name[1:])] == value]
        assert one.low <= len(kept) <= one.high


@settings(deadline=None, max_examples=20)
@given(PEOPLE, KEYS)
def test_whole_numbers_prove_at_least_what_linear_bounds_do(people: Any, keys: list[tuple[int, ...]]) -> None:
    system = build([told(np.array(people), one, 0) for one in keys], ROWS)
    proved = [
        {one.of for one in recover(system, Rule(10), Effort(method, verified=200)).recovered}
        for method in ("linear", "integer")
    ]
    assert proved[0] <= proved[1]


@settings(deadline=None, max_examples=30)
@given(PEOPLE, KEYS)
def test_every_target_is_a_set_of_atoms_of_its_own(people: Any, keys: list[tuple[int, ...]]) -> None:
    found = targets(build([told(np.array(people), one, 0) for one in keys], ROWS))
    rows = {tuple(row) for row in found.matrix.toarray().tolist()}
    assert len(rows) == len(found.labels) == found.matrix.shape[0]
