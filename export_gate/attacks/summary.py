"""Summaries of small groups: how many groups of whole numbers have this n, mean, standard deviation, minimum, median, maximum (B9)?

Means of whole numbers are fractions over n, so that few digits leave few sums (GRIM: Brown and Heathers, SPPS 8/4, 2017); the other
numbers leave few groups with that sum (SPRITE: Heathers and others, PeerJ Preprints 26968, 2018). Exactly one group: it is told.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from export_gate.finding import Finding, Verdict
from lineage.errors import Param


CHECK, VERSION = "attacks.summary", 1
MOST_IN_GROUP = 12
"""Larger groups are not enumerated: their sums leave more groups than can be counted."""
MOST_STEPS = 50_000
FEW = 4
"""With fewer groups that fit than this, what somebody knows beside is likely to leave one."""
_WIDEST = 400
_MOST_EVIDENCE = 20


@dataclass(frozen=True)
class Summary:
    """What a table says of one group; None where it says nothing.

    Attributes:
        label: which group.
        count: its size, at least 1.
        mean, deviation: as shown, the sample standard deviation (n - 1).
        minimum, median, maximum: as shown.
    """

    label: str
    count: int
    mean: Decimal | None = None
    deviation: Decimal | None = None
    minimum: Decimal | None = None
    median: Decimal | None = None
    maximum: Decimal | None = None

    def __post_init__(self) -> None:
        """Refuse a group without members."""
        if self.count < 1:
            raise ValueError("a summary is of a group")


@dataclass
class _Budget:
    left: int = MOST_STEPS


def groups(summary: Summary, most: int = 2) -> tuple[tuple[int, ...], ...] | None:
    """Give groups of whole numbers that fit, at most ``most``; None when there are too many to tell.

    Without a maximum values are taken to be at least 0, or at least the minimum: the sum then bounds them.
    """
    if summary.count > MOST_IN_GROUP:
        return None
    low = math.ceil(summary.minimum) if summary.minimum is not None else 0
    sums = _sums(summary)
    high = math.floor(summary.maximum) if summary.maximum is not None else None
    if high is None and sums is not None:
        high = sums[-1] - low * (summary.count - 1) if sums else low
    if high is None or high - low > _WIDEST:
        return None
    found: list[tuple[int, ...]] = []
    budget = _Budget()
    _extend(summary, sums, (), low, high, found, most, budget)
    return None if budget.left <= 0 and len(found) < most else tuple(found)


def _half(shown: Decimal) -> Decimal:
    return Decimal(5).scaleb(min(int(shown.as_tuple().exponent), 0) - 1)


def _sums(summary: Summary) -> range | None:
    """Give the sums that round to the mean."""
    if summary.mean is None:
        return None
    half = _half(summary.mean)
    low, high = (summary.mean - half) * summary.count, (summary.mean + half) * summary.count
    return range(math.ceil(low), math.floor(high) + 1)


def _extend(
    summary: Summary,
    sums: range | None,
    taken: tuple[int, ...],
    low: int,
    high: int,
    found: list[tuple[int, ...]],
    most: int,
    budget: _Budget,
) -> None:
    """Add values in ascending order, and leave a branch as soon as no sum can be met."""
    budget.left -= 1
    if len(found) >= most or budget.left <= 0:
        return
    left = summary.count - len(taken)
    if left == 0:
        if _fits(summary, sums, taken):
            found.append(taken)
        return
    so_far = sum(taken)
    for value in range(low, high + 1):
        if sums is not None and (not sums or so_far + value * left > sums[-1]):
            return
        if sums is not None and so_far + value + high * (left - 1) < sums[0]:
            continue
        if not taken and summary.minimum is not None and value != summary.minimum:
            return
        _extend(summary, sums, (*taken, value), value, high, found, most, budget)


def _fits(summary: Summary, sums: range | None, taken: Sequence[int]) -> bool:
    import statistics

    total = sums is None or sum(taken) in sums
    ends = summary.maximum is None or taken[-1] == summary.maximum
    middle = summary.median is None or abs(Decimal(str(statistics.median(taken))) - summary.median) <= _half(
        summary.median
    )
    if not (total and ends and middle):
        return False
    if summary.deviation is None or len(taken) < 2:
        return True
    return abs(Decimal(repr(statistics.stdev(taken))) - summary.deviation) <= _half(summary.deviation)


def check_summaries(summaries: Sequence[Summary]) -> tuple[Finding, ...]:
    """Judge what a table says of groups; one finding: one set of values that fits blocks, a few are for people to judge."""
    told: list[list[Param]] = []
    few = 0
    looked = 0
    for one in summaries:
        if one.mean is None and one.median is None:
            continue
        looked += 1
        found = groups(one, FEW)
        few += found is not None and 1 < len(found) < FEW
        if found is not None and len(found) == 1:
            told.append([one.label, " ".join(map(str, found[0]))])
    parameters: dict[str, Param] = {"most_in_group": MOST_IN_GROUP, "most_steps": MOST_STEPS, "few": FEW}
    evidence: dict[str, Param] = {
        "groups": looked,
        "nearly_told": few,
        "told": json.dumps(told[:_MOST_EVIDENCE], ensure_ascii=False),
    }
    if told:
        return (Finding(CHECK, VERSION, Verdict.BLOCK, CHECK, {}, parameters, evidence),)
    if few:
        return (Finding(CHECK, VERSION, Verdict.REVIEW, "attacks.summary-few", {}, parameters, evidence),)
    passed = Verdict.NO_ATTACK_SUCCEEDED
    return (Finding(CHECK, VERSION, passed, "attacks.passed", {"check": CHECK}, parameters, evidence),)
