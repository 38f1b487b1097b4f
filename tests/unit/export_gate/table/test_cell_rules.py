"""The rules on cells, one by one, at their thresholds, as a function of the facts."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from export_gate.finding import Finding, Verdict
from export_gate.table import Cell, CellPolicy, Column, Measure, Recomputed, check_cells
from jobs.query import Function


POLICY = CellPolicy()
SUM = Column("x", Function.SUM, True, False, True, False, True, False)
MEASURE = Measure(
    contributors=40, values=60, top1=Decimal(5), top2=Decimal(4), total=Decimal(100), distinct=30, rarest=1
)


def cell(*key: str, subjects: int = 40, difference: int = 40, **facts: object) -> Cell:
    measure = replace(MEASURE, **facts)  # type: ignore[arg-type]
    return Cell(tuple(key), 60, subjects, (Decimal(1),), (measure,), difference)


def table(*cells: Cell, column: Column = SUM, keys: tuple[str, ...] = ("k",), **facts: object) -> Recomputed:
    whole = Recomputed("person", keys, (column,), cells, 1000, 0, (), 100, True, True)
    return replace(whole, **facts)  # type: ignore[arg-type]


def found(recomputed: Recomputed, check: str, policy: CellPolicy = POLICY) -> Finding:
    return next(finding for finding in check_cells(recomputed, policy) if finding.check == check)


def passes(recomputed: Recomputed, check: str, policy: CellPolicy = POLICY) -> bool:
    return found(recomputed, check, policy).verdict is Verdict.NO_ATTACK_SUCCEEDED


TWO = (cell("a"), cell("b"))


def test_an_innocent_table_passes_every_rule() -> None:
    findings = check_cells(table(*TWO), POLICY)
    assert len({finding.check for finding in findings}) == len(findings) == 13
    assert {finding.verdict for finding in findings} == {Verdict.NO_ATTACK_SUCCEEDED}


@pytest.mark.parametrize(("subjects", "good"), [(9, False), (10, True)])
def test_minimum_count(subjects: int, good: bool) -> None:
    assert passes(table(*TWO, cell("c", subjects=subjects)), "cells.minimum-count") is good


def test_minimum_count_is_not_rows() -> None:
    many = replace(cell("c", subjects=3), rows=10_000)
    assert not passes(table(*TWO, many), "cells.minimum-count")


def test_no_cell_is_too_few() -> None:
    assert found(table(), "cells.minimum-count").verdict is Verdict.BLOCK


def test_thresholds_follow_the_policy() -> None:
    three = table(*TWO, cell("c", subjects=3))
    assert passes(three, "cells.minimum-count", CellPolicy(minimum_count=3))


@pytest.mark.parametrize(
    ("top1", "top2", "good"), [("50", "40", True), ("50", "40.01", False), ("90", "0", True), ("90.01", "0", False)]
)
def test_dominance_of_two(top1: str, top2: str, good: bool) -> None:
    assert passes(table(*TWO, cell("c", top1=Decimal(top1), top2=Decimal(top2))), "cells.dominance-nk") is good


def test_dominance_of_one() -> None:
    policy = CellPolicy(nk_n=1, nk_share=Fraction(1, 2))
    assert passes(table(*TWO, cell("c", top1=Decimal(50), top2=Decimal(50))), "cells.dominance-nk", policy)
    assert not passes(table(*TWO, cell("c", top1=Decimal(51))), "cells.dominance-nk", policy)


@pytest.mark.parametrize(("top1", "top2", "good"), [("50", "45", True), ("50", "45.01", False), ("90", "1", True)])
def test_p_percent(top1: str, top2: str, good: bool) -> None:
    assert passes(table(*TWO, cell("c", top1=Decimal(top1), top2=Decimal(top2))), "cells.dominance-p") is good


@pytest.mark.parametrize("function", [Function.MIN, Function.MAX, Function.MEDIAN])
def test_endpoints(function: Function) -> None:
    finding = found(table(*TWO, column=replace(SUM, function=function)), "cells.endpoints")
    assert (finding.verdict, finding.params) == (Verdict.BLOCK, {"columns": "x"})


@pytest.mark.parametrize(
    ("column", "good"),
    [
        (SUM, False),
        (replace(SUM, function=Function.AVG), False),
        (replace(SUM, function=Function.COUNT_DISTINCT), False),
        (replace(SUM, constant=True), True),
        (replace(SUM, function=Function.COUNT, varies=False), True),
        (replace(SUM, function=Function.COUNT, varies=True), False),
        (replace(SUM, function=Function.COUNT, varies=False, plain=False), False),
    ],
)
def test_class_disclosure(column: Column, good: bool) -> None:
    assert passes(table(*TWO, cell("c", distinct=1), column=column), "cells.class-disclosure") is good


@pytest.mark.parametrize(
    ("facts", "good"),
    [
        ({"distinct": 2, "rarest": 9}, False),
        ({"distinct": 2, "rarest": 10}, True),
        ({"distinct": 3, "rarest": 1}, True),
        ({"contributors": 9}, False),
        ({"contributors": 0, "distinct": 30}, True),
    ],
)
def test_implied_count(facts: dict[str, object], good: bool) -> None:
    third = replace(cell("c"), measures=(replace(MEASURE, **facts),))  # type: ignore[arg-type]
    assert passes(table(*TWO, third), "cells.implied-count") is good


@pytest.mark.parametrize(("difference", "good"), [(9, False), (10, True)])
def test_differencing(difference: int, good: bool) -> None:
    assert passes(table(*TWO, cell("c", difference=difference)), "cells.differencing") is good


def test_what_was_not_searched_cannot_be_checked() -> None:
    assert found(table(*TWO, difference_complete=False), "cells.differencing").verdict is Verdict.CANNOT_CHECK
    assert found(table(*TWO, near_complete=False), "cells.overlap").verdict is Verdict.CANNOT_CHECK


@pytest.mark.parametrize(("apart", "good"), [(9, False), (10, True)])
def test_overlap(apart: int, good: bool) -> None:
    assert passes(table(*TWO, near=((0, 1, apart),)), "cells.overlap") is good


@pytest.mark.parametrize(
    ("subjects", "verdict"), [(4, Verdict.BLOCK), (19, Verdict.REVIEW), (20, Verdict.NO_ATTACK_SUCCEEDED)]
)
def test_cells_for_the_subjects(subjects: int, verdict: Verdict) -> None:
    assert found(table(*TWO, subjects=subjects), "cells.too-many").verdict is verdict


def grid(*keys: str) -> Recomputed:
    return table(*(cell(*key) for key in keys), keys=("group", "category"))


@pytest.mark.parametrize(
    ("keys", "whole", "empty"),
    [
        (("Ax", "Ay", "Bx", "By"), Verdict.NO_ATTACK_SUCCEEDED, Verdict.NO_ATTACK_SUCCEEDED),
        (("Ax", "Ay", "Bx"), Verdict.BLOCK, Verdict.REVIEW),
        (("Ax", "By"), Verdict.REVIEW, Verdict.REVIEW),
        (("Ax", "Ay", "Az", "Bx", "By"), Verdict.BLOCK, Verdict.REVIEW),
        (("Ax", "Ay", "By", "Bz", "Cx", "Cz"), Verdict.NO_ATTACK_SUCCEEDED, Verdict.REVIEW),
        (("Ax",), Verdict.REVIEW, Verdict.NO_ATTACK_SUCCEEDED),
    ],
)
def test_categories_that_hold_a_whole_group(keys: tuple[str, ...], whole: Verdict, empty: Verdict) -> None:
    assert found(grid(*keys), "cells.whole-group").verdict is whole
    assert found(grid(*keys), "cells.empty").verdict is empty


def test_rows_without_subject() -> None:
    assert found(table(*TWO, rows_without_subject=1), "cells.rows-without-subject").verdict is Verdict.BLOCK


def test_distinct_values_of_an_expression_are_read_by_people() -> None:
    column = replace(SUM, function=Function.COUNT_DISTINCT, plain=False)
    assert found(table(*TWO, column=column), "cells.shaped-distinct").verdict is Verdict.REVIEW


def test_small_cells_are_judged_by_no_other_rule() -> None:
    small = cell("c", subjects=1, difference=1, top1=Decimal(100), distinct=1, contributors=1)
    blocked = {f.check for f in check_cells(table(*TWO, small), POLICY) if not f.verdict.lets_out}
    assert blocked == {"cells.minimum-count"}


@pytest.mark.parametrize(("small", "shown"), [(0, 5), (1, 5), (5, 5), (6, 10)])
def test_the_number_of_failing_cells_is_coarse(small: int, shown: int) -> None:
    cells = [cell(str(number), subjects=1) for number in range(small)]
    assert found(table(*cells), "cells.minimum-count").params["failing"] == shown


def test_findings_carry_version_and_thresholds() -> None:
    finding = check_cells(table(*TWO), POLICY)[0]
    assert finding.version == 1
    assert finding.parameters == {"minimum_count": 10, "nk_n": 2, "nk_share": "9/10", "p_percent": "1/10"}


@pytest.mark.parametrize(
    "bad",
    [{"minimum_count": 2}, {"minimum_count": 101}, {"nk_n": 3}, {"nk_share": Fraction(1)}, {"p_percent": Fraction(0)}],
)
def test_policies_that_protect_nothing(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        CellPolicy(**bad)  # type: ignore[arg-type]
