"""Values: every type of column gives the same whole number of units within the bounds, against exact arithmetic in Python."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from export_gate.statistic.values import bounded_value


LIMIT = 10**18


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as opened:
        yield opened


def counted(
    connection: duckdb.DuckDBPyConnection, written: str, of_type: str, low: int, high: int, unit: int, whole: bool
) -> Any:
    sql = bounded_value(("v", low, high, unit), {"v"} if whole else set())
    (row,) = connection.execute(f"SELECT {sql} FROM (SELECT CAST(? AS {of_type}) AS v)", [written]).fetchall()
    return row[0]


def expected(value: Decimal, low: int, high: int, unit: int) -> int:
    return max(low, min(high, int(value.scaleb(-unit).to_integral_value(ROUND_HALF_UP))))


bounds = st.tuples(st.integers(-(2**31), 2**31), st.integers(1, 2**31)).map(
    lambda ends: (ends[0], min(2**31, ends[0] + ends[1]))
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.integers(-LIMIT, LIMIT),
    ends=bounds.filter(lambda ends: ends[0] < ends[1]),
    unit=st.integers(-9, 9),
    kind=st.sampled_from([("BIGINT", 0), ("HUGEINT", 0), ("VARCHAR", 3), ("DECIMAL(28, 9)", 9), ("DECIMAL(20, 1)", 1)]),
    small=st.booleans(),
)
@example(value=5, ends=(0, 1), unit=1, kind=("BIGINT", 0), small=False)
@example(value=-5, ends=(-1, 0), unit=0, kind=("DECIMAL(20, 1)", 1), small=False)
def test_every_type_is_counted_exactly(
    connection: duckdb.DuckDBPyConnection,
    value: int,
    ends: tuple[int, int],
    unit: int,
    kind: tuple[str, int],
    small: bool,
) -> None:
    of_type, digits = kind
    exact = Decimal(value % 10_000 if small else value).scaleb(-digits)
    got = counted(connection, f"{exact:f}", of_type, *ends, unit, whole=False)
    if unit > 0 and exact != exact.to_integral_value():
        exact = exact.to_integral_value(ROUND_HALF_UP)
    assert got == expected(exact, *ends, unit)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.integers(-LIMIT, LIMIT), ends=bounds.filter(lambda ends: ends[0] < ends[1]))
def test_whole_numbers_may_take_the_short_way(
    connection: duckdb.DuckDBPyConnection, value: int, ends: tuple[int, int]
) -> None:
    short = counted(connection, str(value), "BIGINT", *ends, 0, whole=True)
    assert short == expected(Decimal(value), *ends, 0)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.floats(), unit=st.integers(-9, 9))
def test_every_double_has_a_meaning(connection: duckdb.DuckDBPyConnection, value: float, unit: int) -> None:
    got = counted(connection, repr(value), "DOUBLE", -(2**31), 2**31, unit, whole=False)
    assert (got is None) == (value != value)  # noqa: PLR0124 - only NaN differs from itself
    if got is not None:
        assert -(2**31) <= got <= 2**31
        assert got * value >= 0
