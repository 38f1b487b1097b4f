"""May this table leave? Every rule is a pure function of the recomputed facts (E2, E3).

The rules and their thresholds are those of statistical disclosure control: minimum frequency, class disclosure, (n, k) dominance,
p % (Hundepool et al., Statistical Disclosure Control, 2012). They differ from the tools in use in what they are applied to: subjects
instead of rows, magnitudes instead of signed values, the complement of a 0/1 share, and combinations of the numbers of one table.

What the tenant learns of a refusal is itself an answer about the data (law 8). So cells below the minimum are judged by no other rule,
a table without any cell looks like a table of too small cells, and numbers of failing cells are rounded up to the next multiple of 5.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from export_gate.finding import Finding, Verdict
from export_gate.table.facts import Cell, Recomputed
from jobs.query import Function
from lineage.errors import Param


VERSION = 1
COARSE = 5
MOST_EVIDENCE = 50
FEW_VALUES = 5
ENDPOINTS = frozenset({Function.MIN, Function.MAX, Function.MEDIAN})
MAGNITUDES = frozenset({Function.COUNT, Function.COUNT_DISTINCT, Function.SUM, Function.AVG})


@dataclass(frozen=True)
class CellPolicy:
    """Thresholds.

    Attributes:
        minimum_count: fewest subjects in a cell.
        nk_n: number of largest contributors of the dominance rule; facts are kept for 1 and 2.
        nk_share: largest share they may have of the total.
        p_percent: the rest of a total, without the two largest, must be at least this share of the largest.
    """

    minimum_count: int = 10
    nk_n: int = 2
    nk_share: Fraction = Fraction(9, 10)
    p_percent: Fraction = Fraction(10, 100)

    def __post_init__(self) -> None:
        """Refuse thresholds that would let everything pass, or that the facts cannot answer."""
        if not 3 <= self.minimum_count <= 100 or self.nk_n not in {1, 2}:
            raise ValueError("the minimum count is from 3 to 100, and dominance looks at 1 or 2 contributors")
        if not 0 < self.nk_share < 1 or not 0 < self.p_percent < 1:
            raise ValueError("shares lie between 0 and 1")

    @property
    def parameters(self) -> Mapping[str, Param]:
        """Give the thresholds as evidence records them."""
        return {
            "minimum_count": self.minimum_count,
            "nk_n": self.nk_n,
            "nk_share": str(self.nk_share),
            "p_percent": str(self.p_percent),
        }


@dataclass(frozen=True)
class _Table:
    """What the rules look at: the table, the policy, and the cells that have enough subjects, by index."""

    facts: Recomputed
    policy: CellPolicy
    cells: Mapping[int, Cell]


Rule = Callable[[_Table], Finding]


def check_cells(recomputed: Recomputed, policy: CellPolicy) -> tuple[Finding, ...]:
    """Judge a table.

    Args:
        recomputed: the table as the gate computed it.
        policy: the thresholds.

    Returns:
        One finding a rule. ``params`` of a finding may be shown to the tenant, its ``evidence`` names cells and is for those who
        may see raw data only.
    """
    if recomputed.subject is None:
        return (
            _finding("cells.no-subjects", Verdict.REVIEW, "cells.no-subjects", policy, {}, {}),
            _endpoints(_bare(recomputed, policy)),
        )
    enough = {i: cell for i, cell in enumerate(recomputed.cells) if cell.subjects >= policy.minimum_count}
    table = _Table(recomputed, policy, enough)
    return tuple(rule(table) for rule in RULES)


def _bare(recomputed: Recomputed, policy: CellPolicy) -> _Table:
    return _Table(recomputed, policy, {})


def _finding(
    check: str,
    verdict: Verdict,
    reason: str,
    policy: CellPolicy,
    params: Mapping[str, Param],
    evidence: Mapping[str, Param],
) -> Finding:
    return Finding(check, VERSION, verdict, reason, params, policy.parameters, evidence)


def coarse(number: int) -> int:
    """Round up to the next multiple of 5, at least 5: one cell more or less must not be seen."""
    return max(COARSE, -(-number // COARSE) * COARSE)


def _judged(table: _Table, check: str, failing: Iterable[tuple[int, str]], verdict: Verdict = Verdict.BLOCK) -> Finding:
    """Turn the failing cells, with what failed in them, into a finding."""
    found = sorted(set(failing))
    if not found:
        return _finding(check, Verdict.NO_ATTACK_SUCCEEDED, "cells.passed", table.policy, {"check": check}, {})
    cells = sorted({index for index, _ in found})
    shown = [[list(table.facts.cells[index].key), what] for index, what in found[:MOST_EVIDENCE]]
    evidence: dict[str, Param] = {"failing": len(cells), "cells": json.dumps(shown, ensure_ascii=False)}
    return _finding(check, verdict, check, table.policy, {"failing": coarse(len(cells))}, evidence)


def _no_lost_rows(table: _Table) -> Finding:
    """Rows that nobody is said to be behind cannot be judged (law 7)."""
    check, lost = "cells.rows-without-subject", table.facts.rows_without_subject
    if not lost:
        return _finding(check, Verdict.NO_ATTACK_SUCCEEDED, "cells.passed", table.policy, {"check": check}, {})
    return _finding(check, Verdict.BLOCK, check, table.policy, {"column": str(table.facts.subject)}, {"rows": lost})


def _minimum_count(table: _Table) -> Finding:
    check, least = "cells.minimum-count", table.policy.minimum_count
    small = [(i, f"{cell.subjects} subjects") for i, cell in enumerate(table.facts.cells) if cell.subjects < least]
    if table.facts.cells and not small:
        return _judged(table, check, [])
    shown = [[list(table.facts.cells[index].key), what] for index, what in small[:MOST_EVIDENCE]]
    evidence: dict[str, Param] = {"failing": len(small), "cells": json.dumps(shown, ensure_ascii=False)}
    params: dict[str, Param] = {"failing": coarse(len(small)), "minimum": least}
    return _finding(check, Verdict.BLOCK, check, table.policy, params, evidence)


def _class_disclosure(table: _Table) -> Finding:
    """Everyone in a cell has the same value, so the cell tells each one's: a mean of 1 over 0/1, a sum of 0, a shared fee."""
    failing = [
        (index, column.name)
        for index, cell in table.cells.items()
        for column, measure in zip(table.facts.columns, cell.measures, strict=True)
        if measure.distinct == 1 and not column.constant and column.function not in ENDPOINTS
        # COUNT(*) and the count of a column that is never empty say nothing beyond the number of rows.
        if not (column.function is Function.COUNT and column.plain and not column.varies)
    ]
    return _judged(table, "cells.class-disclosure", failing)


