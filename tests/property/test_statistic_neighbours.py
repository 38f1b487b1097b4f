"""Neighbours: whatever the tables hold, taking one subject out moves the vectors handed to OpenDP no further than the price says."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from export_gate.statistic import Price, Question, price
from export_gate.statistic.bounding import Bounded, bounded
from export_gate.statistic.statement import statement
from jobs.query import parse_query


SALT = bytes(32)
TABLES = {"visits": ["person", "place", "ward", "cost"], "people": ["person", "town"]}
SQL = "SELECT place, ward, COUNT(*) AS n, COUNT(DISTINCT person) AS p, SUM(cost) AS c, AVG(cost) AS a FROM visits GROUP BY place, ward"
JOINED = (
    "SELECT town, COUNT(*) AS n, COUNT(DISTINCT v.person) AS p, SUM(cost) AS c, AVG(cost) AS a "
    "FROM visits AS v JOIN people AS u ON v.person = u.person GROUP BY town"
)
Visit = tuple[str | None, str | None, int | None, float | None]
Person = tuple[str | None, str | None]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as opened:
        opened.execute("CREATE TABLE visits (person VARCHAR, place VARCHAR, ward INTEGER, cost DOUBLE)")
        opened.execute("CREATE TABLE people (person VARCHAR, town VARCHAR)")
        yield opened


def fill(connection: duckdb.DuckDBPyConnection, visits: list[Visit], people: list[Person]) -> None:
    for table, rows in (("visits", visits), ("people", people)):
        connection.execute(f"DELETE FROM {table}")
        if rows:
            places = ", ".join(["(" + ", ".join("?" * len(rows[0])) + ")"] * len(rows))
            connection.execute(f"INSERT INTO {table} VALUES {places}", [value for row in rows for value in row])


def ask(sql: str = SQL, **changes: Any) -> Question:
    settings_: dict[str, Any] = {
        "subject": "person",
        "groups_per_subject": 2,
        "rows_per_group": 3,
        "epsilon": Fraction(1),
        "bounds": {"cost": (-7, 5)},
    }
    return Question(query=parse_query(sql, TABLES, {}), **(settings_ | changes))


def assert_near(priced: Price, one: Bounded, other: Bounded) -> None:
    """Exact: sums of squares of integers against the squared radius."""
    for noise in priced.noises:
        left = dict(zip(one.keys, one.totals[noise.measure], strict=True))
        right = dict(zip(other.keys, other.totals[noise.measure], strict=True))
        moves = [left.get(key, 0) - right.get(key, 0) for key in {*left, *right}]
        assert sum(move * move for move in moves) <= noise.radius**2, noise.measure.name
        assert max(map(abs, moves), default=0) <= noise.largest, noise.measure.name
        if priced.group_cap is not None:
            assert sum(move != 0 for move in moves) <= priced.group_cap, noise.measure.name
    if priced.group_cap is not None:
        assert len({*one.keys} ^ {*other.keys}) <= priced.group_cap


values = st.one_of(
    st.none(),
    st.floats(-9, 9),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e300, -1e300, 5e-324, -0.0, 2.0**63, 1e38]),
)
persons = st.sampled_from([None, "", "a", "b", "c"])
visit = st.tuples(persons, st.sampled_from([None, "", "x", "y", "z"]), st.sampled_from([None, 0, 1, 2]), values)
person = st.tuples(persons, st.sampled_from([None, "east", "west", "north", "south"]))
repeated = st.lists(st.tuples(visit, st.sampled_from([1, 1, 1, 2, 40])), max_size=12).map(
    lambda items: [row for row, times in items for _ in range(times)]
)
questions = st.builds(
    ask,
    st.sampled_from([SQL, JOINED]),
    groups_per_subject=st.sampled_from([1, 2, 3, 7]),
    rows_per_group=st.sampled_from([1, 2, 3, 1000]),
    bounds=st.sampled_from([{"cost": (0, 5)}, {"cost": (-7, 5)}, {"cost": (-3, -1)}, {"cost": (0, 100_000)}]),
    units=st.sampled_from([{}, {"cost": -2}, {"cost": 1}]),
)
PUBLIC = {SQL: (("x", 1), ("y", None), (None, 0), ("", 2)), JOINED: (("east",), (None,), ("nowhere",))}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    visits=repeated,
    people=st.lists(person, max_size=8),
    question=questions,
    cap=st.sampled_from([1, 2, 50]),
    open_keys=st.booleans(),
)
def test_no_subject_moves_the_vectors_beyond_the_price(
    connection: duckdb.DuckDBPyConnection,
    visits: list[Visit],
    people: list[Person],
    question: Question,
    cap: int,
    open_keys: bool,
) -> None:
    if open_keys:
        question = dataclasses.replace(question, keys=PUBLIC[JOINED if "people" in question.query.tables else SQL])
    priced = price(question)
    if not open_keys:
        priced = dataclasses.replace(priced, group_cap=cap)
    fill(connection, visits, people)
    whole = bounded(connection, question, priced, SALT)
    for gone in {row[0] for row in visits if row[0] is not None}:
        fill(connection, [row for row in visits if row[0] != gone], [row for row in people if row[0] != gone])
        assert_near(priced, whole, bounded(connection, question, priced, SALT))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.integers(-7, 5)), max_size=12, unique=True
    )
)
def test_subjects_within_the_bounds_lose_nothing(
    connection: duckdb.DuckDBPyConnection, rows: list[tuple[str, str, int]]
) -> None:
    fill(connection, [(who, where, 0, float(cost)) for who, where, cost in rows], [])
    question = ask(groups_per_subject=2, rows_per_group=12)
    priced = price(question)
    result = bounded(connection, question, priced, SALT)
    for noise in priced.noises:
        for key, total in zip(result.keys, result.totals[noise.measure], strict=True):
            here = [row for row in rows if row[1] == key[0]]
            exact = {"rows": len(here), "subjects": len({row[0] for row in here}), "sum": sum(row[2] for row in here)}
            assert total == exact[noise.measure.kind.value] * noise.fixed_point


# Mutation rows: bugs planted into the bounding; the very check of the property above must find each of them, and nothing else.
HEAVY: list[Visit] = [("a", place, ward, 5.0) for place in "xyzuvw" for ward in range(12) for _ in range(4)]
ONE_GROUP: list[Visit] = [("a", "x", 1, -7.0)] * 400
ROWS_RADIUS = 4243  # ⌈1000 · 3 · √2⌉
DIVISOR = f"greatest(CAST(r1 AS BIGINT), {ROWS_RADIUS})"
SCALED = f"w1 * {ROWS_RADIUS} // {DIVISOR}"
BUGS = {
    "radius one too large": (SCALED, SCALED.replace(str(ROWS_RADIUS), str(ROWS_RADIUS + 1))),
    "largest component for the norm": ("sum(w0 * w0)", "max(w0 * w0)"),
    "norm of another measure": ("sum(w2 * w2)", "sum(w1 * w1)"),
    "no scaling": (SCALED, "w1"),
    "rounded up": (SCALED, f"(w1 * {ROWS_RADIUS} + {DIVISOR} - 1) // {DIVISOR}"),
    "one group too many": ("<= 50", "<= 51"),
    "groups counted per place": ("PARTITION BY s ORDER", "PARTITION BY s, k0 ORDER"),
}
INNOCENT = {
    "nothing changed": ("", ""),
    "root rounded down: the guard takes the next one": ("ceil(sqrt(", "floor(sqrt("),
    "another order of the groups": ("sha256(", "md5("),
}


def caught(connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> bool:
    def changed(*parts: Any) -> str:
        sql = statement(*parts)
        assert old in sql
        return sql.replace(old, new)

    monkeypatch.setattr("export_gate.statistic.bounding.statement", changed)
    question = ask()
    priced = price(question)
    fill(connection, [], [])
    empty = bounded(connection, question, priced, SALT)
    for rows in (HEAVY, ONE_GROUP):
        fill(connection, rows, [])
        try:
            assert_near(priced, bounded(connection, question, priced, SALT), empty)
        except AssertionError:
            return True
    return False


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, bug: str
) -> None:
    assert caught(connection, monkeypatch, *BUGS[bug])


@pytest.mark.parametrize("twin", INNOCENT)
def test_a_harmless_change_is_not(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, twin: str
) -> None:
    assert not caught(connection, monkeypatch, *INNOCENT[twin])


def test_the_check_itself_knows_one_step_too_far() -> None:
    priced = price(ask())
    noise = priced.noises[1]
    keys = (("x", 1),)

    def totals(value: int) -> Bounded:
        return Bounded(keys, {each.measure: (value if each is noise else 0,) for each in priced.noises})

    assert_near(priced, totals(noise.radius), totals(0))
    with pytest.raises(AssertionError):
        assert_near(priced, totals(noise.radius + 1), totals(0))
