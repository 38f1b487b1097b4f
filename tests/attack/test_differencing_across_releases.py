"""Attack: two releases that each look safe and tell of one person together. Leak, disguise, innocent twin (law 4; B6, B26).

Two tenants hold the same people under other tokens; versions of the tables differ by few rows. Each row below is a release, what is
asked afterwards, and whether the gate must remember the first. The population is drawn from a fixed seed, so the truth is known.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb
import numpy as np
import pytest

from export_gate.finding import worst
from export_gate.records.compare import Comparison, Earlier, compare
from export_gate.records.recorded import Blobs, Contents, Recorded, heads_from, to_blobs
from export_gate.records.remembering import Asked, recorded
from export_gate.records.vectors import to_wire
from export_gate.table import CellPolicy, judge_table
from jobs.query import parse_query
from sandbox.columns import SubjectKind


MINIMUM = CellPolicy().minimum_count
VICTIM = 7


@dataclass(frozen=True)
class Person:
    number: int
    district: str
    street: int
    sex: str
    age: int
    income: int | None
    visits: int


Rows = tuple[Person, ...]


def _people() -> Rows:
    draw = random.Random(20261122)
    return tuple(
        Person(
            number=n,
            district="ABCD"[n % 4],
            street=(n // 4) % 20,
            sex=draw.choice("FM"),
            age=draw.randrange(18, 90),
            income=draw.randrange(2000, 9000),
            visits=draw.randrange(1, 6),
        )
        for n in range(800)
    )


PEOPLE = _people()


def change(numbers: Sequence[int], **values: object) -> Callable[[Rows], Rows]:
    """Change some people's values, as a new version of the table does."""
    return lambda rows: tuple(replace(one, **values) if one.number in numbers else one for one in rows)  # type: ignore[arg-type]


def without(*numbers: int) -> Callable[[Rows], Rows]:
    return lambda rows: tuple(one for one in rows if one.number not in numbers)


def everybody_richer(rows: Rows) -> Rows:
    return tuple(replace(one, income=one.income + 100 + one.number % 50) for one in rows if one.income is not None)


def same(rows: Rows) -> Rows:
    return rows


@dataclass(frozen=True)
class Release:
    """A table as somebody asks for it: the tenant, the version of the people, the query."""

    sql: str
    tenant: str = "a"
    version: Callable[[Rows], Rows] = same


COLUMNS = ["person", "district", "street", "sex", "age", "income", "visits"]


def made(release: Release) -> Recorded:
    """What the gate makes of a release; every one of them passes the cell rules alone."""
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE people (person TEXT, district TEXT, street INTEGER, sex TEXT, age INTEGER, income BIGINT, visits INTEGER)"
        )
        rows = [
            (f"{release.tenant}{one.number}", one.district, one.street, one.sex, one.age, one.income, one.visits)
            for one in release.version(PEOPLE)
        ]
        connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute('CREATE TABLE "people numbers" (token TEXT, number UINTEGER)')
        connection.executemany(
            'INSERT INTO "people numbers" VALUES (?, ?)', [(f"{release.tenant}{n}", n) for n in range(1000)]
        )
        query = parse_query(release.sql, {"people": COLUMNS}, {})
        judged = judge_table(connection, query, {"people": "person"}, CellPolicy(), {"people": "people numbers"})
    assert worst(judged.findings).lets_out, [one.check for one in judged.findings if not one.verdict.lets_out]
    asked = Asked(query, {"people": "person"}, {"people": SubjectKind.PERSON}, {"people": "police.people"}, "T")
    parts = [
        {"vectors": to_wire(vectors), "counts": [one.counts for one in facts.columns]}
        for vectors, facts in zip(judged.records, judged.recomputed, strict=True)
    ]
    (record,) = recorded(asked, parts)
    return record


def remembered(*records: Recorded) -> Earlier:
    """What the ledger holds after these releases."""
    blobs: list[Blobs] = [to_blobs(one) for one in records]
    heads = [heads_from(one.head) for one in blobs]
    sizes = np.array([len(one) for one in heads])

    def opened(place: int) -> Contents:
        return Contents(heads[place], blobs[place].sets, lambda: blobs[place].totals)

    return Earlier(
        np.concatenate([heads_from(b""), *heads]),
        np.repeat(np.arange(len(heads)), sizes),
        np.cumsum(sizes) - sizes,
        opened,
    )


def asked_after(first: Release, second: Release) -> Comparison:
    return compare(made(second), remembered(made(first)), MINIMUM)


