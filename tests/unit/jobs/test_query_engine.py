"""The engine is set up once, also when its settings are locked afterwards; locked before, it is refused."""

from __future__ import annotations

import duckdb
import pytest

from jobs.query import parse_rows, prepare
from lineage.errors import MissingPartError


def test_again_changes_nothing_even_when_locked() -> None:
    with duckdb.connect() as connection:
        prepare(connection)
        connection.execute("SET lock_configuration = true")
        prepare(connection)


def test_locked_before_is_refused() -> None:
    with duckdb.connect() as connection:
        connection.execute("SET lock_configuration = true")
        with pytest.raises(MissingPartError) as refusal:
            prepare(connection)
    assert refusal.value.code == "query.engine-unprepared"


def test_a_cast_that_occurs_twice_stays_inside_its_try() -> None:
    rows = parse_rows("SELECT s = 1 OR s = 2 AS v FROM t", {"t": ["s"]}, {})
    with duckdb.connect() as connection:
        prepare(connection)
        connection.execute("CREATE TABLE t AS SELECT * FROM (VALUES ('x'), ('2')) v(s)")
        assert connection.execute(rows.select).fetchall() == [(None,), (True,)]


def test_variables_of_python_are_no_tables() -> None:
    t = [1]
    with duckdb.connect() as connection:
        prepare(connection)
        with pytest.raises(duckdb.CatalogException):
            connection.execute("SELECT * FROM t")
    assert t
