"""What a checked query holds: keys, aggregates, source, lineage, and a canonical text that is equal for equal questions."""

from __future__ import annotations

import pytest

from jobs.query import Aggregate, Function, Key, Query, parse_query, parse_rows, subject_columns
from lineage.errors import DefinitionError


INPUTS = {
    "visits": ["visit_id", "resident_id", "clinic", "cost", "day"],
    "residents": ["resident_id", "birth_year", "district"],
    "clinics": ["clinic", "beds"],
}
SUBJECTS = {"visits": "resident_id", "residents": "resident_id"}


def query(sql: str, **steps: str) -> Query:
    return parse_query(sql, INPUTS, steps)


def test_keys_aggregates_and_tables() -> None:
    found = query("SELECT clinic, year(day) AS y, COUNT(*) AS n, SUM(cost) AS cost FROM visits GROUP BY clinic, y")
    assert found.keys == (Key("clinic", '"clinic"'), Key("y", 'TRY(year("day"))'))
    assert found.aggregates == (
        Aggregate("n", Function.COUNT, None, plain=True),
        Aggregate("cost", Function.SUM, '"cost"', plain=True),
    )
    assert found.tables == ("visits",)


@pytest.mark.parametrize("group", ["clinic, y", "1, 2", "y, clinic", "clinic, year(day)", "visits.clinic, 2"])
def test_group_by_by_name_position_or_expression(group: str) -> None:
    found = query(f"SELECT clinic, year(day) AS y, COUNT(*) AS n FROM visits GROUP BY {group}")
    assert [key.name for key in found.keys] == ["clinic", "y"]


@pytest.mark.parametrize(
    ("sql", "function", "argument"),
    [
        ("COUNT(*)", Function.COUNT, None),
        ("COUNT(cost)", Function.COUNT, '"cost"'),
        ("COUNT(DISTINCT clinic)", Function.COUNT_DISTINCT, '"clinic"'),
        ("SUM(cost)", Function.SUM, '"cost"'),
        ("AVG(cost)", Function.AVG, '"cost"'),
        ("MIN(cost)", Function.MIN, '"cost"'),
        ("MAX(cost)", Function.MAX, '"cost"'),
        ("MEDIAN(cost)", Function.MEDIAN, '"cost"'),
    ],
)
def test_every_function(sql: str, function: Function, argument: str | None) -> None:
    assert query(f"SELECT {sql} AS x FROM visits").aggregates == (Aggregate("x", function, argument, plain=True),)


def test_an_expression_is_not_plain() -> None:
    found = query(
        "SELECT SUM(cost * 2) AS a, SUM(1) AS b, SUM(c2) AS c FROM s", s="SELECT cost, cost * 2 AS c2 FROM visits"
    )
    assert [(a.plain, a.constant) for a in found.aggregates] == [(False, False), (True, True), (False, False)]


def test_columns_of_one_name_are_told_apart() -> None:
    found = query(
        "SELECT r.district, SUM(v.cost) AS cost FROM visits v JOIN residents r ON r.resident_id = v.resident_id GROUP BY r.district"
    )
    assert '"r"."resident_id" AS "r.resident_id"' in found.source
    assert found.lineage.origins["r.resident_id"].table == "residents"


SAME = [
    "SELECT clinic AS k, COUNT(*) AS n FROM visits WHERE cost > 1 AND clinic = 'a' GROUP BY clinic",
    "select  VISITS.CLINIC, count( * ) total from visits where 'a' = (clinic) and 1 < cost group by 1 -- same",
    "SELECT x.clinic AS other, COUNT(*) AS m FROM visits AS x WHERE x.clinic = 'a' AND x.cost > 1 GROUP BY other",
    "SELECT c, COUNT(*) AS n FROM kept WHERE p > 1 GROUP BY c",
]
OTHER = [
    "SELECT clinic AS k, COUNT(*) AS n FROM visits WHERE cost >= 1 AND clinic = 'a' GROUP BY clinic",
    "SELECT clinic AS k, COUNT(*) AS n FROM visits WHERE cost > 1 OR clinic = 'a' GROUP BY clinic",
    "SELECT clinic AS k, COUNT(cost) AS n FROM visits WHERE cost > 1 AND clinic = 'a' GROUP BY clinic",
    "SELECT upper(clinic) AS k, COUNT(*) AS n FROM visits WHERE cost > 1 AND clinic = 'a' GROUP BY k",
    "SELECT clinic AS k, COUNT(*) AS n FROM visits WHERE cost > 1 AND clinic = 'A' GROUP BY clinic",
]
KEPT = {"kept": "SELECT clinic AS c, cost AS p FROM visits WHERE clinic = 'a'"}


def canonical(sql: str) -> str:
    return parse_query(sql, INPUTS, KEPT).canonical


@pytest.mark.parametrize("sql", SAME[:3])
def test_the_same_question_has_the_same_canonical_text(sql: str) -> None:
    assert canonical(sql) == canonical(SAME[0])


@pytest.mark.parametrize("sql", OTHER)
def test_another_question_has_another_canonical_text(sql: str) -> None:
    assert canonical(sql) != canonical(SAME[0])


