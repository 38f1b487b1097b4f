"""The form in which a table leaves: sorted rows, fixed number format, digits that the sample supports."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from export_gate.table import CanonicalTable, canonical_table, recompute, significant_digits
from jobs.query import parse_query
from lineage.errors import GateRefusedError


INPUTS = {"t": ["who", "g", "n", "x", "money"]}


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """100 people; x is 1.5 for half and 2.5 for the others, money 0.10 each."""
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT i AS who, CASE WHEN i % 2 = 0 THEN 'b' ELSE 'a' END AS g, CAST(i AS BIGINT) AS n,"
            " CASE WHEN i % 4 < 2 THEN 1.5 ELSE 2.5 END::DOUBLE AS x, CAST(0.10 AS DECIMAL(10, 2)) AS money FROM range(100) r(i)"
        )
        yield connection


def table(connection: duckdb.DuckDBPyConnection, sql: str) -> CanonicalTable:
    return canonical_table(recompute(connection, parse_query(sql, INPUTS, {}), "who"))


@pytest.mark.parametrize(
    ("subjects", "digits"), [(1, 1), (2, 2), (10, 2), (100, 2), (101, 3), (10_000, 3), (10_001, 4), (10**6, 4)]
)
def test_significant_digits(subjects: int, digits: int) -> None:
    assert significant_digits(subjects) == digits


@pytest.mark.parametrize(
    ("aggregate", "expected", "kind"),
    [
        ("COUNT(*)", 100, "integer"),
        ("COUNT(DISTINCT g)", 2, "integer"),
        ("SUM(n)", 4950, "integer"),
        ("SUM(money)", "10.00", "decimal"),
        ("SUM(CASE WHEN n < 37 THEN 1 ELSE 0 END)", 37, "integer"),
        ("SUM(n + 0)", "5000", "decimal"),
        ("SUM(n - 49)", "0", "decimal"),
        ("AVG(n)", "50", "decimal"),
        ("AVG(x)", "2.0", "decimal"),
        ("SUM(x)", "200", "decimal"),
        ("AVG(x / 1000)", "0.0020", "decimal"),
        ("AVG(0 - x)", "-2.0", "decimal"),
        ("AVG(n * 1000000)", "50000000", "decimal"),
        ("AVG(CASE WHEN n < 37 THEN 1 ELSE 0 END)", "0.37", "decimal"),
        ("AVG(nullif(n, n))", None, "decimal"),
        ("SUM(0 * x)", "0", "decimal"),
    ],
)
def test_numbers(connection: duckdb.DuckDBPyConnection, aggregate: str, expected: object, kind: str) -> None:
    found = table(connection, f"SELECT {aggregate} AS v FROM t")
    assert (found.rows, found.kinds) == (((expected,),), (kind,))


def test_rows_are_sorted_by_key_whatever_the_table_says(connection: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT CASE WHEN n < 20 THEN NULL ELSE g END AS k, n % 12 AS m, COUNT(*) AS c FROM t GROUP BY 1, 2"
    keys = [row[:2] for row in table(connection, sql).rows]
    assert keys == sorted(keys, key=lambda key: (key[0] or "", key[1]))
    assert keys[0] == (None, 0)
    assert [m for k, m in keys if k == "b"] == [0, 2, 4, 6, 8, 10]


def test_columns(connection: duckdb.DuckDBPyConnection) -> None:
    found = table(connection, "SELECT g, COUNT(*) AS c, AVG(x) AS v FROM t GROUP BY g")
    assert (found.columns, found.kinds) == (("g", "c", "v"), ("key", "integer", "decimal"))
    assert found.rows == (("a", 50, "2.0"), ("b", 50, "2.0"))


@pytest.mark.parametrize("function", ["MIN", "MAX", "MEDIAN"])
def test_endpoints_have_no_form(connection: duckdb.DuckDBPyConnection, function: str) -> None:
    with pytest.raises(GateRefusedError) as refusal:
        table(connection, f"SELECT {function}(x) AS v FROM t")
    assert refusal.value.code == "cells.endpoint-value"


def test_no_exponent_and_no_negative_zero(connection: duckdb.DuckDBPyConnection) -> None:
    tiny = table(connection, "SELECT AVG((n - 49.5) / 1000000000) AS v, AVG((n - 49.6) / 1000000000) AS w FROM t")
    assert tiny.rows == (("0.000000000", "0.000000000"),)


def test_rows_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"\w"):
        CanonicalTable(("a",), ("integer",), ((1, 2),))
