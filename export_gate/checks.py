"""The list of attacks on tables and files: which check looks at which kind of product, and what it costs (E2, E3; SATRE 3.3.09).

Cheap ones come first and all of them report, so that a tenant is told everything at once; what is dear is left out once something
blocks. A check that raises could not check, whatever the reason, and that blocks (law 7).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from export_gate.attacks import precision, reconstruct, regression, summary
from export_gate.attacks.headers import coefficients_in, summaries_in
from export_gate.attacks.precision import Sheet
from export_gate.attacks.reconstruct import Union
from export_gate.finding import Finding, Verdict, worst
from export_gate.table.check import CellPolicy
from lineage.errors import ShuzhaError


@dataclass(frozen=True)
class Subject:
    """What is judged; a check takes the parts that it knows.

    Attributes:
        kind: kind of product, ``table`` or ``file``.
        sheet: its values as they would be written.
        union: the table and the earlier ones of the same rows; None for a file, of which nobody knows what it is about.
        design: the regression it was made from, where the gate fitted it.
        policy: the thresholds.
    """

    kind: str
    sheet: Sheet
    union: Callable[[], Union] | None = None
    design: regression.Design | None = None
    policy: CellPolicy = field(default_factory=CellPolicy)


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name, version: as its findings name it.
        kinds: kinds of product it looks at.
        cost: 1 for milliseconds, 2 for seconds.
        run: gives its findings; none where the subject has nothing that concerns it.
    """

    name: str
    version: int
    kinds: frozenset[str]
    cost: int
    run: Callable[[Subject], Sequence[Finding]]

    def __post_init__(self) -> None:
        """Refuse a check that looks at nothing or has no rank."""
        if not self.name or not self.kinds or self.version < 1 or self.cost not in {CHEAP, DEAR}:
            raise ValueError("a check has a name, a version, kinds and a cost")


CHEAP, DEAR = 1, 2


def _precision(subject: Subject) -> Sequence[Finding]:
    return precision.check_precision(subject.sheet)


def _summary(subject: Subject) -> Sequence[Finding]:
    return summary.check_summaries(summaries_in(subject.sheet))


def _regression(subject: Subject) -> Sequence[Finding]:
    if subject.design is not None:
        return regression.check_design(subject.design)
    return regression.check_coefficients(coefficients_in(subject.sheet))


def _reconstruction(subject: Subject) -> Sequence[Finding]:
    if subject.union is None:
        raise ValueError("a table is set against earlier ones")
    return reconstruct.check_reconstruction(subject.union(), subject.policy)


# A recomputed table has one form, so its digits and order are not looked at; its cells are too large to be enumerated.
CHECKS: tuple[Check, ...] = (
    Check(precision.CHECK, precision.VERSION, frozenset({"file"}), CHEAP, _precision),
    Check(regression.CHECK, regression.VERSION, frozenset({"file"}), CHEAP, _regression),
    Check(summary.CHECK, summary.VERSION, frozenset({"file"}), DEAR, _summary),
    Check(reconstruct.CHECK, reconstruct.VERSION, frozenset({"table"}), DEAR, _reconstruction),
)


def run_checks(
    subject: Subject, before: Sequence[Finding] = (), checks: Sequence[Check] = CHECKS
) -> tuple[Finding, ...]:
    """Run what looks at a kind of product, cheap checks first; ``before`` is what other checks said already.

    Milliseconds are evidence, not parameters: how long a check took depends on the data, and parameters leave with a release (law 8).
    """
    found: list[Finding] = []
    for check in sorted(checks, key=lambda one: one.cost):
        if subject.kind not in check.kinds:
            continue
        if check.cost == DEAR and (before or found) and not worst([*before, *found]).lets_out:
            continue
        started = time.perf_counter_ns()
        made = _run(check, subject)
        took = (time.perf_counter_ns() - started) // 1_000_000
        found += [replace(one, evidence={**one.evidence, "milliseconds": took}) for one in made]
    return tuple(found)


def overtaken(union: Callable[[], Union], evidence: Mapping[str, Any], policy: CellPolicy) -> tuple[Finding, ...]:
    """Attack an approved table once more if tables were released that its check did not know; gives what does not let it out (law 4)."""
    known = [one for one in evidence["findings"] if one["check"] == reconstruct.CHECK]
    found = union()
    of_same = {one.name for one in found.earlier if one.population == found.new.population}
    if known and of_same <= set(json.loads(known[0]["evidence"].get("known", "[]"))):
        return ()
    subject = Subject("table", Sheet((), ()), lambda: found, policy=policy)
    return tuple(one for one in run_checks(subject) if not one.verdict.lets_out)


def _run(check: Check, subject: Subject) -> Sequence[Finding]:
    try:
        return check.run(subject)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in a check, it could not check
        # Which error it was can depend on the data, so it is for those who may see them (law 8).
        what = error.code if isinstance(error, ShuzhaError) else type(error).__name__
        evidence: Mapping[str, str] = {"error": what}
        params = {"check": check.name}
        cannot = Verdict.CANNOT_CHECK
        return (Finding(check.name, check.version, cannot, "attacks.not-carried-out", params, {}, evidence),)