def _implied_count(table: _Table) -> Finding:
    """A share of 97 in 100 is also a count of 3: values that divide a cell in few classes need enough subjects in each."""
    least = table.policy.minimum_count
    failing: list[tuple[int, str]] = []
    for index, cell in table.cells.items():
        for column, measure in zip(table.facts.columns, cell.measures, strict=True):
            classes = 2 if column.function is not Function.COUNT_DISTINCT else FEW_VALUES
            divided = 2 <= measure.distinct <= classes and measure.rarest < least and not column.counts_subjects
            few = 0 < measure.contributors < least
            if column.function not in ENDPOINTS and (divided or few):
                failing.append((index, column.name))
    return _judged(table, "cells.implied-count", failing)


def _dominance(table: _Table) -> Finding:
    """(n, k) rule on magnitudes: a negative value hides nobody."""
    share, largest = table.policy.nk_share, table.policy.nk_n

    def fails(top1: Decimal, top2: Decimal, total: Decimal) -> bool:
        top = Fraction(top1) + (Fraction(top2) if largest == 2 else 0)
        return top > share * Fraction(total)

    return _judged(table, "cells.dominance-nk", _magnitudes(table, fails))


def _p_percent(table: _Table) -> Finding:
    """Apply the p % rule: the second largest contributor must not know the largest to within p %."""
    p = table.policy.p_percent

    def fails(top1: Decimal, top2: Decimal, total: Decimal) -> bool:
        return Fraction(total) - Fraction(top1) - Fraction(top2) < p * Fraction(top1)

    return _judged(table, "cells.dominance-p", _magnitudes(table, fails))


def _magnitudes(table: _Table, fails: Callable[[Decimal, Decimal, Decimal], bool]) -> list[tuple[int, str]]:
    return [
        (index, column.name)
        for index, cell in table.cells.items()
        for column, m in zip(table.facts.columns, cell.measures, strict=True)
        if column.function in MAGNITUDES and m.total > 0 and fails(m.top1, m.top2, m.total)
    ]


def _endpoints(table: _Table) -> Finding:
    """A minimum, a maximum or a median is some subject's own value; this is a matter of the query, not of the data."""
    check = "cells.endpoints"
    names = [column.name for column in table.facts.columns if column.function in ENDPOINTS]
    if not names:
        return _finding(check, Verdict.NO_ATTACK_SUCCEEDED, "cells.passed", table.policy, {"check": check}, {})
    return _finding(check, Verdict.BLOCK, check, table.policy, {"columns": ", ".join(names)}, {})


