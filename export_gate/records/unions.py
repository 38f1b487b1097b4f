"""Unions of cells: a number of one table against every sum of cells of another (law 4; B6).

``south`` of one table may be ``third`` and ``fourth`` of another, less one person. Where the cells of a table have nobody in common,
the union nearest to a set is made of the cells of which the set holds more than half: each cell can be decided on its own, so the
search is exact over all unions, without trying any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export_gate.records.published import Published


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Subjects = NDArray[np.uint32]
    Array = NDArray[Any]

MOST_TABLES = 200
"""Earlier tables whose cells are put together, the newest first; the evidence says how many there were."""


@dataclass(frozen=True, eq=False)
class Held:
    """A set and the numbers of one table that it stands behind.

    Attributes:
        subjects: ``(n,)`` uint32, ascending.
        margin: whether it is no cell's.
        numbers: what each number is of, by its place in the table.
    """

    subjects: Subjects
    margin: bool
    numbers: Mapping[int, Published]


@dataclass(frozen=True, eq=False)
class Partition:
    """The cells of one aggregate of a table, or of several that depend on the same people, with nobody in common.

    Attributes:
        numbers: the first cell's numbers, for naming the partition.
        subjects: ``(n,)`` uint32, ascending, everybody in its cells.
        cells: ``(n,)`` int64, the cell of each.
        sizes: ``(cells,)`` int64.
    """

    numbers: Mapping[int, Published]
    subjects: Subjects
    cells: Array
    sizes: Array

    def apart(self, sets: Sequence[Subjects], less_than: int) -> Array:
        """Give in how many subjects the nearest union of two or more cells differs from each set, none of them empty.

        -1 where there is no such union, or where it differs in ``less_than`` or more, as far as that is seen at once.
        """
        import numpy as np

        apart = np.full(len(sets), -1, dtype=np.int64)
        lengths = np.array([len(one) for one in sets], dtype=np.int64)
        ends = np.cumsum(lengths)
        subjects = np.concatenate(sets)
        at = np.minimum(np.searchsorted(self.subjects, subjects), len(self.subjects) - 1)
        known = self.subjects[at] == subjects
        outside = lengths - np.diff(np.cumsum(known)[ends - 1], prepend=0)
        # Whoever is in no cell is outside every union: most sets of other people end here.
        for one in np.flatnonzero(outside < less_than).tolist():
            place = slice(ends[one] - lengths[one], ends[one])
            shared = np.bincount(self.cells[at[place][known[place]]], minlength=len(self.sizes))
            taken = 2 * shared > self.sizes
            if np.count_nonzero(taken) >= 2:
                apart[one] = lengths[one] + (self.sizes - 2 * shared)[taken].sum()
        return apart


def partitions(held: Sequence[Held]) -> Iterator[Partition]:
    """Give the partitions of a table: for each aggregate with other cells than those before it, if they share nobody."""
    import numpy as np

    cells = [one for one in held if not one.margin]
    names = dict.fromkeys(column.name for one in cells for column in one.numbers.values())
    seen: set[tuple[int, ...]] = set()
    for name in names:
        chosen = [at for at, one in enumerate(cells) if any(column.name == name for column in one.numbers.values())]
        if len(chosen) < 2 or tuple(chosen) in seen:
            continue
        seen.add(tuple(chosen))
        every = np.concatenate([cells[at].subjects for at in chosen])
        order = np.argsort(every, kind="stable")
        subjects = every[order]
        if np.any(subjects[1:] == subjects[:-1]):
            continue
        sizes = np.array([len(cells[at].subjects) for at in chosen], dtype=np.int64)
        of = np.repeat(np.arange(len(chosen)), sizes)[order]
        yield Partition(cells[chosen[0]].numbers, subjects, of, sizes)


def nearest(held: Sequence[Held], parts: Sequence[Partition], minimum: int) -> Iterator[tuple[int, int, int]]:
    """Give the numbers that some union of cells of another table nearly is.

    Yields:
        The place of the number, the place of one of the other table's that is related to it, and the subjects between them.
    """
    for part in parts if held else ():
        apart = part.apart([one.subjects for one in held], minimum)
        for at in ((apart > 0) & (apart < minimum)).nonzero()[0].tolist():
            related = _related(held[at].numbers, part.numbers)
            if related:
                yield (*related, int(apart[at]))


def _related(numbers: Mapping[int, Published], others: Mapping[int, Published]) -> tuple[int, int] | None:
    for place, column in numbers.items():
        for other, another in others.items():
            if column.sources & another.sources:
                return place, other
    return None
