"""Attacks on tables that a run wrote: summaries of small groups, regressions as lookups, channels in digits and order (B9–B11).

Each row is a leak, the same leak in a disguise that the check was not written for, or an innocent twin that must pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pytest

from export_gate.attacks.headers import sheet_of
from export_gate.attacks.precision import Sheet, check_precision
from export_gate.attacks.reconstruct import Union
from export_gate.attacks.regression import Design, check_design
from export_gate.attacks.summary import Summary, check_summaries, groups
from export_gate.attacks.told import Interval, Measure, Told
from export_gate.checks import CHECKS, Subject, run_checks
from export_gate.finding import Finding, Verdict, worst
from export_gate.table import CellPolicy, judge_table
from jobs.query import parse_query
from sandbox.messages import Language, text


BLOCK, REVIEW, PASS = Verdict.BLOCK, Verdict.REVIEW, Verdict.NO_ATTACK_SUCCEEDED


@dataclass(frozen=True)
class Planted:
    """A file, who should notice, and what must be said."""

    check: str
    subject: Callable[[], Subject]
    verdict: Verdict


def file(columns: list[str], *rows: list[object], subjects: int | None = 100_000) -> Callable[[], Subject]:
    return lambda: Subject("file", replace(sheet_of(columns, rows), subjects=subjects))


def design(matrix: Any) -> Callable[[], Subject]:
    names = tuple(f"b{at}" for at in range(matrix.shape[1]))
    made = Design(names, matrix, np.arange(len(matrix)))
    return lambda: Subject("file", Sheet((), ()), design=made)


def told(clinic: int | None, *sizes: int) -> Told:
    only = {} if clinic is None else {"clinic": frozenset({clinic})}
    cells = tuple((place,) for place in range(len(sizes)))
    numbers = {Measure("count", "*"): tuple(Interval(one, one) for one in sizes)}
    return Told(f"by district, clinic {clinic}", "visits", ("district",), only, cells, numbers)


def union(new: Told, *earlier: Told) -> Callable[[], Subject]:
    return lambda: Subject("table", Sheet((), ()), lambda: Union(new, earlier))


def digits(values: list[str]) -> Callable[[], Subject]:
    rows = [[f"g{number:04d}", one] for number, one in enumerate(values)]
    return file(["group", "rate"], *rows)


DRAW = np.random.default_rng(20261122)
X = DRAW.normal(size=(200, 2))
ONES = np.ones((200, 1))
PERSON = (np.arange(200) == 7).astype(float)[:, np.newaxis]
HALVES = (np.arange(200) % 2).astype(float)[:, np.newaxis]
SPELLED = ["%d.%03d" % (100 + n % 7, 10 * (n % 50) + int("1100113320"[n % 10])) for n in range(300)]  # noqa: UP031
PLAIN = [f"{value:.3f}" for value in DRAW.uniform(1, 2, 300)]

PLANTED = {
    "leak: three people": Planted(
        "attacks.summary",
        file(["group", "n", "mean", "median", "min"], ["a", 3, "1.33", 1, 1], ["b", 900, "4.1", 4, 0]),
        BLOCK,
    ),
    "disguise: without the minimum": Planted(
        "attacks.summary", file(["group", "n", "mean", "median"], ["a", 3, "1.33", 1], ["b", 900, "4.1", 4]), REVIEW
    ),
    "disguise: deviation and extremes": Planted(
        "attacks.summary",
        file(["group", "人数", "平均值", "SD", "Min", "Max"], ["a", 4, "52.50", "5.80", 45, 59]),
        BLOCK,
    ),
    "twin: a larger group": Planted(
        "attacks.summary", file(["group", "n", "mean", "median"], ["a", 11, "40.4", 40], ["b", 900, "4.1", 4]), PASS
    ),
    "leak: a dummy for one person": Planted("attacks.regression", design(np.hstack([ONES, X, PERSON])), BLOCK),
    "disguise: the dummy in a difference": Planted(
        "attacks.regression", design(np.hstack([ONES, X, X[:, :1] + 0.01 * PERSON])), BLOCK
    ),
    "disguise: printed, many names": Planted(
        "attacks.regression",
        file(["term", "coef", "nobs"], *[[f"p{number:03d}", number, 220] for number in range(200)]),
        BLOCK,
    ),
    "twin: a covariate of halves": Planted("attacks.regression", design(np.hstack([ONES, X, HALVES])), PASS),
    "twin: printed, few names": Planted(
        "attacks.regression", file(["term", "coef", "nobs"], ["age", 2, 2000], ["sex", 1, 2000]), PASS
    ),
    "leak: signed zeros": Planted("attacks.precision", digits(["0.5", "-0.0", "0.5"]), BLOCK),
    "disguise: padded with zeros": Planted("attacks.precision", digits(["0.5", "0.50", "0.5"]), BLOCK),
    "disguise: digits that spell": Planted("attacks.precision", digits(SPELLED), REVIEW),
    "disguise: far too many digits": Planted("attacks.precision", digits(["2904.220101944"]), REVIEW),
    "disguise: rows in a secret order": Planted(
        "attacks.precision", file(["group", "n"], ["b", 1], ["a", 2], ["c", 3]), REVIEW
    ),
    "twin: rounded, sorted": Planted("attacks.precision", digits(PLAIN), PASS),
    "leak: all, less one, less another": Planted(
        "attacks.reconstruction", union(told(2, 40, 40), told(None, 84, 84), told(1, 40, 40)), BLOCK
    ),
    "disguise: one district alone": Planted(
        "attacks.reconstruction", union(told(None, 90, 84), told(1, 45, 40), told(2, 41, 40)), BLOCK
    ),
    "twin: many are left": Planted(
        "attacks.reconstruction", union(told(2, 40, 40), told(None, 104, 104), told(1, 40, 40)), PASS
    ),
}


def said(planted: Planted) -> list[Finding]:
    return [one for one in run_checks(planted.subject()) if one.check == planted.check]


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_leak_is_found_and_its_twin_passes(name: str) -> None:
    (found,) = said(PLANTED[name])
    assert found.verdict is PLANTED[name].verdict
    assert int(found.evidence["milliseconds"]) >= 0
    for language in Language:
        assert text(found.reason, language, **found.params)


def test_every_check_has_a_leak_a_disguise_and_a_twin() -> None:
    kinds = {(planted.check, name.split(":")[0]) for name, planted in PLANTED.items()}
    assert kinds == {(check.name, kind) for check in CHECKS for kind in ("leak", "disguise", "twin")}
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_a_check_that_raises_could_not_check() -> None:
    def broken() -> Union:
        raise ZeroDivisionError

    (found,) = run_checks(Subject("table", Sheet((), ()), broken))
    assert found.verdict is Verdict.CANNOT_CHECK
    assert found.evidence["error"] == "ZeroDivisionError"
    (found,) = run_checks(Subject("table", Sheet((), ())))
    assert not found.verdict.lets_out


def test_cheap_checks_all_report_and_dear_ones_wait() -> None:
    leak = file(["group", "n", "mean", "median", "coef"], ["a", 3, "1.33", "1", "-0.0"])()
    names = [one.check for one in run_checks(leak)]
    assert names == ["attacks.precision", "attacks.regression"]
    blocked = Finding("cells.minimum-count", 1, BLOCK, "cells.minimum-count")
    assert run_checks(PLANTED["leak: all, less one, less another"].subject(), [blocked]) == ()


def test_three_numbers_tell_three_people() -> None:
    assert groups(Summary("a", 3, mean=Decimal("1.33"), median=Decimal(1), minimum=Decimal(1))) == ((1, 1, 2),)
    assert groups(Summary("a", 40, mean=Decimal("1.33"))) is None


def test_a_few_groups_that_fit_are_for_people_to_judge() -> None:
    whole = Summary("a", 3, mean=Decimal("5.00"), minimum=Decimal(1), maximum=Decimal(10))
    assert groups(whole) == ((1, 4, 10),)
    some = Summary("a", 3, mean=Decimal("1.33"), median=Decimal(1))
    assert groups(some, 4) == ((0, 1, 3), (1, 1, 2))
    (found,) = check_summaries([some])
    assert found.verdict is REVIEW


def test_two_hundred_dummies_are_two_hundred_lookups() -> None:
    people = np.repeat(np.arange(200), 2)
    dummies = np.eye(200)[people]
    (found,) = check_design(Design(tuple(map(str, range(200))), dummies, people))
    assert found.verdict is BLOCK
    assert found.evidence["fixed_by_one"] == 200


def test_a_recomputed_table_leaves_no_room_by_construction() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE visits AS SELECT 'p' || i AS person, 'g' || (7 - i % 7) AS district,"
            " 1000.0 + (i * 7919 % 1000) / 7.0 AS cost, -0.0 AS nothing FROM range(1400) t(i) ORDER BY hash(i)"
        )
        sql = "SELECT district, COUNT(*) AS n, AVG(cost) AS mean FROM visits GROUP BY district"
        query = parse_query(sql, {"visits": ["person", "district", "cost", "nothing"]}, {})
        judged = judge_table(connection, query, {"visits": "person"}, CellPolicy())
    assert judged.table is not None
    assert worst(judged.findings).lets_out
    sheet = replace(sheet_of(judged.table.columns, judged.table.rows), subjects=200)
    (found,) = check_precision(sheet)
    assert found.verdict is PASS, found.evidence
