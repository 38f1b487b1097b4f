"""Tables of coefficients: is a regression a lookup of single people (B10)?

A dummy for one person tells that person's value; so does a model with nearly as many coefficients as observations, or an observation
that alone fixes a direction of the fit. What is known decides what can be checked: of a design, everything; of a printed table of
coefficients, its numbers of observations and coefficients, and the numbers of those behind each level.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from export_gate.finding import Finding, Verdict
from lineage.errors import Param


if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

CHECK, VERSION = "attacks.regression", 1
MINIMUM = 10
LEVERAGE = Fraction(1, 2)
"""An observation that fixes half of some direction (Huber, Robust Statistics, 1981, section 7.2)."""
MOST_SHARE = Fraction(33, 100)
"""Coefficients may be at most this share of the observations (the rule of DataSHIELD's ``nfilter.glm``)."""
DEGREES = 10
"""Least residual degrees of freedom (the rule of ACRO, https://github.com/AI-SDC/ACRO)."""
_MOST_EVIDENCE = 20


@dataclass(frozen=True, eq=False)
class Design:
    """A regression as it was fitted.

    Attributes:
        names: its coefficients.
        matrix: ``(observations, coefficients)`` float64, with the column of the intercept.
        subjects: ``(observations,)`` who each observation is about.
    """

    names: tuple[str, ...]
    matrix: Array
    subjects: Array

    def __post_init__(self) -> None:
        """Refuse a design that does not fit its names or subjects, or is not of numbers."""
        import numpy as np

        if self.matrix.ndim != 2 or self.matrix.shape != (len(self.subjects), len(self.names)):
            raise ValueError("a design has a row an observation and a column a coefficient")
        if not np.isfinite(self.matrix).all():
            raise ValueError("a design is of finite numbers")


@dataclass(frozen=True)
class Coefficients:
    """A printed table of coefficients; None for what it does not say.

    Attributes:
        names: the coefficients.
        observations: how many there were.
        behind: subjects behind each level, where the table says so.
    """

    names: tuple[str, ...]
    observations: int | None
    behind: Mapping[str, int]


def check_design(design: Design) -> tuple[Finding, ...]:
    """Judge a regression whose design is known; one finding. Rows of one subject count together."""
    import numpy as np

    people = np.unique(design.subjects, return_inverse=True)[1].ravel()
    count = int(people.max()) + 1 if len(people) else 0
    rank = int(np.linalg.matrix_rank(design.matrix)) if len(people) else 0
    problems = _sizes(rank, count)
    few = [name for name, column in zip(design.names, design.matrix.T, strict=True) if _few(column, people)]
    high = _leverages(design.matrix, people, count) if len(people) else np.zeros(0)
    strong = int((high >= float(LEVERAGE)).sum())
    evidence: dict[str, Param] = {
        "subjects": count,
        "rank": rank,
        "levels": json.dumps(few[:_MOST_EVIDENCE], ensure_ascii=False),
        "fixed_by_one": strong,
        "largest_leverage": f"{high.max(initial=0.0):.3f}",
    }
    return (_finding(evidence, told=bool(problems or few or strong)),)


def _few(column: Array, people: Array) -> bool:
    """Whether a column differs from its commonest value, or a dummy agrees with it, in too few subjects."""
    import numpy as np

    values, where, sizes = np.unique(column, return_inverse=True, return_counts=True)
    if len(values) == 1:
        return False
    common = where.ravel() == int(np.argmax(sizes))
    sides = [len(np.unique(people[~common]))] + ([len(np.unique(people[common]))] if len(values) == 2 else [])
    return min(sides) < MINIMUM


def _leverages(matrix: Array, people: Array, count: int) -> Array:
    """Give for each subject the largest share of a direction of the fit that its rows alone fix."""
    import numpy as np

    left, values, _ = np.linalg.svd(matrix, full_matrices=False)
    # A column counted in another unit is the same column: directions are those of the space, not of its scale.
    basis = left[:, values > values.max(initial=0.0) * 1e-10]
    order = np.argsort(people, kind="stable")
    bounds = np.searchsorted(people[order], np.arange(count + 1))
    rows = (basis[order[start:end]] for start, end in pairwise(bounds))
    return np.array([np.linalg.norm(one, 2) ** 2 for one in rows])


def _sizes(coefficients: int, observations: int) -> list[str]:
    problems = []
    if observations - coefficients < DEGREES:
        problems.append("degrees of freedom")
    if coefficients > MOST_SHARE * observations:
        problems.append("share of coefficients")
    return problems


def check_coefficients(tables: Sequence[Coefficients]) -> tuple[Finding, ...]:
    """Judge printed tables of coefficients; one finding. Without the number of observations there is nothing to judge by: people look."""
    problems: list[str] = []
    unknown = False
    for table in tables:
        unknown |= table.observations is None
        problems += [] if table.observations is None else _sizes(len(table.names), table.observations)
        problems += [name for name, behind in table.behind.items() if behind < MINIMUM]
    evidence: dict[str, Param] = {"problems": json.dumps(problems[:_MOST_EVIDENCE], ensure_ascii=False)}
    if unknown and not problems:
        return (_finding(evidence, told=False, unknown=True),)
    return (_finding(evidence, told=bool(problems)),)


def _finding(evidence: Mapping[str, Param], *, told: bool, unknown: bool = False) -> Finding:
    parameters: dict[str, Param] = {
        "minimum_count": MINIMUM,
        "leverage": str(LEVERAGE),
        "most_share": str(MOST_SHARE),
        "degrees_of_freedom": DEGREES,
    }
    if told:
        return Finding(CHECK, VERSION, Verdict.BLOCK, CHECK, {"minimum": MINIMUM}, parameters, evidence)
    if unknown:
        return Finding(CHECK, VERSION, Verdict.REVIEW, "attacks.regression-unknown", {}, parameters, evidence)
    passed = Verdict.NO_ATTACK_SUCCEEDED
    return Finding(CHECK, VERSION, passed, "attacks.passed", {"check": CHECK}, parameters, evidence)
