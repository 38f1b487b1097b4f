"""Attack: tables that tell one subject's value. Each leak stands with a disguise of it and an innocent twin that must pass.

The fake population is drawn from a fixed seed, so the truth is known. Each row below says which rule must refuse; a twin must pass
all rules, because a gate that refuses everything protects nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import duckdb
import pytest

from export_gate.finding import Verdict
from export_gate.table import CellPolicy, JudgedTable, judge_table
from jobs.query import parse_query
from lineage.errors import DefinitionError


INPUTS = {
    "people": ["person", "district", "sex", "ill", "income", "fee", "rank"],
    "visits": ["visit", "person", "clinic", "month", "cost"],
    "groups": ["district", "label"],
    "regions": ["street", "label"],
    "clinics": ["clinic", "beds"],
}
SUBJECTS = {"people": "person", "visits": "person"}
VICTIM = "p007"


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """400 people in districts A to D; in Z everyone is ill; E holds one very rich person, F one with a debt as large."""
    draw = random.Random(20240517)
    people: list[tuple[object, ...]] = []
    for number in range(400):
        district = "ABCD"[number % 4]
        people.append(
            (
                f"p{number:03}",
                district,
                draw.choice("FM"),
                draw.random() < 0.4,
                draw.randrange(2000, 9000),
                draw.choice([5, 10]),
                number,
            )
        )
    people += [(f"z{n:02}", "Z", draw.choice("FM"), True, draw.randrange(2000, 9000), 5, n) for n in range(40)]
    people += [
        (f"e{n:02}", "E", draw.choice("FM"), n % 2 == 0, 9_000_000 if n == 0 else 3000 + n, 10, n) for n in range(40)
    ]
    people += [
        (f"f{n:02}", "F", draw.choice("FM"), n % 2 == 0, -8_000_000 if n == 0 else 3000 + n, 10, n) for n in range(40)
    ]
    # Y has 3 healthy people among 50, and 3 people with very many visits go to the clinic "few".
    people += [(f"y{n:02}", "Y", draw.choice("FM"), n >= 3, draw.randrange(2000, 9000), 10, n) for n in range(50)]
    visits: list[tuple[object, ...]] = [
        (number, f"p{draw.randrange(400):03}", draw.choice("KLM"), draw.randrange(1, 13), draw.randrange(10, 300))
        for number in range(4000)
    ]
    visits += [(5000 + n, f"p{n % 3:03}", "few", 1, 50 + n) for n in range(300)]
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE people (person TEXT, district TEXT, sex TEXT, ill BOOLEAN, income BIGINT, fee INTEGER, rank INTEGER)"
        )
        connection.execute("CREATE TABLE visits (visit BIGINT, person TEXT, clinic TEXT, month INTEGER, cost BIGINT)")
        connection.execute("CREATE TABLE groups (district TEXT, label TEXT)")
        connection.execute(
            "CREATE TABLE regions AS SELECT s AS street, l AS label FROM range(400) t(s), (VALUES ('all'), ('rest'), ('moved')) v(l)"
            " WHERE NOT (l = 'rest' AND s = 7) AND NOT (l = 'moved' AND s = 8)"
        )
        connection.execute("CREATE TABLE clinics (clinic TEXT, beds INTEGER)")
        connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?, ?)", people)
        connection.executemany("INSERT INTO visits VALUES (?, ?, ?, ?, ?)", visits)
        connection.execute("INSERT INTO groups VALUES ('A', 'north'), ('B', 'north'), ('C', 'south'), ('D', 'south')")
        connection.execute("INSERT INTO clinics VALUES ('K', 10), ('L', 20)")
        yield connection


@dataclass(frozen=True)
class Case:
    """A query, the rule that must refuse it (none for an innocent twin), and steps."""

    sql: str
    rule: str = ""
    steps: dict[str, str] = field(default_factory=dict)


def judged(connection: duckdb.DuckDBPyConnection, case: Case) -> JudgedTable:
    return judge_table(connection, parse_query(case.sql, INPUTS, case.steps), SUBJECTS, CellPolicy())


def blocking(table: JudgedTable) -> set[str]:
    return {finding.check for finding in table.findings if not finding.verdict.lets_out}


ABCD = "district IN ('A', 'B', 'C', 'D')"
ALL_BUT = f"person <> '{VICTIM}'"

CASES = {
    # a maximum is somebody's value
    "endpoint: leak": Case(
        f"SELECT district, MAX(income) AS x FROM people WHERE {ABCD} GROUP BY district", "cells.endpoints"
    ),
    "endpoint: minimum": Case(
        f"SELECT district, MIN(income) AS x FROM people WHERE {ABCD} GROUP BY district", "cells.endpoints"
    ),
    "endpoint: median": Case(
        f"SELECT district, MEDIAN(income) AS x FROM people WHERE {ABCD} GROUP BY district", "cells.endpoints"
    ),
    "endpoint: disguised as a sum over the top": Case(
        f"SELECT district, SUM(CASE WHEN income > 8900 THEN income END) AS x FROM people WHERE {ABCD} GROUP BY district",
        "cells.implied-count",
    ),
    "endpoint: disguised as zeros below the top": Case(
        f"SELECT district, SUM(CASE WHEN income > 8900 THEN income ELSE 0 END) AS x FROM people WHERE {ABCD} GROUP BY district",
        "cells.differencing",
    ),
    "endpoint: twin": Case(f"SELECT district, AVG(income) AS x FROM people WHERE {ABCD} GROUP BY district"),
    # everyone in the cell has it
    "class: mean of 0/1 is 1": Case(
        "SELECT district, AVG(CASE WHEN ill THEN 1 ELSE 0 END) AS x FROM people WHERE district IN ('A', 'Z') GROUP BY district",
        "cells.class-disclosure",
    ),
    "class: disguised as nobody healthy": Case(
        "SELECT district, SUM(CASE WHEN ill THEN 0 ELSE 1 END) AS x FROM people WHERE district IN ('A', 'Z') GROUP BY district",
        "cells.class-disclosure",
    ),
    "class: disguised as a count": Case(
        "SELECT district, COUNT(CASE WHEN ill THEN 1 END) AS x FROM people WHERE district IN ('A', 'Z') GROUP BY district",
        "cells.class-disclosure",
    ),
    "class: disguised as distinct values": Case(
        "SELECT district, COUNT(DISTINCT ill) AS x FROM people WHERE district IN ('A', 'Z') GROUP BY district",
        "cells.class-disclosure",
    ),
    "class: disguised as a key": Case(
        "SELECT district, ill, COUNT(*) AS n FROM people WHERE district IN ('A', 'B', 'Z') GROUP BY district, ill",
        "cells.whole-group",
    ),
    "class: a shared fee": Case(
        "SELECT district, AVG(fee) AS x FROM people WHERE district IN ('A', 'E') GROUP BY 1", "cells.class-disclosure"
    ),
    "class: twin": Case(
        f"SELECT district, AVG(CASE WHEN ill THEN 1 ELSE 0 END) AS x FROM people WHERE {ABCD} GROUP BY district"
    ),
    "class: twin with a key": Case(
        f"SELECT district, ill, COUNT(*) AS n FROM people WHERE {ABCD} GROUP BY district, ill"
    ),
    "class: twin, a constant": Case(
        f"SELECT district, SUM(1) AS n, COUNT(income) AS m FROM people WHERE {ABCD} GROUP BY district"
    ),
    # 47 of 50 is also 3 of 50
    "implied: share": Case(
        "SELECT AVG(CASE WHEN ill THEN 1 ELSE 0 END) AS x FROM people WHERE district = 'Y'", "cells.implied-count"
    ),
    "implied: count and total": Case(
        "SELECT COUNT(*) AS n, SUM(CASE WHEN ill THEN 1 ELSE 0 END) AS x FROM people WHERE district = 'Y'",
        "cells.differencing",
    ),
    "implied: disguised by other weights": Case(
        "SELECT COUNT(*) AS n, SUM(CASE WHEN ill THEN 7 ELSE 2 END) AS x FROM people WHERE district = 'Y'",
        "cells.implied-count",
    ),
    "implied: disguised as a count of values": Case(
        "SELECT COUNT(*) AS n, COUNT(CASE WHEN ill THEN 1 END) AS x FROM people WHERE district = 'Y'",
        "cells.implied-count",
    ),
    "implied: twin": Case(
        f"SELECT district, COUNT(*) AS n, SUM(CASE WHEN ill THEN 1 ELSE 0 END) AS x FROM people WHERE {ABCD} GROUP BY 1"
    ),
    # one subject is nearly the whole total
    "dominance: leak": Case(
        "SELECT district, SUM(income) AS x FROM people WHERE district IN ('A', 'E') GROUP BY 1", "cells.dominance-nk"
    ),
    "dominance: p %": Case(
        "SELECT district, AVG(income) AS x FROM people WHERE district IN ('A', 'E') GROUP BY 1", "cells.dominance-p"
    ),
    "dominance: hidden by a negative value in the cell": Case(
        "SELECT SUM(income) AS x FROM people WHERE district = 'F'", "cells.dominance-nk"
    ),
    "dominance: hidden by a negative value in another cell": Case(
        "SELECT district, SUM(income) AS x FROM people WHERE district IN ('E', 'F') GROUP BY 1", "cells.dominance-nk"
    ),
    "dominance: two that cancel": Case(
        "SELECT SUM(income) AS x FROM people WHERE district IN ('E', 'F')", "cells.dominance-nk"
    ),
    "dominance: others made to cancel": Case(
        f"SELECT SUM(CASE WHEN v.person = '{VICTIM}' THEN p.income WHEN v.visit % 2 = 0 THEN 0.001 ELSE -0.001 END) AS x"
        " FROM visits v JOIN people p ON v.person = p.person",
        "cells.dominance-nk",
    ),
    "dominance: rows of one person": Case(
        "SELECT clinic, COUNT(*) AS n FROM visits WHERE clinic = 'few' GROUP BY 1", "cells.minimum-count"
    ),
    "dominance: twin": Case(f"SELECT district, SUM(income) AS x FROM people WHERE {ABCD} GROUP BY 1"),
    "dominance: twin with harmless negative values": Case(
        f"SELECT district, SUM(income - 5000) AS x FROM people WHERE {ABCD} GROUP BY 1"
    ),
    # many rows, few subjects
    "rows for persons: many visits": Case(
        "SELECT clinic, COUNT(*) AS n FROM visits GROUP BY clinic", "cells.minimum-count"
    ),
    "rows for persons: multiplied by a join": Case(
        f"SELECT p.person, COUNT(*) AS n FROM people p JOIN visits v ON p.person = v.person WHERE p.person = '{VICTIM}' GROUP BY 1",
        "cells.minimum-count",
    ),
    "rows for persons: lent by others": Case(
        "SELECT v.clinic, SUM(v.cost) AS x FROM visits v JOIN people q ON v.month = q.rank WHERE v.clinic = 'few' GROUP BY v.clinic",
        "cells.minimum-count",
    ),
    "rows for persons: twin": Case("SELECT clinic, COUNT(*) AS n FROM visits WHERE clinic <> 'few' GROUP BY clinic"),
    "rows for persons: twin with a join": Case(
        "SELECT p.district, COUNT(*) AS n, SUM(v.cost) AS x FROM visits v JOIN people p ON v.person = p.person GROUP BY 1"
    ),
    # all, minus all but one
    "difference: two sums": Case(
        f"SELECT SUM(income) AS a, SUM(CASE WHEN {ALL_BUT} THEN income END) AS b FROM people WHERE {ABCD}",
        "cells.differencing",
    ),
    "difference: scaled": Case(
        f"SELECT SUM(income) AS a, SUM(CASE WHEN {ALL_BUT} THEN income * 37 ELSE 0 END) AS b FROM people WHERE {ABCD}",
        "cells.differencing",
    ),
    "difference: in three parts": Case(
        "SELECT SUM(income) AS a, SUM(CASE WHEN sex = 'F' THEN income ELSE 0 END) AS b,"
        f" SUM(CASE WHEN sex = 'M' AND {ALL_BUT} THEN income ELSE 0 END) AS c FROM people WHERE {ABCD}",
        "cells.differencing",
    ),
    "difference: in four parts and a fee": Case(
        "SELECT SUM(income) AS a, SUM(CASE WHEN sex = 'F' THEN income + 3 * fee ELSE 0 END) AS b, SUM(fee) AS f,"
        f" SUM(CASE WHEN sex = 'M' AND {ALL_BUT} THEN income - fee ELSE 0 END) AS c,"
        f" SUM(CASE WHEN sex = 'F' THEN fee ELSE 0 END) AS g FROM people WHERE {ABCD}",
        "cells.differencing",
    ),
    "difference: who is ill": Case(
        "SELECT SUM(CASE WHEN sex = 'F' THEN 1 ELSE 0 END) AS a,"
        f" SUM(CASE WHEN sex = 'F' OR (person = '{VICTIM}' AND NOT ill) OR (person = '{VICTIM}' AND ill) THEN 1 ELSE 0 END) AS b"
        f" FROM people WHERE {ABCD} AND (sex = 'F' OR sex = 'M')",
        "cells.differencing",
    ),
    "difference: count of values": Case(
        f"SELECT COUNT(*) AS a, COUNT(CASE WHEN {ALL_BUT} THEN 1 END) AS b FROM people WHERE {ABCD}",
        "cells.differencing",
    ),
    "difference: through a step": Case(
        "SELECT SUM(p.income) AS a, SUM(o.income) AS b FROM people p LEFT JOIN others o ON p.person = o.person",
        "cells.differencing",
        {"others": f"SELECT person, income FROM people WHERE {ALL_BUT}"},
    ),
    "difference: twin": Case(
        "SELECT SUM(income) AS a, SUM(CASE WHEN sex = 'F' THEN income ELSE 0 END) AS b, COUNT(*) AS n, COUNT(DISTINCT person) AS p"
        f" FROM people WHERE {ABCD}"
    ),
    # two cells about nearly the same people
    "overlap: all, and all but one street": Case(
        f"SELECT r.label, SUM(p.income) AS x FROM people p JOIN regions r ON p.rank = r.street WHERE {ABCD} GROUP BY r.label",
        "cells.overlap",
    ),
    "overlap: disguised by moving a street between two": Case(
        f"SELECT r.label, COUNT(*) AS x FROM people p JOIN regions r ON p.rank = r.street WHERE {ABCD} AND r.label <> 'all' GROUP BY 1",
        "cells.overlap",
    ),
    "overlap: twin, groups that share nobody": Case(
        "SELECT g.label, SUM(p.income) AS x FROM people p JOIN groups g ON p.district = g.district GROUP BY 1"
    ),
    # rows in disguise
    "disguise: a cell a person": Case(
        "SELECT person, SUM(income) AS x FROM people GROUP BY person", "cells.minimum-count"
    ),
    "disguise: another name for a person": Case(
        "SELECT upper(person) AS k, AVG(cost) AS x FROM visits GROUP BY k", "cells.minimum-count"
    ),
    "disguise: thin cells that share people": Case(
        "SELECT visit % 120 AS k, month, AVG(cost) AS x FROM visits WHERE month < 3 GROUP BY 1, 2",
        "cells.minimum-count",
    ),
    "disguise: many cells of enough people": Case(
        "SELECT visit % 210 AS k, AVG(cost) AS x FROM visits GROUP BY 1", "cells.too-many"
    ),
    "disguise: twin": Case("SELECT month, AVG(cost) AS x FROM visits GROUP BY month"),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items() if case.rule])
def test_leak_is_refused(connection: duckdb.DuckDBPyConnection, case: Case) -> None:
    table = judged(connection, case)
    assert case.rule in blocking(table)
    assert table.table is None


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items() if not case.rule])
def test_innocent_twin_passes(connection: duckdb.DuckDBPyConnection, case: Case) -> None:
    table = judged(connection, case)
    assert blocking(table) == set()
    assert table.table is not None
    assert table.verdict in {Verdict.REVIEW, Verdict.NO_ATTACK_SUCCEEDED}


def test_every_rule_that_can_block_has_a_leak() -> None:
    judged_rules = {case.rule for case in CASES.values() if case.rule}
    assert judged_rules == {
        "cells.endpoints",
        "cells.implied-count",
        "cells.differencing",
        "cells.class-disclosure",
        "cells.whole-group",
        "cells.dominance-nk",
        "cells.dominance-p",
        "cells.minimum-count",
        "cells.overlap",
        "cells.too-many",
    }


@pytest.mark.parametrize(
    "step",
    [
        "SELECT concat(person, visit) AS person, clinic, cost FROM visits",
        "SELECT visit AS person, clinic, cost FROM visits",
        "SELECT clinic, cost FROM visits",
        "SELECT p.person, v.clinic, v.cost FROM visits v JOIN people p ON v.month = p.rank",
    ],
    ids=["made of rows", "renamed", "dropped", "lent by others"],
)
def test_rows_cannot_pass_for_persons(connection: duckdb.DuckDBPyConnection, step: str) -> None:
    case = Case("SELECT clinic, SUM(cost) AS x FROM s GROUP BY clinic", steps={"s": step})
    with pytest.raises(DefinitionError) as refusal:
        judged(connection, case)
    assert refusal.value.code == "query.subject-lost"


def test_rows_without_a_subject_are_refused(connection: duckdb.DuckDBPyConnection) -> None:
    step = "SELECT q.person, g.district FROM groups g LEFT JOIN people q ON g.district = q.district"
    lost = Case("SELECT w.district, COUNT(*) AS n FROM w GROUP BY 1", steps={"w": step + " AND g.label = q.person"})
    assert "cells.rows-without-subject" in blocking(judged(connection, lost))
    kept = Case("SELECT w.district, COUNT(*) AS n FROM w GROUP BY 1", steps={"w": step})
    assert blocking(judged(connection, kept)) == set()


def _shown(table: JudgedTable) -> list[tuple[str, str, object]]:
    """What a tenant sees of a refusal."""
    return [(finding.check, finding.verdict, dict(finding.params)) for finding in table.findings]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("person = 'p007' AND ill", "person = 'p007' AND NOT ill"),
        ("person = 'p007' AND income > 5000", "person = 'p007' AND income <= 5000"),
        ("district = 'A' AND person <= 'p020'", "district = 'A' AND person <= 'p004'"),
    ],
    ids=["who is ill", "who earns more", "how many"],
)
@pytest.mark.parametrize("keys", ["", ", district"])
def test_a_refusal_does_not_answer_the_question(
    connection: duckdb.DuckDBPyConnection, one: str, other: str, keys: str
) -> None:
    """Law 8: a table of one person and a table of nobody are refused in the same words."""
    tables = [
        judged(
            connection,
            Case(f"SELECT sex{keys}, COUNT(*) AS n, SUM(income) AS x FROM people WHERE {where} GROUP BY sex{keys}"),
        )
        for where in (one, other)
    ]
    assert _shown(tables[0]) == _shown(tables[1])
    assert "cells.minimum-count" in blocking(tables[0])


def test_what_is_shown_names_no_key(connection: duckdb.DuckDBPyConnection) -> None:
    table = judged(connection, Case("SELECT person, SUM(income) AS x FROM people GROUP BY person"))
    refusal = next(finding for finding in table.findings if finding.check == "cells.minimum-count")
    assert refusal.params == {"failing": 570, "minimum": 10}
    assert '[["e00"], "1 subjects"]' in str(refusal.evidence["cells"])


def test_a_table_without_subjects_goes_to_people(connection: duckdb.DuckDBPyConnection) -> None:
    table = judged(connection, Case("SELECT clinic, SUM(beds) AS beds FROM clinics GROUP BY clinic"))
    assert table.verdict is Verdict.REVIEW
    assert table.table is not None
    assert table.table.rows == (("K", 10), ("L", 20))


PRECISION = {
    "low digits": ("SUM(income * 1000000 + CASE WHEN person = 'p007' THEN {secret} ELSE 0 END)", 123456, 654321),
    "fraction": ("SUM(income + CASE WHEN person = 'p007' THEN {secret} / 1000000 ELSE 0 END)", 123456, 654321),
    "mean": ("AVG(income + CASE WHEN person = 'p007' THEN {secret} / 1000 ELSE 0 END)", 123, 987),
    "jitter": ("SUM(income * 1000 + length(person) + CASE WHEN person = 'p007' THEN {secret} ELSE 0 END)", 111, 999),
}


@pytest.mark.parametrize(("expression", "one", "other"), PRECISION.values(), ids=PRECISION.keys())
def test_the_low_digits_carry_nothing(
    connection: duckdb.DuckDBPyConnection, expression: str, one: int, other: int
) -> None:
    """What one person adds in digits below the uncertainty of the sample does not leave."""
    tables = [
        judged(connection, Case(f"SELECT {expression.format(secret=secret)} AS x FROM people WHERE {ABCD}"))
        for secret in (one, other)
    ]
    assert tables[0].table is not None
    assert tables[0].table == tables[1].table


def test_a_plain_sum_stays_exact(connection: duckdb.DuckDBPyConnection) -> None:
    table = judged(connection, Case(f"SELECT SUM(income) AS x, COUNT(*) AS n FROM people WHERE {ABCD}"))
    exact = connection.execute(f"SELECT sum(income), count(*) FROM people WHERE {ABCD}").fetchone()
    assert table.table is not None
    assert table.table.rows == (exact,)