def _rows_in_disguise(table: _Table) -> Finding:
    """Nearly a cell for each subject is no table but the data; many cells a subject let one solve for the data (Dinur–Nissim 2003)."""
    check, cells, subjects = "cells.too-many", len(table.cells), table.facts.subjects
    evidence: dict[str, Param] = {"cells": cells, "subjects": subjects}
    if cells and 2 * cells >= subjects:
        return _finding(check, Verdict.BLOCK, check, table.policy, {}, evidence)
    if cells * table.policy.minimum_count > subjects:
        return _finding(check, Verdict.REVIEW, "cells.many", table.policy, {}, evidence)
    return _finding(check, Verdict.NO_ATTACK_SUCCEEDED, "cells.passed", table.policy, {"check": check}, {})


def _combinations(table: _Table) -> Finding:
    """Numbers of one cell, combined, must not leave fewer than the minimum of subjects: ``all`` minus ``all but one``."""
    check = "cells.differencing"
    if not table.facts.difference_complete:
        return _finding(check, Verdict.CANNOT_CHECK, "cells.too-many-columns", table.policy, {}, {})
    least = table.policy.minimum_count
    failing = [(i, f"{cell.difference} subjects") for i, cell in table.cells.items() if cell.difference < least]
    return _judged(table, check, failing)


def _overlap(table: _Table) -> Finding:
    """Two cells about nearly the same subjects: one minus the other is about the few that only one of them has."""
    check, least = "cells.overlap", table.policy.minimum_count
    near = [(a, b, n) for a, b, n in table.facts.near if n < least and a in table.cells and b in table.cells]
    if not near and not table.facts.near_complete:
        return _finding(check, Verdict.CANNOT_CHECK, "cells.too-many-pairs", table.policy, {}, {})
    return _judged(table, check, [(a, f"{n} subjects from {list(table.facts.cells[b].key)}") for a, b, n in near])


def _whole_group(table: _Table) -> Finding:
    """Where one category holds a whole group, the group tells everyone's category; where that is so for all groups, people decide."""
    failing: list[tuple[int, str]] = []
    structural = False
    for position, name in enumerate(table.facts.keys):
        groups = _groups(table, position)
        single = [indexes[0] for indexes in groups.values() if len(indexes) == 1]
        categories = {table.facts.cells[index].key[position] for index in table.cells}
        if len(table.facts.keys) == 1 or len(categories) < 2 or not single:
            continue
        if len(single) == len(groups):
            structural = True
        else:
            failing.extend((index, name) for index in single)
    if failing:
        return _judged(table, "cells.whole-group", failing)
    if structural or (table.facts.keys and len(table.cells) == 1):
        return _finding("cells.whole-group", Verdict.REVIEW, "cells.single-category", table.policy, {}, {})
    return _judged(table, "cells.whole-group", [])


def _groups(table: _Table, position: int) -> dict[tuple[object, ...], list[int]]:
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, cell in table.cells.items():
        groups.setdefault((*cell.key[:position], *cell.key[position + 1 :]), []).append(index)
    return groups


def _empty_cells(table: _Table) -> Finding:
    """A combination that is missing says that nobody has it; whether that is a secret is for people to say."""
    check = "cells.empty"
    grid = 1
    for position in range(len(table.facts.keys)):
        grid *= len({table.facts.cells[index].key[position] for index in table.cells})
    missing = grid - len(table.cells) if table.cells else 0
    if not missing:
        return _finding(check, Verdict.NO_ATTACK_SUCCEEDED, "cells.passed", table.policy, {"check": check}, {})
    return _finding(check, Verdict.REVIEW, check, table.policy, {"failing": coarse(missing)}, {"missing": missing})


def _shaped_distinct(table: _Table) -> Finding:
    """The number of distinct values of an expression can be made to count one person's value; the expression must be read."""
    check = "cells.shaped-distinct"
    names = [c.name for c in table.facts.columns if c.function is Function.COUNT_DISTINCT and not c.plain]
    if not names:
        return _finding(check, Verdict.NO_ATTACK_SUCCEEDED, "cells.passed", table.policy, {"check": check}, {})
    return _finding(check, Verdict.REVIEW, check, table.policy, {"columns": ", ".join(names)}, {})


RULES: Sequence[Rule] = (
    _no_lost_rows,
    _minimum_count,
    _class_disclosure,
    _implied_count,
    _dominance,
    _p_percent,
    _endpoints,
    _rows_in_disguise,
    _combinations,
    _overlap,
    _whole_group,
    _empty_cells,
    _shaped_distinct,
)
