"""Generated plans, run on DuckDB, equal a naive evaluation in Python: steps, join, WHERE, keys and aggregates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.query import Function, Query, parse_query, prepare


Row = Mapping[str, Any]
LOW, HIGH = -(2**63), 2**63 - 1
INPUTS = {"t": ["id", "a", "b", "s"], "u": ["id", "c"]}


@dataclass(frozen=True)
class Part:
    """An expression as SQL and as a Python function of a row."""

    sql: str
    value: Callable[[Row], Any]


def _fits(value: int) -> int | None:
    return value if LOW <= value <= HIGH else None


def _strict(apply: Callable[..., Any], *parts: Part) -> Callable[[Row], Any]:
    def value(row: Row) -> Any:
        values = [part.value(row) for part in parts]
        return None if any(v is None for v in values) else apply(*values)

    return value


def _remainder(x: int, y: int) -> int | None:
    if x == -(2**63) and y == -1:
        return None  # the quotient does not fit, and DuckDB computes it first
    return None if y == 0 else (abs(x) % abs(y)) * (1 if x >= 0 else -1)


def _and(x: bool | None, y: bool | None) -> bool | None:
    if x is False or y is False:
        return False
    return None if x is None or y is None else True


def _negated(x: bool | None) -> bool | None:
    return None if x is None else not x


def _first(*parts: Part) -> Callable[[Row], Any]:
    return lambda row: next((v for v in (part.value(row) for part in parts) if v is not None), None)


ARITHMETIC: Mapping[str, Callable[[int, int], int | None]] = {
    "{0} + {1}": lambda x, y: _fits(x + y),
    "{0} - {1}": lambda x, y: _fits(x - y),
    "{0} * {1}": lambda x, y: _fits(x * y),
    "{0} % {1}": _remainder,
    "nullif({0}, {1})": lambda x, y: None if x == y else x,
}
COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "{0} = {1}": lambda x, y: x == y,
    "{0} <> {1}": lambda x, y: x != y,
    "{0} < {1}": lambda x, y: x < y,
    "{0} >= {1}": lambda x, y: x >= y,
}


def _binary(form: str, apply: Callable[..., Any], x: Part, y: Part) -> Part:
    if form.startswith("nullif"):
        return Part(form.format(x.sql, y.sql), lambda row: None if _equal(x.value(row), y.value(row)) else x.value(row))
    return Part(f"({form.format(x.sql, y.sql)})", _strict(apply, x, y))


def _equal(x: Any, y: Any) -> bool:
    return x is not None and y is not None and x == y


def _number_leaf() -> st.SearchStrategy[Part]:
    names = st.sampled_from(["t.a", "t.b", "u.c"])
    columns = names.map(lambda name: Part(name, lambda row: row[name]))
    return columns | st.integers(-3, 3).map(lambda n: Part(f"CAST({n} AS BIGINT)", lambda _: n))


def _numbers(below: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    return st.one_of(
        st.builds(
            lambda item, x, y: _binary(item[0], item[1], x, y),
            st.sampled_from(sorted(ARITHMETIC.items())),
            below,
            below,
        ),
        st.builds(lambda x: Part(f"abs({x.sql})", _strict(lambda v: _fits(abs(v)), x)), below),
        st.builds(lambda x: Part(f"(-{x.sql})", _strict(lambda v: _fits(-v), x)), below),
        st.builds(lambda x, y: Part(f"coalesce({x.sql}, {y.sql})", _first(x, y)), below, below),
        st.builds(_choice, below, below, below, below),
    )


def _choice(x: Part, y: Part, then: Part, default: Part) -> Part:
    condition = _strict(lambda p, q: p < q, x, y)
    return Part(
        f"CASE WHEN {x.sql} < {y.sql} THEN {then.sql} ELSE {default.sql} END",
        lambda row: then.value(row) if condition(row) else default.value(row),
    )


NUMBERS = st.recursive(_number_leaf(), _numbers, max_leaves=4)
TEXTS = st.sampled_from(
    [
        Part("t.s", lambda row: row["t.s"]),
        Part("upper(t.s)", _strict(str.upper, Part("", lambda row: row["t.s"]))),
        Part("substr(t.s, 2, 1)", _strict(lambda s: s[1:2], Part("", lambda row: row["t.s"]))),
        Part("coalesce(t.s, 'none')", lambda row: "none" if row["t.s"] is None else row["t.s"]),
    ]
)


def _comparison(item: tuple[str, Callable[..., Any]], x: Part, y: Part) -> Part:
    return Part(f"({item[0].format(x.sql, y.sql)})", _strict(item[1], x, y))


CONDITIONS = st.recursive(
    st.builds(_comparison, st.sampled_from(sorted(COMPARISONS.items())), NUMBERS, NUMBERS)
    | st.builds(lambda x: Part(f"({x.sql} IS NULL)", lambda row: x.value(row) is None), NUMBERS),
    lambda below: st.one_of(
        st.builds(lambda x, y: Part(f"({x.sql} AND {y.sql})", lambda r: _and(x.value(r), y.value(r))), below, below),
        st.builds(
            lambda x, y: Part(
                f"({x.sql} OR {y.sql})", lambda r: _negated(_and(_negated(x.value(r)), _negated(y.value(r))))
            ),
            below,
            below,
        ),
        st.builds(lambda x: Part(f"(NOT {x.sql})", lambda r: _negated(x.value(r))), below),
    ),
    max_leaves=3,
)
BIGINTS = st.none() | st.integers(-5, 5) | st.sampled_from([LOW, HIGH])
T_ROWS = st.lists(
    st.tuples(st.integers(0, 3), BIGINTS, BIGINTS, st.none() | st.sampled_from(["ab", "Cd", "", "é中"])), max_size=8
)
U_ROWS = st.lists(st.tuples(st.integers(0, 3), BIGINTS), max_size=5)


def _joined(t_rows: list[Any], u_rows: list[Any], *, left: bool) -> list[Row]:
    rows: list[Row] = []
    for t in t_rows:
        matches: list[Any] = [u for u in u_rows if u[0] == t[0]]
        row = {"t.id": t[0], "t.a": t[1], "t.b": t[2], "t.s": t[3]}
        rows.extend({**row, "u.c": u[1]} for u in matches or ([(None, None)] if left else []))
    return rows


def _aggregated(rows: list[Row], keys: list[Part], number: Part) -> set[tuple[Any, ...]]:
    cells: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        cells.setdefault(tuple(key.value(row) for key in keys), []).append(row)
    found = set()
    for key, members in cells.items():
        values = [v for v in (number.value(row) for row in members) if v is not None]
        ends = (min(values), max(values)) if values else (None, None)
        total = sum(values) if values else None
        found.add((*key, len(members), len(values), len(set(values)), total, *ends))
    return found


def _run(query: Query, t_rows: list[Any], u_rows: list[Any]) -> set[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        prepare(connection)
        connection.execute("CREATE TABLE t (id BIGINT, a BIGINT, b BIGINT, s VARCHAR)")
        connection.execute("CREATE TABLE u (id BIGINT, c BIGINT)")
        for table, rows in (("t", t_rows), ("u", u_rows)):
            for row in rows:
                connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        keys = [key.expression for key in query.keys]
        parts = [*keys, *(_aggregate(a.function, a.argument) for a in query.aggregates)]
        body = f"SELECT {', '.join(parts)} FROM ({query.source})"
        return set(connection.execute(f"{body} GROUP BY {', '.join(keys)}").fetchall())


def _aggregate(function: Function, argument: str | None) -> str:
    if function is Function.COUNT_DISTINCT:
        return f"count(DISTINCT {argument})"
    return f"{function}({argument or '*'})"


@given(t_rows=T_ROWS, u_rows=U_ROWS, left=st.booleans(), text=TEXTS, whole=NUMBERS, number=NUMBERS, where=CONDITIONS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_plan_equals_naive_evaluation(
    t_rows: list[Any], u_rows: list[Any], left: bool, text: Part, whole: Part, number: Part, where: Part
) -> None:
    n = number.sql
    sql = (
        f"SELECT {text.sql} AS k1, {whole.sql} + 0 AS k2, COUNT(*) AS n, COUNT({n}) AS v, COUNT(DISTINCT {n}) AS d, SUM({n}) AS s,"
        f" MIN({n}) AS lo, MAX({n}) AS hi FROM t {'LEFT' if left else ''} JOIN u ON t.id = u.id WHERE {where.sql} GROUP BY k1, k2"
    )
    rows = [row for row in _joined(t_rows, u_rows, left=left) if where.value(row) is True]
    assert _run(parse_query(sql, INPUTS, {}), t_rows, u_rows) == _aggregated(rows, [text, whole], number)


@given(t_rows=T_ROWS, u_rows=U_ROWS, left=st.booleans(), number=NUMBERS, where=CONDITIONS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_step_gives_what_it_says(t_rows: list[Any], u_rows: list[Any], left: bool, number: Part, where: Part) -> None:
    join = f"t {'LEFT' if left else ''} JOIN u ON t.id = u.id"
    steps = {
        "first": f"SELECT t.s AS s, {number.sql} AS v FROM {join} WHERE {where.sql}",
        "second": "SELECT *, v IS NULL AS empty FROM first",
    }
    sql = (
        "SELECT s, empty, COUNT(*) AS n, COUNT(v) AS v, COUNT(DISTINCT v) AS d, SUM(v) AS t, MIN(v) AS lo, MAX(v) AS hi"
    )
    query = parse_query(f"{sql} FROM second GROUP BY 1, 2", INPUTS, steps)
    rows = [row for row in _joined(t_rows, u_rows, left=left) if where.value(row) is True]
    keys = [Part("", lambda row: row["t.s"]), Part("", lambda row: number.value(row) is None)]
    assert _run(query, t_rows, u_rows) == _aggregated(rows, keys, number)
