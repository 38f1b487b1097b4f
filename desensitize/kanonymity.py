"""k-anonymity over a histogram: how far to generalise so that nobody stands in a small class (P2).

Counted are distinct subjects, not rows, on the whole population and before sampling, so that the largest risk of being found is
1/k by construction (GB/T 42460-2023, Samarati 2001). Full-domain generalisation maps classes to classes, so the histogram of the
finest level tells the exact class sizes of every coarser one. Only a subject whose rows lie in several classes does not add up; such
subjects are kept apart and counted one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from lineage.errors import DefinitionError


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Counts: TypeAlias = NDArray[np.int64]

Node: TypeAlias = tuple[int, ...]
"""One level for each quasi-identifier, 0 the finest."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """The classes of the finest level.

    Attributes:
        codes: for each quasi-identifier, for each of its levels, an array ``(classes,)``: equal codes are equal values.
        single: ``(classes,)``, subjects all of whose rows lie in this one class.
        rows: ``(classes,)``, rows.
        repeated: two arrays ``(pairs,)``, subject and class, each pair once: subjects with rows in several classes.
    """

    codes: tuple[tuple[Counts, ...], ...]
    single: Counts
    rows: Counts
    repeated: tuple[Counts, Counts]

    def __post_init__(self) -> None:
        arrays = [self.rows, *(level for levels in self.codes for level in levels)]
        if any(len(array) != len(self.single) for array in arrays) or len(self.repeated[0]) != len(self.repeated[1]):
            raise ValueError("the arrays of a histogram have one entry a class")

    @cached_property
    def subjects(self) -> int:
        """Distinct subjects in all classes together."""
        return int(self.single.sum()) + len(distinct(self.repeated[0]))

    @property
    def top(self) -> Node:
        """The coarsest node."""
        return tuple(len(levels) - 1 for levels in self.codes)


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes at one node.

    Attributes:
        of: ``(classes of the histogram,)``, which class each one falls into.
        subjects: ``(classes,)``, distinct subjects in each.
        suppressed_subjects: subjects that lose at least one row when classes below k are suppressed.
    """

    of: Counts
    subjects: Counts
    suppressed_subjects: int


def classes_at(histogram: Histogram, node: Node, k: int) -> Classes:
    """Count the distinct subjects of every class at a node, exactly."""
    import numpy as np

    of, number = _merge(
        [levels[level] for levels, level in zip(histogram.codes, node, strict=True)], len(histogram.single)
    )
    subject, place = histogram.repeated
    pairs = distinct(subject * number + of[place])
    counts = np.bincount(of, weights=histogram.single, minlength=number).astype(np.int64)
    counts += np.bincount(pairs % max(number, 1), minlength=number)
    small = counts < k
    touched = distinct(pairs[small[pairs % max(number, 1)]] // max(number, 1))
    alone = int(histogram.single[small[of]].sum())
    return Classes(of, counts, alone + len(touched))


def distinct(values: Counts) -> Counts:
    """The distinct values in order; by sorting, which is many times as fast as NumPy's own way for millions of integers."""
    import numpy as np

    ordered = np.sort(values)
    first: Counts = ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]
    return first


def choose(histogram: Histogram, k: int, tolerance: int) -> tuple[Node, Classes]:
    """Find a least general node at which at most ``tolerance`` per cent of the subjects lose rows.

    Climbs from the finest node by the step that saves most subjects for the detail it costs, then takes back every step that was
    not needed. Suppression only falls when generalisation rises, so no node below the result would do.

    Raises:
        DefinitionError: there are fewer than ``k`` subjects; no generalisation can hide them.
    """
    if histogram.subjects < k:
        raise DefinitionError("desensitize.too-few-subjects", k=k)
    allowed = histogram.subjects * tolerance // 100
    node: Node = (0,) * len(histogram.codes)
    found = classes_at(histogram, node, k)
    while found.suppressed_subjects > allowed and node != histogram.top:
        node, found = _climb(histogram, node, found, k)
    if found.suppressed_subjects > allowed:
        raise DefinitionError("desensitize.too-few-subjects", k=k)
    return _take_back(histogram, node, found, k, allowed)


def _climb(histogram: Histogram, node: Node, found: Classes, k: int) -> tuple[Node, Classes]:
    tried = [(above, classes_at(histogram, above, k)) for above in _neighbours(node, 1, histogram.top)]

    def gain(candidate: tuple[Node, Classes]) -> tuple[float, int]:
        above, classes = candidate
        saved = found.suppressed_subjects - classes.suppressed_subjects
        return saved / (_loss(above, histogram.top) - _loss(node, histogram.top)), -classes.suppressed_subjects

    return max(tried, key=gain)


def _take_back(histogram: Histogram, node: Node, found: Classes, k: int, allowed: int) -> tuple[Node, Classes]:
    for below in sorted(_neighbours(node, -1, histogram.top), key=lambda below: _loss(below, histogram.top)):
        classes = classes_at(histogram, below, k)
        if classes.suppressed_subjects <= allowed:
            return _take_back(histogram, below, classes, k, allowed)
    return node, found


def _neighbours(node: Node, step: int, top: Node) -> Iterator[Node]:
    for place, level in enumerate(node):
        if 0 <= level + step <= top[place]:
            yield (*node[:place], level + step, *node[place + 1 :])


def _loss(node: Node, top: Node) -> float:
    """Samarati's precision loss: the mean share of its hierarchy that each quasi-identifier has climbed."""
    return sum(level / highest for level, highest in zip(node, top, strict=True) if highest) / max(len(top), 1)


def _merge(columns: Sequence[Counts], length: int) -> tuple[Counts, int]:
    """Number the combinations of codes from 0; gives the number of each entry and how many there are."""
    import numpy as np

    ids, number = np.zeros(length, dtype=np.int64), min(length, 1)
    for column in columns:
        # Renumbered after each column, so that the product never leaves 64 bits.
        size = int(column.max(initial=-1)) + 1
        values, ids = np.unique(ids * size + column, return_inverse=True)
        number = len(values)
    return ids, number
