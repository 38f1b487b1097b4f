"""Attacks on the statistic: each row a planted attack; the twins beside them are innocent and must pass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import duckdb
import pytest

from export_gate.statistic import Question, price, sole_subject
from export_gate.statistic.bounding import Bounded, bounded
from export_gate.statistic.engine import measure
from export_gate.statistic.measures import Kind
from jobs.query import Aggregate, Function, Key, Query, parse_query
from lineage.errors import DefinitionError, GateRefusedError


TABLES = {"visits": ["person", "place", "cost", "days"], "people": ["person", "town"], "towns": ["town", "size"]}
SUBJECTS = {"visits": "person", "people": "person"}
SQL = "SELECT place, COUNT(*) AS n, SUM(cost) AS c, AVG(cost) AS a FROM visits GROUP BY place"
SALT = bytes(32)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 2}) as opened:
        opened.execute("CREATE TABLE visits (person VARCHAR, place VARCHAR, cost DOUBLE, days INTEGER)")
        opened.execute("INSERT INTO visits SELECT 'p' || i, 'x', 10, 1 FROM range(500) AS r(i)")
        yield opened


def ask(sql: str = SQL, steps: dict[str, str] | None = None, **changes: Any) -> Question:
    settings: dict[str, Any] = {
        "subject": "person",
        "groups_per_subject": 2,
        "rows_per_group": 5,
        "epsilon": Fraction(1),
        "bounds": {"cost": (0, 100)},
    }
    return Question(query=parse_query(sql, TABLES, steps or {}), **(settings | changes))


def vectors(connection: duckdb.DuckDBPyConnection, question: Question) -> Bounded:
    return bounded(connection, question, price(question), SALT)


def total(result: Bounded, kind: Kind, place: str = "x") -> int:
    measure_ = next(each for each in result.totals if each.kind is kind)
    return result.totals[measure_][result.keys.index((place,))]


# The same question again, in other clothes: it must be known, so that the stored answer is given and no new noise is drawn.
DISGUISES = {
    "layout": "select   place ,\n count( * ) AS n, sum(cost) as c, avg(cost) AS a\nfrom visits group by place",
    "letter case": "SELECT PLACE, COUNT(*) AS N, SUM(COST) AS C, AVG(Cost) AS A FROM VISITS GROUP BY Place",
    "table alias": "SELECT v.place, COUNT(*) AS n, SUM(v.cost) AS c, AVG(v.cost) AS a FROM visits AS v GROUP BY v.place",
    "comment": "SELECT place, COUNT(*) AS n, SUM(cost) AS c, /* new */ AVG(cost) AS a FROM visits GROUP BY place -- 2",
    "names of the numbers": "SELECT place, COUNT(*) AS n2, SUM(cost) AS c2, AVG(cost) AS a2 FROM visits GROUP BY place",
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_the_same_question_is_known_in_every_disguise(disguise: str) -> None:
    assert ask(DISGUISES[disguise]).canonical() == ask().canonical()


def test_the_same_question_a_hundred_times_is_one_question() -> None:
    assert len({ask(SQL + " " * i, subject="person" if i % 2 else "PERSON").canonical() for i in range(100)}) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"bounds": {"cost": (0, 101)}},
        {"epsilon": Fraction(2)},
        {"keys": (("x",),)},
        {"groups_per_subject": 3},
        {"units": {"cost": 1}},
    ],
)
def test_another_question_is_another_question(changes: dict[str, Any]) -> None:
    assert ask(**changes).canonical() != ask().canonical()


# One subject tries to weigh more than its ball.
FLOODS = {
    "a million rows in one group": "SELECT 'evil', 'x', 100, 1 FROM range(1000000)",
    "a row in each of ten thousand groups": "SELECT 'evil', 'g' || i, 100, 1 FROM range(10000) AS r(i)",
    "huge values": "SELECT 'evil', 'x', 1e300, 1 FROM range(1000)",
    "infinite values": "SELECT 'evil', 'x', 'infinity'::DOUBLE, 1 FROM range(1000)",
    "values just below the 64-bit end": "SELECT 'evil', 'x', 9223372036854775807, 1 FROM range(1000)",
}


@pytest.mark.parametrize("flood", FLOODS)
def test_one_subject_cannot_flood(connection: duckdb.DuckDBPyConnection, flood: str) -> None:
    question = ask()
    before = vectors(connection, question)
    connection.execute(f"INSERT INTO visits {FLOODS[flood]}")
    after = vectors(connection, question)
    for noise in price(question).noises:
        old = dict(zip(before.keys, before.totals[noise.measure], strict=True))
        new = dict(zip(after.keys, after.totals[noise.measure], strict=True))
        moved = sum((new[key] - old.get(key, 0)) ** 2 for key in new)
        assert 0 < moved <= noise.radius**2


def test_many_subjects_may_weigh_much(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("INSERT INTO visits SELECT 'q' || i, 'x', 10, 1 FROM range(100000) AS r(i)")
    assert total(vectors(connection, ask()), Kind.ROWS) == 100_500 * 1000


def test_a_flood_of_rows_without_a_subject_counts_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    before = vectors(connection, ask())
    connection.execute("INSERT INTO visits SELECT NULL, 'x', 50, 1 FROM range(100000)")
    connection.execute("INSERT INTO visits SELECT NULL, 'g' || i, 50, 1 FROM range(1000) AS r(i)")
    assert vectors(connection, ask()) == before


def test_an_empty_name_is_one_subject_not_many(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("INSERT INTO visits SELECT '', 'x', 50, 1 FROM range(100000)")
    noise = next(noise for noise in price(ask()).noises if noise.measure.kind is Kind.ROWS)
    assert 500_000 < total(vectors(connection, ask()), Kind.ROWS) <= 500_000 + noise.radius


# Values meant to make the measuring fail: a failure that depends on the data would be a message from the data (law 8).
POISON = {
    "not a number": ("'nan'::DOUBLE", None),
    "negative not a number": ("-'nan'::DOUBLE", None),
    "nothing": ("NULL", None),
    "infinity": ("'infinity'::DOUBLE", 100),
    "minus infinity": ("-'infinity'::DOUBLE", 0),
    "beyond every decimal": ("1e308", 100),
    "smallest double": ("5e-324", 0),
    "half a unit": ("0.5", 1),
    "an ordinary value": ("42", 42),
}


@pytest.mark.parametrize("poison", POISON)
def test_every_value_has_one_bounded_meaning(connection: duckdb.DuckDBPyConnection, poison: str) -> None:
    written, meant = POISON[poison]
    before = vectors(connection, ask())
    connection.execute(f"INSERT INTO visits SELECT 'z', 'x', {written}, 1")
    after = vectors(connection, ask())
    assert total(after, Kind.SUM) - total(before, Kind.SUM) == (meant or 0) * 1000
    counted = next(m for m in after.totals if m.kind is Kind.ROWS and m.argument is not None)
    assert after.totals[counted][0] - before.totals[counted][0] == (0 if meant is None else 1000)


FAILING = {
    "division by a column": "SUM(cost / days)",
    "whole division": "SUM(cost // days)",
    "remainder": "SUM(days % (days - 1))",
    "cast": "SUM(CAST(place AS INTEGER))",
    "overflow": "SUM(days * 2147483647 * 2147483647 * 2147483647)",
    "text as a number": "SUM(CAST(place AS DOUBLE))",
}


@pytest.mark.parametrize("failing", FAILING)
def test_an_expression_that_fails_on_some_rows_tells_nothing(
    connection: duckdb.DuckDBPyConnection, failing: str
) -> None:
    connection.execute(
        "INSERT INTO visits VALUES ('a', 'x', 1, 0), ('b', 'x', 1, 2147483647), ('c', '9', 1, -2147483648)"
    )
    question = ask(f"SELECT place, {FAILING[failing]} AS s FROM visits GROUP BY place", bounds={"s": (0, 100)})
    assert (("x",)) in vectors(connection, question).keys


def test_an_error_at_run_time_is_one_refusal_without_a_reason(connection: duckdb.DuckDBPyConnection) -> None:
    secret = "SELECT person, place, CAST(place AS INTEGER) AS cost FROM visits"
    query = Query(
        (Key("place", '"place"'),), (Aggregate("c", Function.SUM, '"cost"'),), secret, ("visits",), "hand-made"
    )
    question = Question(query, "person", 1, 1, Fraction(1), {"cost": (0, 1)})
    with pytest.raises(GateRefusedError) as caught:
        vectors(connection, question)
    assert (caught.value.code, caught.value.params) == ("statistic.not-measured", {})
    assert caught.value.__context__ is None, "DuckDB's text would quote the value"


# Other columns in the place of the subject: one person would look like many.
QUERIES = {
    "row made unique by a step": (
        "SELECT place, COUNT(*) AS n FROM s GROUP BY place",
        "SELECT days AS person, place FROM visits",
    ),
    "subject rewritten": (
        "SELECT place, COUNT(*) AS n FROM s GROUP BY place",
        "SELECT person || days AS person, place FROM visits",
    ),
    "persons joined by something else": (
        "SELECT v.place, COUNT(*) AS n FROM visits AS v JOIN people AS u ON v.place = u.town GROUP BY v.place",
        "",
    ),
    "joined with itself": (
        "SELECT v.place, COUNT(*) AS n FROM visits AS v JOIN visits AS u ON v.place = u.place GROUP BY v.place",
        "",
    ),
    "no persons at all": ("SELECT town, COUNT(*) AS n FROM towns GROUP BY town", ""),
}


@pytest.mark.parametrize("case", QUERIES)
def test_only_the_true_subject_bounds(case: str) -> None:
    sql, step = QUERIES[case]
    query = parse_query(sql, TABLES, {"s": step} if step else {})
    with pytest.raises(DefinitionError):
        sole_subject(query, SUBJECTS, "person")


def test_a_declared_subject_must_be_the_true_one() -> None:
    with pytest.raises(DefinitionError, match="other-subject"):
        sole_subject(parse_query(SQL, TABLES, {}), SUBJECTS, "days")


@pytest.mark.parametrize(
    "sql",
    [
        SQL,
        "SELECT u.town, COUNT(*) AS n FROM visits AS v JOIN people AS u ON v.person = u.person GROUP BY u.town",
        "SELECT t.town, COUNT(*) AS n FROM people AS u JOIN towns AS t ON u.town = t.town GROUP BY t.town",
    ],
)
def test_joins_on_the_subject_and_with_public_tables_pass(sql: str) -> None:
    assert sole_subject(parse_query(sql, TABLES, {}), SUBJECTS, "Person") == "person"


def test_a_join_cannot_multiply_a_subject(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE people AS SELECT 'p1' AS person, 'x' AS town FROM range(1000)")
    question = ask(
        "SELECT u.town, COUNT(*) AS n, SUM(cost) AS c FROM visits AS v JOIN people AS u ON v.person = u.person GROUP BY u.town"
    )
    result = vectors(connection, question)
    for noise in price(question).noises:
        assert abs(result.totals[noise.measure][0]) <= noise.radius


# What else might speak: order, a lone group, the choice of groups left out.
def test_rows_come_in_the_order_of_the_keys_whatever_the_table_does(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "INSERT INTO visits SELECT 'p' || i, chr(97 + (i * 7 % 20)::INTEGER), 1, 1 FROM range(20000) AS r(i)"
    )
    question = ask("SELECT place, COUNT(*) AS n FROM visits GROUP BY place", bounds={})
    places = [str(row[0]) for row in measure(connection, question, price(question)).rows]
    assert len(places) >= 20
    assert places == sorted(places)


def test_a_group_of_one_subject_is_not_named_however_many_rows_it_has(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("INSERT INTO visits SELECT 'evil', 'the secret place', 100, 1 FROM range(100000)")
    question = ask()
    for _ in range(5):
        assert all(row[0] != "the secret place" for row in measure(connection, question, price(question)).rows)


def test_which_groups_are_left_out_changes_with_the_salt(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("INSERT INTO visits SELECT 'evil', 'g' || i, 100, 1 FROM range(1000) AS r(i)")
    question = ask()
    priced = price(question)
    kept = {bounded(connection, question, priced, bytes([salt]) * 32).keys for salt in range(5)}
    assert len(kept) == 5
    assert {len(keys) for keys in kept} == {(priced.group_cap or 0) + 1}
    assert math.comb(1000, 50) > 2**128, "nobody guesses them"
