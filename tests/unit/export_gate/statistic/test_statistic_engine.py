"""The engine from rows to answer: values near the truth, form, card, and refusal before noise."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb
import pytest

from export_gate.statistic import Answer, Question, price
from export_gate.statistic.answer import Number, mean
from export_gate.statistic.engine import measure
from jobs.query import parse_query
from lineage.errors import DefinitionError, GateRefusedError


TABLES = {"visits": ["person", "place", "ward", "day", "cost"]}
SQL = "SELECT place, ward, COUNT(*) AS n, COUNT(DISTINCT person) AS p, SUM(cost) AS c, AVG(cost) AS a FROM visits GROUP BY place, ward"
PEOPLE = 6000


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 2}) as opened:
        opened.execute(
            "CREATE TABLE visits AS SELECT i % 6000 AS person, CASE WHEN i % 3 = 0 THEN '东城' WHEN i % 3 = 1 THEN 'south' END "
            "AS place, (i % 2)::INTEGER AS ward, DATE '2026-01-01' + (i % 2)::INTEGER AS day, 10.25 AS cost "
            "FROM range(24000) AS r(i) UNION ALL SELECT 1000000, 'lonely', 9, DATE '2026-01-09', 1.0 FROM range(50)"
        )
        yield opened


def ask(sql: str = SQL, **changes: Any) -> Question:
    settings: dict[str, Any] = {
        "subject": "person",
        "groups_per_subject": 2,
        "rows_per_group": 4,
        "epsilon": Fraction(2),
        "bounds": {"cost": (0, 2000)},
        "units": {"cost": -2},
    }
    return Question(query=parse_query(sql, TABLES, {}), **(settings | changes))


def test_numbers_lie_near_the_truth_and_a_lone_group_stays_unnamed(connection: duckdb.DuckDBPyConnection) -> None:
    question = ask()
    answer = measure(connection, question, price(question))
    assert [row[:2] for row in answer.rows] == [
        (None, 0),
        (None, 1),
        ("south", 0),
        ("south", 1),
        ("东城", 0),
        ("东城", 1),
    ]
    truths = {"n": Decimal(4000), "p": Decimal(1000), "c": Decimal(41000), "a": Decimal("10.25")}
    for row in answer.rows:
        cells = dict(zip(answer.columns, row, strict=True))
        for name, truth in truths.items():
            assert abs(Decimal(str(cells[name])) - truth) < 7 * Decimal(str(cells[f"{name}_stderr"])), name
            assert (
                Decimal(str(cells[f"{name}_low"])) <= Decimal(str(cells[name])) <= Decimal(str(cells[f"{name}_high"]))
            )


def test_types_are_text_or_whole_numbers(connection: duckdb.DuckDBPyConnection) -> None:
    question = ask()
    answer = measure(connection, question, price(question))
    kinds = {column: {type(row[at]) for row in answer.rows} for at, column in enumerate(answer.columns)}
    assert kinds["n"] == kinds["p"] == kinds["n_low"] == kinds["ward"] == {int}
    assert kinds["c"] == kinds["a"] == kinds["n_stderr"] == {str}
    assert Answer.from_json(answer.to_json()).to_json() == answer.to_json()
    assert "." not in json.dumps([row for row in answer.rows if any(isinstance(value, float) for value in row)])


def test_public_groups_are_all_answered_also_the_empty_one(connection: duckdb.DuckDBPyConnection) -> None:
    keys = (("nowhere", 5), ("东城", 0), (None, 1))
    question = ask(keys=keys)
    answer = measure(connection, question, price(question))
    assert [row[:2] for row in answer.rows] == [(None, 1), ("nowhere", 5), ("东城", 0)]
    empty = dict(zip(answer.columns, answer.rows[1], strict=True))
    assert abs(int(empty["n"] or 0)) < 7 * Decimal(str(empty["n_stderr"]))
    assert answer.card["privacy_loss"]["privacy_parameters"]["rho_delta"] == "0"


def test_dates_are_keys_by_their_text(connection: duckdb.DuckDBPyConnection) -> None:
    question = ask(
        "SELECT day, COUNT(*) AS n FROM visits GROUP BY day",
        bounds={},
        units={},
        keys=(("2026-01-01",), ("2026-01-02",)),
    )
    answer = measure(connection, question, price(question))
    assert all(abs(int(row[1] or 0) - 12000) < 300 for row in answer.rows)


def test_one_total_without_groups(connection: duckdb.DuckDBPyConnection) -> None:
    question = ask("SELECT COUNT(DISTINCT person) AS p, SUM(cost) AS c FROM visits", rows_per_group=8)
    (row,) = measure(connection, question, price(question)).rows
    assert abs(int(row[0] or 0) - PEOPLE - 1) < 30


def test_the_card_holds_unit_parameters_mechanism_and_measurement(connection: duckdb.DuckDBPyConnection) -> None:
    question = ask()
    priced = price(question)
    card = measure(connection, question, priced).card
    assert Fraction(card["privacy_loss"]["privacy_parameters"]["rho"]) == priced.rho
    assert card["privacy_loss"]["privacy_parameters"]["epsilon"] == "2"
    assert Fraction(card["privacy_loss"]["privacy_parameters"]["delta"]) == question.delta
    mechanisms = card["implementation"]["mechanisms"]
    assert [mechanism["aggregates"] for mechanism in mechanisms] == [["p"], ["n"], ["c", "a"], ["a"]]
    assert [Fraction(m["scale"]) for m in mechanisms] == [n.scale / n.fixed_point for n in priced.noises]
    assert set(card["implementation"]["justification"]) == {"zh", "en"}


def test_opendp_rebuilds_the_measurements_from_the_card(connection: duckdb.DuckDBPyConnection) -> None:
    from opendp.mod import deserialize

    question = ask()
    priced = price(question)
    mechanisms = measure(connection, question, priced).card["implementation"]["mechanisms"]
    first, second = (deserialize(json.dumps(mechanism["measurement"])) for mechanism in mechanisms[:2])
    assert Fraction(second.map(float(priced.noises[1].radius))) <= priced.noises[1].rho
    judge = priced.noises[0]
    assert Fraction(first.map((priced.group_cap, float(judge.radius), float(judge.largest)))[0]) <= judge.rho


def test_an_empty_table_is_answered_like_any_other(connection: duckdb.DuckDBPyConnection) -> None:
    question = ask(SQL.replace("FROM visits", "FROM visits WHERE cost < 0"))
    assert measure(connection, question, price(question)).rows == ()
    question = dataclasses.replace(question, keys=(("东城", 0),))
    assert len(measure(connection, question, price(question)).rows) == 1


def test_a_price_that_opendp_does_not_confirm_stops_before_the_noise(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = ask()
    priced = price(question)
    low = dataclasses.replace(priced, rho=priced.rho / 2)
    monkeypatch.setattr("export_gate.statistic.engine.price_of", lambda _: low)
    monkeypatch.setattr("export_gate.statistic.engine.draw", lambda *_: pytest.fail("noise was drawn"))
    with pytest.raises(GateRefusedError, match="price-too-low"):
        measure(connection, question, low)


def test_a_price_without_threshold_names_no_secret_group(connection: duckdb.DuckDBPyConnection) -> None:
    question = ask()
    public = price(dataclasses.replace(question, keys=(("东城", 0),)))
    with pytest.raises(GateRefusedError, match="price-of-another"):
        measure(connection, question, public)


def test_a_price_of_another_question_is_refused(connection: duckdb.DuckDBPyConnection) -> None:
    question = ask()
    other = price(ask("SELECT place, ward, COUNT(*) AS n FROM visits GROUP BY place, ward", bounds={}, units={}))
    with pytest.raises(GateRefusedError, match="price-of-another"):
        measure(connection, question, other)


def test_columns_that_do_not_exist_are_a_wrong_definition(connection: duckdb.DuckDBPyConnection) -> None:
    question = ask("SELECT place, COUNT(*) AS n FROM visits GROUP BY place", subject="nobody", bounds={}, units={})
    with pytest.raises(DefinitionError, match="does-not-bind"):
        measure(connection, question, price(question))


@pytest.mark.parametrize(
    ("value", "stderr", "whole", "shown"),
    [
        ("1234.4", "3.21", True, (1234, "3.21", 1228, 1241)),
        ("123456", "391.6", True, (123460, "392", 122680, 124230)),
        ("-0.4", "0.01", True, (0, "0.01", -1, 0)),
        ("10.257", "0.034", False, ("10.257", "0.034", "10.190", "10.324")),
        ("0", "40000", False, ("0", "40000", "-79000", "79000")),
    ],
)
def test_digits_follow_the_noise(value: str, stderr: str, *, whole: bool, shown: tuple[object, ...]) -> None:
    assert Number(Decimal(value), Decimal(stderr)).shown(whole=whole, finest=0 if whole else -9) == shown


def test_a_mean_over_nothing_is_not_known() -> None:
    low, high = Decimal(0), Decimal(5)
    total = Number(Decimal(100), Decimal(3))
    assert mean(total, Number(Decimal(1), Decimal(1)), low, high) is None
    assert mean(total, Number(Decimal(-50), Decimal(1)), low, high) is None
    kept = mean(total, Number(Decimal(10), Decimal(1)), low, high)
    assert kept is not None
    assert kept.value == high, "within the public bounds"
