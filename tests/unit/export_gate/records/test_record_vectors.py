"""Vectors: what they refuse to be, how they cross the jail's wall, and the margins of a table."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import numpy as np
import pytest

from export_gate.records.recorded import Published, Recorded
from export_gate.records.vectors import SUMMED, Number, from_wire, to_wire
from export_gate.table import CellPolicy, judge_table
from export_gate.table.behind import levels
from jobs.query import parse_query
from lineage.errors import GateRefusedError, MissingPartError
from tests.worlds import refused


def vector(*subjects: int, totals: tuple[float, ...] | None = None) -> Number:
    values = totals if totals is not None else (1.0,) * len(subjects)
    return Number(("k",), margin=False, column=0, subjects=np.array(subjects, dtype=np.uint32), totals=np.array(values))


@pytest.mark.parametrize(
    ("subjects", "totals"),
    [((2, 1), None), ((1, 1), None), ((1, 2), (1.0,)), ((1,), (float("nan"),)), ((1,), (float("inf"),))],
)
def test_what_is_no_vector_is_refused(subjects: tuple[int, ...], totals: tuple[float, ...] | None) -> None:
    with refused(MissingPartError, "records.not-a-vector"):
        vector(*subjects, totals=totals)


def packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


@pytest.mark.parametrize(
    "harm",
    [
        lambda wire: wire | {"shape": "other"},
        lambda wire: {key: value for key, value in wire.items() if key != "totals"},
        lambda wire: wire | {"subjects": "no base64!"},
        lambda wire: wire | {"subjects": packed(b"\0" * 4)},
        lambda wire: wire | {"subjects": packed(b"\0" * 4096)},
        lambda wire: wire | {"subjects": base64.b64encode(b"no zlib").decode()},
        lambda wire: wire | {"subjects": packed(np.array([5, 1], "<u4").tobytes())},
        lambda wire: wire | {"numbers": [[["k"], False, 0, -1], [["k"], False, 0, 3]]},
        lambda wire: wire | {"numbers": [[["k"], False, 0, 2**60]]},
        lambda wire: wire | {"numbers": [["k"]]},
        lambda wire: wire | {"totals": wire["totals"][:-8]},
    ],
)
def test_what_a_worker_should_not_hand_over_is_refused(harm: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    wire = to_wire([vector(1, 5)])
    assert from_wire(wire)[0].subjects.tolist() == [1, 5]
    with refused(MissingPartError, "records.not-a-vector"):
        from_wire(harm(wire))


def test_a_bomb_is_not_unpacked() -> None:
    """A few bytes that say they are two numbers and would be a gigabyte."""
    wire = to_wire([vector(1, 5)]) | {"subjects": packed(b"\0" * (64 << 20))}
    with refused(MissingPartError, "records.not-a-vector"):
        from_wire(wire)


def test_a_number_of_no_aggregate_is_refused() -> None:
    columns = (Published("n", "00" * 8, frozenset({"rows"})),)
    with refused(MissingPartError, "records.not-a-vector"):
        Recorded("person", columns, (Number(("k",), False, 1, np.zeros(0, np.uint32), np.zeros(0)),))
    with pytest.raises(ValueError):
        Published("n", "00" * 8, frozenset())


def test_every_margin_is_a_level_while_keys_are_few() -> None:
    assert levels(0) == [()]
    assert levels(2) == [(0, 1), (0,), (1,), ()]
    assert len(levels(4)) == 16
    assert len(levels(6)) == 1 + 6 + 6 + 1
    assert {len(one) for one in levels(9)} == {9, 8, 1, 0}


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Eighty people in two districts, women and men; those above sixty have no income; each twice."""
    with duckdb.connect() as found:
        found.execute("CREATE TABLE people (person TEXT, district TEXT, sex TEXT, income INTEGER)")
        rows = [(f"p{n}", "AB"[n % 2], "FM"[n // 2 % 2], None if n > 60 else 100 + n) for n in range(80)]
        found.executemany("INSERT INTO people VALUES (?, ?, ?, ?)", rows + rows)
        found.execute('CREATE TABLE "people numbers" (token TEXT, number UINTEGER)')
        found.executemany('INSERT INTO "people numbers" VALUES (?, ?)', [(f"p{n}", 1000 + n) for n in range(80)])
        yield found


def vectors_of(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[tuple[Any, int], Number]:
    query = parse_query(sql, {"people": ["person", "district", "sex", "income"]}, {})
    judged = judge_table(connection, query, {"people": "person"}, CellPolicy(), {"people": "people numbers"})
    (numbers,) = judged.records
    return {(one.key, one.column): one for one in numbers}


def test_cells_and_margins_hold_who_is_behind_them(connection: duckdb.DuckDBPyConnection) -> None:
    found = vectors_of(connection, "SELECT district, sex, COUNT(*) AS n, AVG(income) AS x FROM people GROUP BY 1, 2")
    count = found[("A", "F"), 0]
    assert count.subjects.tolist() == [1000 + n for n in range(80) if n % 2 == 0 and n // 2 % 2 == 0]
    assert set(count.totals.tolist()) == {2.0}
    mean = found[("A", "F"), 1]
    assert mean.subjects.tolist() == [one for one in count.subjects.tolist() if one <= 1060]
    assert mean.totals.tolist() == [2.0 * (one - 900) for one in mean.subjects.tolist()]
    total = found[(SUMMED, SUMMED), 0]
    assert total.margin
    assert total.subjects.tolist() == list(range(1000, 1080))
    assert {key for key, _ in found} == {
        *((d, s) for d in "AB" for s in "FM"),
        *((d, SUMMED) for d in "AB"),
        *((SUMMED, s) for s in "FM"),
        (SUMMED, SUMMED),
    }


def test_a_margin_that_is_a_cell_is_not_told_twice(connection: duckdb.DuckDBPyConnection) -> None:
    found = vectors_of(connection, "SELECT district, sex, COUNT(*) AS n FROM people WHERE sex = 'F' GROUP BY 1, 2")
    assert set(found) == {(("A", "F"), 0), (("B", "F"), 0), ((SUMMED, "F"), 0)}


def test_a_subject_without_a_number_is_an_error(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("DELETE FROM \"people numbers\" WHERE token = 'p7'")
    with refused(GateRefusedError, "records.subject-without-number"):
        vectors_of(connection, "SELECT district, COUNT(*) AS n FROM people GROUP BY 1")


def test_a_refused_table_hands_over_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    query = parse_query(
        "SELECT income, COUNT(*) AS n FROM people GROUP BY 1", {"people": ["person", "district", "sex", "income"]}, {}
    )
    judged = judge_table(connection, query, {"people": "person"}, CellPolicy(), {"people": "people numbers"})
    assert judged.records == ()
