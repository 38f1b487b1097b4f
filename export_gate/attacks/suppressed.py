"""What follows for cells that were never released: least and greatest value under all equalities (B7, B8).

"Generate, then verify": a few feasible tables are made that differ as much as they can, and every combination that may be empty or
large in one of them is cleared at once; only for the rest are both bounds proved, by integer programming (HiGHS through
``scipy.optimize.milp``). A proof holds in every population that fits the releases, so the true one as well. When the search ends at
a limit its bound still holds, because it is the dual bound; limits count nodes and solutions, never seconds, so that a result can be
repeated. Larger systems are solved as if parts of a person could be counted, the largest only by passing bounds from sum to sum:
each step proves less, and whatever it proves still holds.
(Dinur and Nissim, PODS 2003; Garfinkel, Abowd and Martindale, CACM 62/3, 2019.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from export_gate.attacks.equalities import System, Targets, label_of, targets
from export_gate.attacks.told import Value


if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_CLOSE = 1e-6
_BEYOND = 2
_INFEASIBLE = 2
_HUGE = 1e15
_TURNS = 30


MOST_WHOLE, MOST_LINEAR = 300, 3_000
"""Unknowns up to which whole numbers, and up to which linear bounds, are searched: an integer search of 2,400 can take minutes."""
_WORK = 200_000
"""Non-zero coefficients that all linear solutions of one search may have together."""


@dataclass(frozen=True)
class Effort:
    """How hard to try.

    Attributes:
        method: ``integer``, ``linear`` or ``passing``.
        generated: feasible tables made to clear combinations.
        verified: combinations whose bounds are proved.
        nodes: branch-and-bound nodes a solution.
    """

    method: str = "integer"
    generated: int = 8
    verified: int = 16
    nodes: int = 50

    def __post_init__(self) -> None:
        """Nothing tried is no check (law 7)."""
        if min(self.generated, self.verified, self.nodes) < 1 or self.method not in {"integer", "linear", "passing"}:
            raise ValueError("an effort is at least one of each, by a known method")


def effort_for(system: System) -> Effort:
    """Choose the effort by the size of a system, so that a search takes seconds."""
    if system.size > MOST_LINEAR:
        return Effort("passing")
    if system.size > MOST_WHOLE or not system.whole:
        solutions = max(_WORK // max(system.matrix.nnz, 1), 6)
        return Effort("linear", generated=min(8, solutions // 2), verified=min(24, solutions // 4 + 1))
    return Effort()


@dataclass(frozen=True)
class Recovered:
    """A combination whose value follows within bounds that tell too much; ``of`` names its attributes' values."""

    of: tuple[tuple[str, Value], ...]
    low: float
    high: float


@dataclass(frozen=True)
class Recovery:
    """What a search found.

    Attributes:
        recovered: combinations that are proved.
        combinations: how many there are.
        cleared: how many were shown to be open by a table that fits.
        undecided: how many were neither, because a limit was reached.
        method: how it was searched.
        consistent: whether any table fits at all.
    """

    recovered: tuple[Recovered, ...]
    combinations: int
    cleared: int
    undecided: int
    method: str
    consistent: bool = True


@dataclass(frozen=True)
class Rule:
    """When bounds tell too much.

    Attributes:
        minimum: a count is told when it is surely at least 1 and surely less than this.
        share: a sum is told when it is known to within this share of its size.
    """

    minimum: int
    share: Fraction = Fraction(10, 100)

    def tells(self, low: float, high: float, *, whole: bool) -> bool:
        """Judge bounds; they only get wider as more tables that fit are seen, so an answer "no" is final."""
        if whole:
            return low >= 1 and high < self.minimum
        size = max(abs(low), abs(high))
        return size > _CLOSE and high - low <= float(self.share) * size + _CLOSE


def recover(system: System, rule: Rule, effort: Effort | None = None) -> Recovery:
    """Search one system for combinations that its equalities tell; without an effort, as hard as its size allows."""
    chosen = effort or effort_for(system)
    if chosen.method == "passing":
        return _pass_bounds(system, rule)
    return _Search(system, targets(system), rule, chosen).run()


def bounds_of(system: System, of: Mapping[str, Value], effort: Effort | None = None) -> tuple[float, float] | None:
    """Prove between what one combination lies; None when the system is too large, nothing fits, or nothing can be proved."""
    import numpy as np
    from scipy.sparse import csr_array

    if system.size > MOST_LINEAR or not len(system.low):
        return None
    kept = np.ones(system.size, dtype=bool)
    for name, value in of.items():
        place = system.attributes.index(name)
        kept &= system.atoms[:, place] == system.values[place].index(value)
    target = Targets(csr_array(kept[np.newaxis].astype(np.float64)), (tuple(of.items()),))
    return _Search(system, target, Rule(2), effort or effort_for(system)).prove(0)


def _pass_bounds(system: System, rule: Rule) -> Recovery:
    """Bound each atom by the sums it is in, less what the others at least hold, until nothing changes or the turns are used up."""
    import numpy as np

    matrix, columns = system.matrix, system.matrix.T.tocsr()
    rows, atoms = columns.indices, np.repeat(np.arange(system.size), np.diff(columns.indptr))
    nonnegative = system.whole or bool((system.low >= 0).all())
    low = np.zeros(system.size) if nonnegative else np.full(system.size, -np.inf)
    high = np.full(system.size, np.inf)
    for _ in range(_TURNS if nonnegative else 0):
        np.minimum.at(high, atoms, (system.high - matrix @ low)[rows] + low[atoms])
        unbounded = np.isinf(high)
        limited = np.where(unbounded, _HUGE, high)
        np.maximum.at(low, atoms, (system.low - matrix @ limited)[rows] + limited[atoms])
        if (low > high + _CLOSE).any():
            return Recovery((), system.size, 0, 0, "passing", consistent=False)
    found = []
    for atom in range(system.size):
        bounds = float(low[atom]), float(high[atom])
        if rule.tells(*bounds, whole=system.whole):
            found.append(Recovered(label_of(system, atom), *bounds))
    return Recovery(tuple(found), system.size, 0, system.size - len(found), "passing")