BY_DISTRICT = "SELECT district, COUNT(*) AS n, SUM(income) AS income FROM people GROUP BY district"
ALL = "SELECT COUNT(*) AS n FROM people"
ADULTS = "SELECT COUNT(*) AS n, AVG(income) AS income FROM people WHERE age >= 18"
ODD = f"NOT (district = '{PEOPLE[VICTIM].district}' AND street = {PEOPLE[VICTIM].street} AND sex = '{PEOPLE[VICTIM].sex}')"
MOVED_STREET = [one.number for one in PEOPLE if one.district == "A" and one.street == 3][:9]
MOVED_QUARTER = [one.number for one in PEOPLE if one.district == "A" and one.street in {3, 4, 5}]

LEAKS: Mapping[str, tuple[Release, Release]] = {
    # the same table on version v and v + 1
    "version: one new person": (Release(BY_DISTRICT, version=without(VICTIM)), Release(BY_DISTRICT)),
    "version: one person gone, disguised by other columns": (
        Release(BY_DISTRICT),
        Release("SELECT district, COUNT(DISTINCT person) AS n FROM people GROUP BY district", version=without(VICTIM)),
    ),
    "version: one changed value": (
        Release(BY_DISTRICT),
        Release(BY_DISTRICT, version=change([VICTIM], income=1_234)),
    ),
    "version: one changed value, disguised as another unit": (
        Release(BY_DISTRICT),
        Release(
            "SELECT district, SUM(income * 7) AS income FROM people GROUP BY district",
            version=change([VICTIM], income=1_234),
        ),
    ),
    "version: one changed value, disguised as a sum of two columns": (
        Release("SELECT district, SUM(income) AS x, SUM(visits) AS y FROM people GROUP BY district"),
        Release(
            "SELECT district, SUM(income + visits) AS x FROM people GROUP BY district",
            version=change([VICTIM], income=1_234),
        ),
    ),
    "version: one changed value, disguised as a shifted unit": (
        Release("SELECT district, SUM(income) AS x FROM people GROUP BY district"),
        Release(
            "SELECT district, SUM(income * 2 + 5) AS x FROM people GROUP BY district",
            version=change([VICTIM], income=9),
        ),
    ),
    "version: one person moved": (Release(BY_DISTRICT), Release(BY_DISTRICT, version=change([VICTIM], district="A"))),
    # the boundary of a district moved by one street
    "boundary: one street": (Release(BY_DISTRICT), Release(BY_DISTRICT, version=change(MOVED_STREET, district="B"))),
    "boundary: disguised as another district's table": (
        Release("SELECT COUNT(*) AS n, AVG(income) AS x FROM people WHERE district = 'A'"),
        Release(
            "SELECT COUNT(*) AS n, AVG(income) AS x FROM people WHERE district = 'A'",
            "b",
            change(MOVED_STREET, district="B"),
        ),
    ),
    # "adults" against "adults except X", from another tenant
    "except: another tenant leaves somebody out": (Release(ADULTS), Release(ADULTS, "b", without(VICTIM))),
    "except: disguised as a harmless condition": (Release(ADULTS), Release(f"{ADULTS} AND {ODD}", "b")),
    "except: disguised in the argument": (
        Release("SELECT district, SUM(income) AS x FROM people GROUP BY district"),
        Release(f"SELECT district, AVG(CASE WHEN {ODD} THEN income END) AS x FROM people GROUP BY district", "b"),
    ),
    "except: disguised as a zero in the argument": (
        Release("SELECT district, SUM(income) AS x FROM people GROUP BY district"),
        Release(
            f"SELECT district, SUM(CASE WHEN {ODD} THEN income ELSE 0 END) AS x FROM people GROUP BY district", "b"
        ),
    ),
    # means over those who have a value
    "null: a mean whose contributors lose one": (
        Release("SELECT district, AVG(income) AS x FROM people GROUP BY district"),
        Release(
            "SELECT district, AVG(income) AS x FROM people GROUP BY district", version=change([VICTIM], income=None)
        ),
    ),
    "null: disguised by finer groups": (
        Release("SELECT district, SUM(income) AS x FROM people GROUP BY district"),
        Release(
            "SELECT sex, district, SUM(income) AS x FROM people GROUP BY sex, district",
            "b",
            change([VICTIM], income=None),
        ),
    ),
    # leaving small groups out, as HAVING would
    "having: a group left out, the total elsewhere": (
        Release(ALL),
        Release(f"SELECT sex, COUNT(*) AS n FROM people WHERE {ODD} GROUP BY sex", "b"),
    ),
    "having: disguised by finer groups": (
        Release("SELECT sex, COUNT(*) AS n FROM people GROUP BY sex"),
        Release(f"SELECT district, sex, COUNT(*) AS n FROM people WHERE {ODD} GROUP BY district, sex", "b"),
    ),
    # cells of one table are a cell of the other, put together; neither total is near
    "union: two districts are one half": (
        Release(
            "SELECT CASE WHEN district IN ('C', 'D') THEN 'cd' ELSE 'ab' END AS half, COUNT(*) AS n FROM people"
            " WHERE district <> 'A' GROUP BY CASE WHEN district IN ('C', 'D') THEN 'cd' ELSE 'ab' END"
        ),
        Release(f"SELECT district, COUNT(*) AS n FROM people WHERE district <> 'B' AND {ODD} GROUP BY district", "b"),
    ),
    "union: disguised as other groups of ages": (
        Release(
            "SELECT CASE WHEN age < 40 THEN 0 WHEN age < 60 THEN 1 ELSE 2 END AS a, COUNT(*) AS n FROM people"
            " GROUP BY CASE WHEN age < 40 THEN 0 WHEN age < 60 THEN 1 ELSE 2 END",
            version=change([VICTIM], age=30),
        ),
        Release(
            "SELECT CASE WHEN age < 30 THEN 0 WHEN age < 40 THEN 1 ELSE 2 END AS a, AVG(visits) AS v, COUNT(*) AS n FROM people"
            " WHERE age < 50 GROUP BY CASE WHEN age < 30 THEN 0 WHEN age < 40 THEN 1 ELSE 2 END",
            "b",
            change([VICTIM], age=70),
        ),
    ),
    "complement: all but the women of a district is few": (
        Release("SELECT COUNT(*) AS n FROM people WHERE district = 'A'"),
        Release("SELECT COUNT(*) AS n FROM people WHERE district = 'A' AND age >= 19", "b"),
    ),
    # a single event of somebody who has others
    "event: one visit left out": (
        Release("SELECT district, SUM(visits) AS v FROM people GROUP BY district"),
        Release("SELECT district, SUM(visits) AS v FROM people GROUP BY district", "b", change([VICTIM], visits=9)),
    ),
}