def test_a_left_join_is_another_question_also_through_a_step() -> None:
    filled = {"s": "SELECT resident_id, coalesce(birth_year, 0) AS y FROM residents"}
    inside = parse_query(
        "SELECT SUM(s.y) AS t FROM visits v LEFT JOIN s ON s.resident_id = v.resident_id", INPUTS, filled
    )
    outside = parse_query(
        "SELECT SUM(coalesce(r.birth_year, 0)) AS t FROM visits v LEFT JOIN residents r ON r.resident_id = v.resident_id",
        INPUTS,
        {},
    )
    assert inside.canonical != outside.canonical


def test_refusal_names_place_and_line() -> None:
    with pytest.raises(DefinitionError) as refusal:
        query("SELECT COUNT(*) AS n\nFROM s", s="SELECT cost,\n  clinic,\n  getenv('x') AS y\nFROM visits")
    assert refusal.value.params == {"place": "step s", "line": 3, "construct": "getenv"}


def test_syntax_error_has_its_line() -> None:
    with pytest.raises(DefinitionError) as refusal:
        query("SELECT clinic,\n  COUNT(*) AS n\nFROM visits GROUP clinic )")
    assert (refusal.value.code, refusal.value.params["line"]) == ("query.syntax", 3)


def test_rows() -> None:
    found = parse_rows(
        "SELECT v.cost, r.birth_year AS y FROM visits v JOIN residents r USING (resident_id)", INPUTS, {}
    )
    assert (found.columns, found.tables) == (("cost", "y"), ("residents", "visits"))
    assert found.select.startswith('SELECT "v"."cost" AS "cost"')


@pytest.mark.parametrize("sql", ["SELECT * FROM visits", "SELECT v.* FROM visits v", "SELECT cost + 1 FROM visits"])
def test_features_are_named_one_by_one(sql: str) -> None:
    with pytest.raises(DefinitionError):
        parse_rows(sql, INPUTS, {})


COVERED = {
    "one table": ("SELECT COUNT(*) AS n FROM visits", {}, ("resident_id",)),
    "no subject": ("SELECT SUM(beds) AS n FROM clinics", {}, ()),
    "join on the subject": (
        "SELECT COUNT(*) AS n FROM visits v JOIN residents r ON v.resident_id = r.resident_id",
        {},
        ("resident_id",),
    ),
    "left join on the subject": (
        "SELECT COUNT(*) AS n FROM visits LEFT JOIN residents USING (resident_id)",
        {},
        ("resident_id",),
    ),
    "with a table without subject": (
        "SELECT COUNT(*) AS n FROM visits v JOIN clinics c ON c.clinic = v.clinic",
        {},
        ("resident_id",),
    ),
    "renamed in a step": (
        "SELECT COUNT(*) AS n FROM s",
        {"s": "SELECT resident_id AS who, cost FROM visits"},
        ("who",),
    ),
    "kept once of two equal": (
        "SELECT COUNT(*) AS n FROM s",
        {"s": "SELECT r.resident_id AS who, v.cost FROM visits v JOIN residents r ON v.resident_id = r.resident_id"},
        ("who",),
    ),
    "persons of two tables, not joined on the person": (
        "SELECT COUNT(*) AS n FROM visits v JOIN s ON v.clinic = s.district",
        {"s": "SELECT resident_id AS other, district FROM residents"},
        ("resident_id", "other"),
    ),
}


@pytest.mark.parametrize(("sql", "steps", "expected"), COVERED.values(), ids=COVERED.keys())
def test_subject_columns(sql: str, steps: dict[str, str], expected: tuple[str, ...]) -> None:
    assert subject_columns(parse_query(sql, INPUTS, steps), SUBJECTS) == expected


FORGED = {
    "dropped": {"s": "SELECT cost FROM visits"},
    "made of rows": {"s": "SELECT concat(resident_id, visit_id) AS resident_id, cost FROM visits"},
    "another column renamed": {"s": "SELECT visit_id AS resident_id, cost FROM visits"},
    "lent by a neighbour": {
        "s": "SELECT r.resident_id, v.cost FROM visits v JOIN residents r ON v.clinic = r.district"
    },
    "cast": {"s": "SELECT CAST(resident_id AS VARCHAR) AS resident_id FROM visits"},
    "through two steps": {"t": "SELECT visit_id AS resident_id, cost FROM visits", "s": "SELECT * FROM t"},
}


@pytest.mark.parametrize("steps", FORGED.values(), ids=FORGED.keys())
def test_a_forged_subject_is_refused(steps: dict[str, str]) -> None:
    found = parse_query("SELECT COUNT(*) AS n FROM s", INPUTS, steps)
    with pytest.raises(DefinitionError) as refusal:
        subject_columns(found, SUBJECTS)
    assert refusal.value.code == "query.subject-lost"


@pytest.mark.parametrize(
    "build",
    [
        lambda: Aggregate("x", Function.SUM, None),
        lambda: Query((), (), "", (), ""),
        lambda: Query((Key("a", "1"),), (Aggregate("A", Function.COUNT, None),), "", (), ""),
    ],
)
def test_impossible_values(build: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build()  # type: ignore[operator]
