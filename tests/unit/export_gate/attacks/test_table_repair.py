"""Repairs are worked out on the view alone, and what they propose holds enough people on it."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export_gate.table.repair import OTHER, ROOM, Category, Repair, ViewTable, propose


MINIMUM = 10


def view(sizes: dict[tuple[Category, ...], int], rate: str = "1", keys: tuple[str, ...] = ("a", "b")) -> ViewTable:
    return ViewTable(keys, sizes, Fraction(rate))


LARGE = {("x", 1): 90, ("x", 2): 80, ("y", 1): 70, ("y", 2): 60}


def test_a_table_of_large_cells_needs_no_repair() -> None:
    assert propose(view(LARGE), MINIMUM) is None


def test_small_categories_become_other() -> None:
    found = propose(view({**LARGE, ("z", 1): 12, ("z", 2): 30, ("v", 1): 15, ("v", 2): 9}), MINIMUM)
    assert found == Repair({"a": ("v", "z")}, ())
    assert found.key_sql("a") == f"CASE WHEN a IN ('v', 'z') THEN '{OTHER}' ELSE CAST(a AS VARCHAR) END"
    assert found.key_sql("b") == "b"


def test_a_key_that_merging_does_not_save_is_left_out() -> None:
    found = propose(view({(f"street {n}", n % 2): 3 for n in range(40)}), MINIMUM)
    assert found is not None
    assert found.dropped == ("a",)
    assert found.key_sql("a") is None


def test_nothing_helps_where_nearly_nobody_is() -> None:
    assert propose(view({("x", 1): 3}), MINIMUM) is None
    assert propose(view({}), MINIMUM) is None


def test_a_sample_stands_for_more() -> None:
    cells = {key: size // 5 for key, size in LARGE.items()}
    assert propose(view(cells, "1/5"), MINIMUM) is None
    assert propose(view(cells), MINIMUM) is not None


def test_empty_and_quoted_categories_are_written_as_sql() -> None:
    written = Repair({"a": (None, "o'clock")}, ()).key_sql("a")
    rows = duckdb.sql(f"SELECT {written} FROM (VALUES (NULL), ('o''clock'), ('x')) t(a)").fetchall()
    assert rows == [(OTHER,), (OTHER,), ("x",)]


@pytest.mark.parametrize("rate", ["0", "2"])
def test_a_rate_that_is_none_is_refused(rate: str) -> None:
    with pytest.raises(ValueError, match="sampling rate"):
        view(LARGE, rate)


@given(st.dictionaries(st.tuples(st.sampled_from("uvwxyz"), st.integers(0, 4)), st.integers(0, 80), min_size=1))
def test_what_is_proposed_holds_enough_people_on_the_view(sizes: dict[tuple[Category, ...], int]) -> None:
    found = propose(view(sizes), MINIMUM)
    if found is None:
        return
    merged: Counter[tuple[Category, ...]] = Counter()
    for cell, size in sizes.items():
        key = tuple(
            OTHER if value in found.merged.get(name, ()) else value
            for name, value in zip(("a", "b"), cell, strict=True)
            if name not in found.dropped
        )
        merged[key] += size
    assert min(merged.values()) >= MINIMUM * ROOM
    assert propose(view(dict(reversed(sizes.items()))), MINIMUM) == found