TWINS: Mapping[str, tuple[Release, Release]] = {
    "version: the same table again": (Release(BY_DISTRICT), Release(BY_DISTRICT)),
    "version: the same table for another tenant": (Release(BY_DISTRICT), Release(BY_DISTRICT, "b")),
    "version: everybody's value changed": (Release(BY_DISTRICT), Release(BY_DISTRICT, version=everybody_richer)),
    "version: enough new people in each district": (
        Release(BY_DISTRICT, version=without(*range(80))),
        Release(BY_DISTRICT),
    ),
    "boundary: a whole quarter": (
        Release(BY_DISTRICT),
        Release(BY_DISTRICT, version=change(MOVED_QUARTER, district="B")),
    ),
    "except: many left out": (
        Release(ADULTS),
        Release("SELECT COUNT(*) AS n, AVG(income) AS x FROM people WHERE age >= 30", "b"),
    ),
    "null: the mean beside a count of everybody": (
        Release("SELECT district, COUNT(*) AS n FROM people GROUP BY district"),
        Release("SELECT district, AVG(income) AS x FROM people GROUP BY district", "b", change(range(4), income=None)),
    ),
    "having: finer groups of the same people": (
        Release("SELECT sex, COUNT(*) AS n FROM people GROUP BY sex"),
        Release("SELECT district, sex, COUNT(*) AS n FROM people GROUP BY district, sex", "b"),
    ),
    "union: two districts are one half, of all the same people": (
        Release(
            "SELECT CASE WHEN district IN ('C', 'D') THEN 'cd' ELSE 'ab' END AS half, COUNT(*) AS n FROM people"
            " GROUP BY CASE WHEN district IN ('C', 'D') THEN 'cd' ELSE 'ab' END"
        ),
        Release("SELECT district, COUNT(*) AS n FROM people GROUP BY district", "b"),
    ),
    "nested: a part that is far smaller": (
        Release(ALL),
        Release("SELECT COUNT(*) AS n FROM people WHERE district = 'A'"),
    ),
    "disjoint: other people": (
        Release("SELECT sex, COUNT(*) AS n FROM people WHERE district = 'A' GROUP BY sex"),
        Release("SELECT sex, COUNT(*) AS n FROM people WHERE district = 'B' GROUP BY sex", "b"),
    ),
    "event: another number of the same people": (
        Release("SELECT district, SUM(income) AS x FROM people GROUP BY district"),
        Release("SELECT district, AVG(visits) AS v FROM people GROUP BY district", "b"),
    ),
}


@pytest.mark.parametrize("name", LEAKS)
def test_two_releases_together_tell_of_nobody(name: str) -> None:
    found = asked_after(*LEAKS[name])
    assert found.complete
    assert found.differences
    assert all(0 < one.apart < MINIMUM for one in found.differences)


@pytest.mark.parametrize("name", LEAKS)
def test_the_order_of_releases_does_not_matter(name: str) -> None:
    first, second = LEAKS[name]
    assert asked_after(second, first).differences


@pytest.mark.parametrize("name", TWINS)
def test_an_innocent_twin_passes(name: str) -> None:
    found = asked_after(*TWINS[name])
    assert found.complete
    assert not found.differences, found.differences