class _Search:
    """One search; ``low`` and ``high`` hold the least and greatest value of each target over the tables that fit, as far as seen."""

    def __init__(self, system: System, wanted: Targets, rule: Rule, effort: Effort) -> None:
        import numpy as np

        self.system, self.wanted, self.rule, self.effort = system, wanted, rule, effort
        self.whole = effort.method == "integer"
        self.low = np.full(len(wanted.labels), np.inf)
        self.high = np.full(len(wanted.labels), -np.inf)
        # A sum of amounts that are nowhere negative is taken to be made of such amounts: the attacker would.
        self.nonnegative = system.whole or bool((system.low >= 0).all())
        # Far beyond every released number: what nothing bounds is open, not unbounded.
        self.box = _BEYOND * (1 + float(np.abs(np.concatenate([system.low, system.high])).sum()))

    def run(self) -> Recovery:
        count = len(self.wanted.labels)
        if not count or not len(self.system.low):
            return Recovery((), count, count, 0, self.effort.method)
        for objective in self._objectives():
            if self._solve(objective) is None:
                # Nothing fits: what the attacker takes for granted does not hold, so nothing follows.
                return Recovery((), count, 0, 0, self.effort.method, consistent=False)
            if not len(self._open()):
                break
        # The narrowest first: where bounds are close, they are soonest proved.
        open_ = sorted(self._open().tolist(), key=lambda one: (self.high[one] - self.low[one], one))
        found, undecided = self._verify(open_)
        return Recovery(tuple(found), count, count - len(found) - undecided, undecided, self.effort.method)

    def _verify(self, open_: list[int]) -> tuple[list[Recovered], int]:
        found: list[Recovered] = []
        undecided = tried = 0
        for target in open_:
            if not self._tells(target):
                continue
            if tried == self.effort.verified:
                undecided += 1
                continue
            tried += 1
            bounds = self._bounds(target)
            if bounds is not None and self.rule.tells(*bounds, whole=self.system.whole):
                found.append(Recovered(self.wanted.labels[target], *bounds))
            elif self._tells(target):
                undecided += 1
        return found, undecided

    def _tells(self, target: int) -> bool:
        return self.rule.tells(*self._sharp(float(self.low[target]), float(self.high[target])), whole=self.system.whole)

    def _sharp(self, low: float, high: float) -> tuple[float, float]:
        """Draw the ends of a linear bound in to whole numbers where only those can be."""
        if not self.system.whole or not math.isfinite(low) or not math.isfinite(high):
            return low, high
        return math.ceil(low - _CLOSE), math.floor(high + _CLOSE)

    def _open(self) -> Array:
        """Give the targets that the tables seen so far have not cleared."""
        import numpy as np

        return np.array([one for one in range(len(self.low)) if self._tells(one)], dtype=np.int64)

    def _objectives(self) -> Iterator[Array]:
        """Push what is still open up, then down, then in halves that differ from turn to turn."""
        import numpy as np

        yield np.zeros(self.system.size)
        for turn in range(self.effort.generated - 1):
            open_ = self._open()
            signs = np.ones(len(open_)) if turn < 2 else np.where((open_ >> (turn - 2) // 2) & 1, 1.0, -1.0)
            yield self.wanted.matrix[open_, :].T @ (signs * (-1.0 if turn % 2 == 0 else 1.0))

    def _bounds(self, target: int) -> tuple[float, float] | None:
        """Prove both ends; None when the first already clears the target or nothing could be proved."""
        row = self.wanted.matrix[[target], :].toarray().ravel()
        ends = []
        for sign in (-1.0, 1.0):
            bound = self._solve(sign * row)
            if bound is None or not math.isfinite(bound) or not self._tells(target):
                return None
            ends.append(sign * bound)
        high, low = ends
        return self._sharp(low, high)

    def prove(self, target: int) -> tuple[float, float] | None:
        """Prove both ends whatever they are."""
        row = self.wanted.matrix[[target], :].toarray().ravel()
        ends = [self._solve(sign * row) for sign in (1.0, -1.0)]
        low, high = ends
        if low is None or high is None or not math.isfinite(low) or not math.isfinite(high):
            return None
        return self._sharp(low, -high)

    def _solve(self, objective: Array) -> float | None:
        """Minimise; remember the table found, give the proved bound, None when nothing fits."""
        import numpy as np
        from scipy.optimize import Bounds, LinearConstraint, milp

        system = self.system
        found = milp(
            objective,
            integrality=np.full(system.size, int(self.whole)),
            bounds=Bounds(0 if self.nonnegative else -self.box, self.box),
            constraints=LinearConstraint(system.matrix, system.low, system.high),
            options={"node_limit": self.effort.nodes},
        )
        if found.x is not None:
            table = np.round(found.x) if self.whole else found.x
            values = self.wanted.matrix @ table
            self.low, self.high = np.minimum(self.low, values), np.maximum(self.high, values)
        if found.status == _INFEASIBLE:
            return None
        bound = found.mip_dual_bound if found.mip_dual_bound is not None else found.fun
        return -math.inf if bound is None else float(bound)
