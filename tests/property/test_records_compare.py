"""The ledger's search against brute force: nothing near is missed, and nothing else is found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from export_gate.records.compare import Earlier, compare
from export_gate.records.recorded import ROWS, Contents, Published, Recorded, heads_from, heads_of, to_blobs
from export_gate.records.sketch import Index, parity
from export_gate.records.unions import Held, partitions
from export_gate.records.vectors import Number, from_wire, to_wire
from export_gate.table.difference import smallest_support


COUNT = (Published("n", "00" * 8, frozenset({ROWS})),)
SUBJECTS = st.sets(st.integers(0, 2**32 - 1), min_size=1, max_size=60)
SUBJECTS_NEAR = st.sets(st.integers(0, 45), min_size=1, max_size=40)
NEAR = st.tuples(SUBJECTS, st.sets(st.integers(0, 200), max_size=30))


def count_of(subjects: set[int], key: str = "k") -> Number:
    who = np.array(sorted(subjects), dtype=np.uint32)
    return Number((key,), margin=False, column=0, subjects=who, totals=np.ones(len(who)))


def earlier_of(tables: Sequence[Recorded]) -> Earlier:
    blobs = [to_blobs(one) for one in tables]
    heads = [heads_from(one.head) for one in blobs]
    sizes = np.array([len(one) for one in heads], dtype=np.int64)
    return Earlier(
        np.concatenate([heads_from(b""), *heads]),
        np.repeat(np.arange(len(heads)), sizes),
        np.cumsum(sizes) - sizes,
        lambda place: Contents(heads[place], blobs[place].sets, lambda: blobs[place].totals),
    )


@given(NEAR, st.integers(2, 100))
def test_the_sketch_never_misses_a_near_set(pair: tuple[set[int], set[int]], minimum: int) -> None:
    first, turned = pair
    second = first ^ turned
    if not second or len(first ^ second) >= minimum:
        return
    heads = heads_of(Recorded("person", COUNT, (count_of(second),)))
    new = count_of(first)
    assert Index(heads, np.zeros(1, dtype=np.int64)).near(len(first), parity(new.subjects), minimum).tolist() == [0]


@given(st.lists(SUBJECTS, min_size=1, max_size=8), st.lists(NEAR, min_size=1, max_size=4), st.integers(3, 20))
def test_a_search_finds_what_brute_force_finds(
    old: list[set[int]], new: list[tuple[set[int], set[int]]], minimum: int
) -> None:
    asked = [base ^ turned for base, turned in new if base ^ turned] + [
        old[0] ^ turned for _, turned in new if old[0] ^ turned
    ]
    record = Recorded("person", COUNT, tuple(count_of(one, str(place)) for place, one in enumerate(asked)))
    tables = [Recorded("person", COUNT, (count_of(one, f"old {place}"),)) for place, one in enumerate(old)]
    found = compare(record, earlier_of(tables), minimum)
    truth = {
        (str(i), j, len(a ^ b)) for i, a in enumerate(asked) for j, b in enumerate(old) if 0 < len(a ^ b) < minimum
    }
    assert {(one.key[0], one.table, one.apart) for one in found.differences if one.how == "subjects"} == truth


@given(st.lists(st.integers(0, 9), min_size=12, max_size=40), st.integers(1, 4), st.integers(-5, 5), st.data())
def test_a_multiple_with_few_changes_is_seen(values: list[int], factor: int, shift: int, data: st.DataObject) -> None:
    """``factor`` times the old numbers and ``shift`` for each person, but for fewer than half of those with a value."""
    old = np.array(values, dtype=float)
    if len(set(values)) < 3:
        return
    changed = data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1, max_size=2))
    new = factor * old + shift
    for place in changed:
        new[place] += 1000 + place
    support = smallest_support(np.stack([old, np.ones(len(old)), new], axis=1), must=((0,), (2,)))
    if np.count_nonzero(old == np.median(old)) < len(old) // 2:
        assert support <= len(changed)


@given(st.lists(st.integers(0, 4), min_size=6, max_size=40), SUBJECTS_NEAR)
def test_the_nearest_union_is_the_nearest_of_all(cells: list[int], drawn: set[int]) -> None:
    sets = [{n for n, cell in enumerate(cells) if cell == each} for each in sorted(set(cells))]
    held = [
        Held(np.array(sorted(one), dtype=np.uint32), margin=False, numbers={place: COUNT[0]})
        for place, one in enumerate(sets)
    ]
    asked = np.array(sorted(drawn), dtype=np.uint32)
    parts = list(partitions(held))
    assert len(parts) == (len(sets) > 1)
    every: dict[int, set[int]] = {}
    for size in range(len(sets) + 1):
        for some in combinations(sets, size):
            apart = len(set().union(*some) ^ drawn)
            every.setdefault(apart, set()).add(size)
    for part in parts:
        (found,) = part.apart([asked], 100).tolist()
        # A union of one cell, or of none, is a pair of numbers and looked at as such.
        assert found == min(every) or (found == -1 and min(every[min(every)]) < 2)


@given(st.lists(SUBJECTS, max_size=6))
def test_vectors_cross_the_wall_unchanged(sets: list[set[int]]) -> None:
    sent = [count_of(one, f"键 {place}") for place, one in enumerate(sets)]
    read = from_wire(to_wire(sent))
    assert [(one.key, one.margin, one.column, one.subjects.tolist()) for one in read] == [
        (one.key, one.margin, one.column, one.subjects.tolist()) for one in sent
    ]


@given(st.lists(SUBJECTS, min_size=1, max_size=6))
def test_a_table_is_read_as_it_was_kept(sets: list[set[int]]) -> None:
    record = Recorded("person", COUNT, tuple(count_of(one, str(place)) for place, one in enumerate(sets)))
    blobs = to_blobs(record)
    opened = Contents(heads_from(blobs.head), blobs.sets, lambda: blobs.totals)
    assert opened.columns == COUNT
    for kept, one in zip(opened.numbers(), record.numbers, strict=True):
        assert (kept.key, kept.subjects.tolist(), kept.totals.tolist()) == (
            one.key,
            one.subjects.tolist(),
            one.totals.tolist(),
        )
