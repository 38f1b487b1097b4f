"""Questions: what can be asked, and what is refused before any data is read."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from export_gate.statistic import Question, price
from export_gate.statistic.measures import ROWS, SUBJECTS, Kind
from jobs.query import parse_query
from lineage.errors import DefinitionError
from sandbox.messages import Language, explain


TABLES = {"visits": ["person", "place", "ward", "cost", "age"]}
SQL = "SELECT place, COUNT(*) AS n, SUM(cost) AS total, AVG(age) AS years FROM visits GROUP BY place"
BOUNDS = {"cost": (0, 5000), "age": (0, 120)}


def ask(sql: str = SQL, **changes: Any) -> Question:
    settings: dict[str, Any] = {
        "subject": "person",
        "groups_per_subject": 3,
        "rows_per_group": 20,
        "epsilon": Fraction(1, 2),
        "bounds": BOUNDS,
    }
    return Question(query=parse_query(sql, TABLES, {}), **(settings | changes))


def one(select: str) -> str:
    return f"SELECT place, {select} FROM visits GROUP BY place"


def test_measures_follow_the_aggregates() -> None:
    first, second, third = ask().measures
    assert first == (ROWS,)
    assert [(m.kind, m.argument, m.low, m.high) for m in second] == [(Kind.SUM, '"cost"', 0, 5000)]
    assert [m.kind for m in third] == [Kind.SUM, Kind.ROWS]


def test_equal_measures_are_paid_once() -> None:
    question = ask(one("SUM(cost) AS c, AVG(cost) AS a, COUNT(*) AS n"), bounds={"cost": (0, 1)})
    assert len(price(question).noises) == len({"sum", "numbers", "rows", "subjects for the threshold"})


def test_bounds_by_the_name_of_the_result_win() -> None:
    question = ask(one("SUM(cost) AS c, SUM(cost) AS d"), bounds={"COST": (0, 9), "d": (-1, 1)}, units={"c": -2})
    assert [(m[0].low, m[0].high, m[0].unit) for m in question.measures] == [(0, 9, -2), (-1, 1, 0)]


REFUSED: dict[str, tuple[str, Callable[[], Question]]] = {
    "minimum": ("aggregate-not-measured", lambda: ask(one("MIN(cost) AS m"), bounds={})),
    "median": ("aggregate-not-measured", lambda: ask(one("MEDIAN(cost) AS m"), bounds={})),
    "count of a column": ("aggregate-not-measured", lambda: ask(one("COUNT(cost) AS m"), bounds={})),
    "distinct of another column": ("aggregate-not-measured", lambda: ask(one("COUNT(DISTINCT ward) AS m"), bounds={})),
    "no bounds": ("bounds-missing", lambda: ask(bounds={"cost": (0, 1)})),
    "bounds turned round": ("bounds", lambda: ask(bounds=BOUNDS | {"cost": (5, 5)})),
    "bounds in floats": ("bounds", lambda: ask(bounds=BOUNDS | {"cost": (0, 0.5)})),
    "three bounds": ("bounds", lambda: ask(bounds=BOUNDS | {"cost": (0, 1, 2)})),
    "bounds beyond 32 bits": ("bounds-too-wide", lambda: ask(bounds=BOUNDS | {"cost": (0, 2**40)})),
    "misspelt bound": ("bound-unknown", lambda: ask(bounds=BOUNDS | {"coast": (0, 1)})),
    "misspelt unit": ("bound-unknown", lambda: ask(units={"n": 2})),
    "unit too fine": ("unit", lambda: ask(units={"cost": -10})),
    "unit in words": ("unit", lambda: ask(units={"cost": "cents"})),
    "no subject": ("subject-missing", lambda: ask(subject="")),
    "epsilon zero": ("out-of-range", lambda: ask(epsilon=Fraction(0))),
    "epsilon as float": ("out-of-range", lambda: ask(epsilon=0.5)),
    "epsilon without protection": ("out-of-range", lambda: ask(epsilon=Fraction(1000))),
    "delta of one": ("out-of-range", lambda: ask(delta=Fraction(1))),
    "no groups": ("out-of-range", lambda: ask(groups_per_subject=0)),
    "rows as truth": ("out-of-range", lambda: ask(rows_per_group=True)),
    "no public key": ("key-number", lambda: ask(keys=())),
    "key too short": ("key-width", lambda: ask(keys=((),))),
    "key twice": ("key-twice", lambda: ask(keys=((1,), ("1",)))),
    "companion's name": (
        "column-twice",
        lambda: ask(one("COUNT(*) AS n, SUM(cost) AS n_low"), bounds={"cost": (0, 1)}),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_measured_is_refused_and_explained(case: str) -> None:
    code, build = REFUSED[case]
    with pytest.raises(DefinitionError) as caught:
        build()
    assert caught.value.code == f"statistic.{code}"
    for language in Language:
        assert "{" not in explain(caught.value, language).what


def test_sums_that_could_overflow_are_refused_when_priced() -> None:
    with pytest.raises(DefinitionError, match="bounds-too-wide"):
        price(ask(bounds=BOUNDS | {"cost": (0, 2**31)}, rows_per_group=10_000))


def test_too_many_numbers_for_a_small_epsilon() -> None:
    select = ", ".join(f"SUM(cost + {i}) AS s{i}" for i in range(300))
    question = ask(
        one(select), bounds={f"s{i}": (0, 1) for i in range(300)}, epsilon=Fraction(1, 1000), delta=Fraction(1, 10**10)
    )
    assert min(noise.rho for noise in price(question).noises) > 0


def test_a_question_without_groups_has_one_public_group() -> None:
    question = ask("SELECT COUNT(*) AS n FROM visits", bounds={})
    assert question.keys == ((),)
    priced = price(question)
    assert priced.delta == 0
    assert priced.group_cap is None
    assert len(priced.noises) == 1
    assert priced.noises[0].radius == 20 * 1000, "one group: nobody can be in three"


def test_secret_groups_are_judged_by_subjects() -> None:
    hidden = price(ask()).noises[0]
    assert (hidden.measure, hidden.threshold is not None) == (SUBJECTS, True)
    asked = price(ask(one("COUNT(*) AS n, COUNT(DISTINCT person) AS p"), bounds={}))
    assert [noise.measure for noise in asked.noises] == [SUBJECTS, ROWS]


def test_one_row_a_group_makes_rows_count_subjects() -> None:
    priced = price(ask(one("COUNT(*) AS n"), bounds={}, rows_per_group=1))
    assert [(noise.measure, noise.threshold is not None) for noise in priced.noises] == [(ROWS, True)]


def test_the_price_knows_no_data() -> None:
    assert price(ask()) == price(ask())
    assert price(ask()).rho > 0
    assert price(ask()).delta + price(ask()).conversion_delta == ask().delta


def test_json_gives_the_same_question() -> None:
    question = ask(keys=(("东城",), (None,), (7,)), units={"cost": -2})
    again = Question.from_json(question.to_json())
    assert again.canonical() == question.canonical()
    assert price(again) == price(question)
    assert again.to_json() == question.to_json()
