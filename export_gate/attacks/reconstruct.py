"""Reconstruction over the union of releases: what follows from a new table together with the earlier ones of the same rows (B7, B8, law 4).

The check looks at released numbers alone, as an outsider does, and blocks on a proof: the value of a combination that nobody
released, to be had by anybody who solves the equalities. What followed before the new table came is not held against it: the same
search without it is the baseline.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from export_gate.attacks.equalities import MOST_GRID, System, build, domains, grid_size
from export_gate.attacks.suppressed import MOST_LINEAR, MOST_WHOLE, Recovered, Recovery, Rule, bounds_of, recover
from export_gate.attacks.told import OTHER, Measure, Told
from export_gate.finding import Finding, Verdict
from export_gate.table.check import CellPolicy, coarse
from lineage.errors import Param


CHECK, VERSION = "attacks.reconstruction", 1
MOST_TABLES = 40
"""Earlier tables set against a new one, the newest first."""
_MOST_EVIDENCE = 50


@dataclass(frozen=True)
class Union:
    """A new table and the earlier ones of the same rows, newest first."""

    new: Told
    earlier: tuple[Told, ...]


def check_reconstruction(union: Union, policy: CellPolicy) -> tuple[Finding, ...]:
    """Solve what the releases say together; one finding.

    Args:
        union: the tables.
        policy: the least number of subjects, and the share to which a sum may be known.
    """
    chosen, left = _chosen(union)
    if not chosen and not left:
        return (
            _finding(policy, Verdict.NO_ATTACK_SUCCEEDED, "attacks.passed", {"check": CHECK}, {"known": _known(union)}),
        )
    rule = Rule(policy.minimum_count, policy.p_percent)
    found: list[tuple[Measure, Recovered]] = []
    searched: dict[str, str] = {}
    open_ = 0
    for measure in sorted(union.new.numbers):
        result = _search(union.new, chosen, measure, rule)
        fresh, unknown = _judged(union.new, chosen, measure, result, rule)
        found += [(measure, one) for one in fresh]
        open_ += unknown + result.undecided + (not result.consistent)
        counts = f"{result.combinations} {result.cleared} {result.undecided}"
        searched[measure.argument] = f"{result.method}: {counts}" if result.consistent else "inconsistent"
    evidence: dict[str, Param] = {
        "tables": json.dumps([one.name for one in chosen], ensure_ascii=False),
        "known": _known(union),
        "left_out": left,
        "searched": json.dumps(searched, ensure_ascii=False),
        "recovered": json.dumps([_shown(measure, one) for measure, one in found[:_MOST_EVIDENCE]], ensure_ascii=False),
    }
    if found:
        params: dict[str, Param] = {"failing": coarse(len(found)), "minimum": policy.minimum_count}
        return (_finding(policy, Verdict.BLOCK, CHECK, params, evidence),)
    if left or open_:
        return (_finding(policy, Verdict.REVIEW, "attacks.reconstruction-partly", {}, evidence),)
    return (_finding(policy, Verdict.NO_ATTACK_SUCCEEDED, "attacks.passed", {"check": CHECK}, evidence),)


def _known(union: Union) -> str:
    """Name the earlier tables of the same rows; a release asks again when there are others."""
    return json.dumps([one.name for one in union.earlier if one.population == union.new.population])


def _finding(
    policy: CellPolicy, verdict: Verdict, reason: str, params: Mapping[str, Param], evidence: Mapping[str, Param]
) -> Finding:
    parameters: Mapping[str, Param] = {
        **policy.parameters,
        "most_tables": MOST_TABLES,
        "most_combinations": MOST_GRID,
        "whole_numbers_up_to": MOST_WHOLE,
        "linear_bounds_up_to": MOST_LINEAR,
        "searched": "tables of the same rows and version; released numbers alone",
        "baseline": "the same search without the new table",
    }
    return Finding(CHECK, VERSION, verdict, reason, params, parameters, evidence)


def _chosen(union: Union) -> tuple[list[Told], int]:
    """Choose earlier tables of the same rows while the common cross-classification stays small; also how many were left out."""
    chosen: list[Told] = []
    seen = {union.new.contents}
    left = 0
    for table in union.earlier:
        if table.population != union.new.population or table.contents in seen:
            continue
        seen.add(table.contents)
        fits = len(chosen) < MOST_TABLES and grid_size([union.new, *chosen, table]) <= MOST_GRID
        if fits:
            chosen.append(table)
        else:
            left += 1
    return chosen, left


def _search(new: Told, earlier: Sequence[Told], measure: Measure, rule: Rule) -> Recovery:
    return recover(build([new, *earlier], measure), rule)


def _judged(
    new: Told, earlier: Sequence[Told], measure: Measure, result: Recovery, rule: Rule
) -> tuple[list[Recovered], int]:
    """Keep what the new table adds and what is about too few; also how many sums stay of whom it is not known."""
    if not result.recovered or not earlier:
        return [], 0
    baseline = build(earlier, measure, domains([new, *earlier]))
    before = {one.of for one in recover(baseline, rule).recovered}
    fresh = [one for one in result.recovered if one.of not in before and not _told(one, [new, *earlier])]
    if measure.kind == "count" or not fresh:
        return fresh, 0
    few, unknown = [], 0
    system = _people([new, *earlier], measure)
    for one in fresh:
        low, high = (0.0, float("inf")) if system is None else _bounds(system, one)
        if high < rule.minimum:
            few.append(one)
        elif low < rule.minimum:
            unknown += 1
    return few, unknown


def _told(one: Recovered, tables: Sequence[Told]) -> bool:
    """Whether a table says it in so many words: then its own cells were judged by the rules for cells."""
    wanted = dict(one.of)
    for table in tables:
        if set(table.keys) == set(wanted) and not table.only:
            return tuple(wanted[key] for key in table.keys) in table.cells
    return False


def _people(tables: Sequence[Told], measure: Measure) -> System | None:
    """The same equalities over subjects, which only the gate knows."""
    if any(measure in table.numbers and measure not in table.behind for table in tables):
        return None
    return build([table.subjects for table in tables], Measure("count", measure.argument))


def _bounds(system: System, one: Recovered) -> tuple[float, float]:
    found = bounds_of(system, dict(one.of))
    return (0.0, float("inf")) if found is None else found


def _shown(measure: Measure, one: Recovered) -> list[Param | list[list[Param | None]] | None]:
    of: list[list[Param | None]] = [[name, "(other)" if value == OTHER else value] for name, value in one.of]
    return [measure.kind, measure.argument, of, f"{one.low:g}", f"{one.high:g}"]
