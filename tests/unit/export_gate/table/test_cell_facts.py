"""The recomputed facts equal a naive count in Python, survive their JSON form, and the search for combinations finds what is planted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import duckdb
import numpy as np
import pytest

from export_gate.table import Recomputed, recompute
from export_gate.table.difference import smallest_support
from jobs.query import Query, parse_query
from lineage.errors import GateRefusedError


INPUTS = {"t": ["id", "who", "g", "x", "y", "d"]}
ROWS = [
    (1, "a", "G", 10, 0.5, "2024-01-31"),
    (2, "a", "G", -4, 0.5, "2024-01-31"),
    (3, "b", "G", -7, None, None),
    (4, "b", "H", 1, 1.5, None),
    (5, "c", "H", None, 2.5, "2024-02-01"),
    (6, "d", None, 3, 2.5, "2024-02-01"),
]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (id BIGINT, who TEXT, g TEXT, x BIGINT, y DOUBLE, d DATE)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", ROWS)
        yield connection


def query(sql: str) -> Query:
    return parse_query(sql, INPUTS, {})


def test_facts_of_a_sum(connection: duckdb.DuckDBPyConnection) -> None:
    found = recompute(connection, query("SELECT g, SUM(x) AS s FROM t GROUP BY g"), "who")
    assert [cell.key for cell in found.cells] == [("G",), ("H",), (None,)]
    first, second = found.cells[0], found.cells[1]
    assert (first.rows, first.subjects, first.values) == (3, 2, (Decimal(-1),))
    measure = first.measures[0]
    # a has 10 - 4 = 6, b has -7: without the sign, so that neither hides the other.
    assert (measure.top1, measure.top2, measure.total) == (Decimal(7), Decimal(6), Decimal(13))
    assert (measure.contributors, measure.values, measure.distinct, measure.rarest) == (2, 3, 3, 1)
    assert (second.subjects, second.measures[0].contributors, second.measures[0].distinct) == (2, 1, 2)
    assert (found.subjects, found.rows_without_subject) == (4, 0)


def test_facts_of_counts(connection: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT g, COUNT(*) AS n, COUNT(y) AS y, COUNT(DISTINCT who) AS p, COUNT(DISTINCT x) AS x FROM t GROUP BY g"
    found = recompute(connection, query(sql), "who")
    assert found.cells[0].values == tuple(Decimal(value) for value in (3, 2, 2, 3))
    assert [column.counts_subjects for column in found.columns] == [False, False, True, False]
    assert [column.varies for column in found.columns] == [False, True, True, True]
    assert found.cells[0].measures[1].contributors == 1


def test_pairs_of_cells_that_share_subjects(connection: duckdb.DuckDBPyConnection) -> None:
    found = recompute(connection, query("SELECT g, COUNT(*) AS n FROM t GROUP BY g"), "who")
    assert found.near == ((0, 1, 2),)


def test_keys_are_written_in_one_form(connection: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT d, y, x > 0 AS b, date_trunc('month', d) AS m, CAST(x AS DECIMAL(6, 2)) AS e, COUNT(*) AS n FROM t WHERE id = 1"
    found = recompute(connection, query(f"{sql} GROUP BY 1, 2, 3, 4, 5"), "who")
    assert found.cells[0].key == ("2024-01-31", "0.5", "true", "2024-01-01 00:00:00", "10.00")


def test_json_and_back(connection: duckdb.DuckDBPyConnection) -> None:
    found = recompute(
        connection, query("SELECT g, AVG(y) AS y, MAX(x) AS m, COUNT(DISTINCT x) AS d FROM t GROUP BY g"), "who"
    )
    assert Recomputed.from_json(found.to_json()) == found
    assert json.loads(found.to_json())["cells"][0]["measures"][0]["total"] == "1.0"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"shape": "other"}', '{"shape": "shuzha-recomputed-1"}', "null"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Recomputed.from_json(text)


def test_an_empty_table(connection: duckdb.DuckDBPyConnection) -> None:
    for sql in ("SELECT COUNT(*) AS n FROM t WHERE id > 99", "SELECT g, SUM(x) AS n FROM t WHERE id > 99 GROUP BY g"):
        assert recompute(connection, query(sql), "who").cells == ()


def test_rows_stand_for_themselves_without_a_subject(connection: duckdb.DuckDBPyConnection) -> None:
    found = recompute(connection, query("SELECT g, SUM(x) AS s FROM t GROUP BY g"), None)
    assert [cell.subjects for cell in found.cells] == [3, 2, 1]


@pytest.mark.parametrize(
    ("sql", "subject", "code"),
    [
        ("SELECT COUNT(*) AS n FROM t", "nobody", "cells.subject-unknown"),
        ("SELECT SUM(g) AS n FROM t", "who", "cells.not-computable"),
        ("SELECT SUM(y * 1e308 * 1e308) AS n FROM t", "who", "cells.not-finite"),
        ("SELECT AVG(CAST('nan' AS DOUBLE)) AS n FROM t", "who", "cells.not-finite"),
    ],
)
def test_refusals_hold_no_data(connection: duckdb.DuckDBPyConnection, sql: str, subject: str, code: str) -> None:
    with pytest.raises(GateRefusedError) as refusal:
        recompute(connection, query(sql), subject)
    assert refusal.value.code == code
    assert not connection.execute("SELECT * FROM duckdb_tables() WHERE temporary").fetchall()


def test_nothing_is_left_behind(connection: duckdb.DuckDBPyConnection) -> None:
    sql = query("SELECT g, SUM(x) AS s FROM t GROUP BY g")
    assert recompute(connection, sql, "who") == recompute(connection, sql, "who")
    assert not connection.execute("SELECT * FROM duckdb_tables() WHERE temporary").fetchall()


def _planted(subjects: int, outliers: int, weights: list[float]) -> np.ndarray:
    """Columns of which one is a combination of the others for all subjects but a few."""
    draw = np.random.default_rng(7)
    columns = draw.integers(1, 1000, size=(subjects, len(weights))).astype(float)
    last = columns @ np.array(weights)
    last[:outliers] += draw.integers(1, 50, size=outliers)
    return np.column_stack([columns, last])


@pytest.mark.parametrize("outliers", [1, 3, 9])
@pytest.mark.parametrize("subjects", [60, 2000])
@pytest.mark.parametrize("weights", [[1.0], [37.0], [1.0, 1.0], [1.0, -2.5, 3.0], [1.0, 1.0, 1.0, 1.0]])
def test_planted_combinations_are_found(subjects: int, outliers: int, weights: list[float]) -> None:
    assert smallest_support(_planted(subjects, outliers, weights)) == outliers


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_independent_columns_tell_nobody_apart(columns: int) -> None:
    draw = np.random.default_rng(3)
    totals = draw.integers(1, 10_000, size=(500, columns)).astype(float)
    assert smallest_support(totals) > 400


def test_exact_combinations_tell_nothing_new() -> None:
    totals = _planted(500, 0, [1.0, 1.0])
    assert smallest_support(totals) > 400


def test_a_column_of_few_is_found_by_itself() -> None:
    totals = np.ones((100, 2))
    totals[4:, 1] = 0
    assert smallest_support(totals) == 4


@pytest.mark.parametrize("shape", [(0, 2), (5, 0), (5, 2)])
def test_nothing_to_combine(shape: tuple[int, int]) -> None:
    assert smallest_support(np.zeros(shape)) == shape[0]
