"""Unions of cells: a number of one table against every sum of cells of another (law 4; B6).

``south`` of one table may be ``third`` and ``fourth`` of another, less one person. Where the cells of a table have nobody in common,
the union nearest to a set is made of the cells of which the set holds more than half: each cell can be decided on its own, so the
search is exact over all unions, without trying any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export_gate.records.published import Published


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Subjects = NDArray[np.uint32]
    Array = NDArray[Any]

MOST_TABLES = 1000
"""Earlier tables whose cells are put together, the newest first; the evidence says how many there were."""


@dataclass(frozen=True, eq=False)
class Held:
    """A set behind a number, with what the number is of; ``place`` is the number's own in its table."""

    subjects: Subjects
    column: Published
    place: int
    margin: bool


@dataclass(frozen=True, eq=False)
class Partition:
    """The cells of one aggregate of a table, with nobody in common.

    Attributes:
        column: the aggregate.
        place: a number of it, for naming it.
        subjects: ``(n,)`` uint32, ascending, everybody in its cells.
        cells: ``(n,)`` int64, the cell of each.
        sizes: ``(cells,)`` int64.
    """

    column: Published
    place: int
    subjects: Subjects
    cells: Array
    sizes: Array

    def apart(self, subjects: Subjects) -> int:
        """Give in how many subjects the nearest union of two or more cells differs from a set; all of them when there is none."""
        import numpy as np

        at = np.minimum(np.searchsorted(self.subjects, subjects), len(self.subjects) - 1)
        cells = self.cells[at[self.subjects[at] == subjects]]
        shared = np.bincount(cells, minlength=len(self.sizes))
        taken = 2 * shared > self.sizes
        if np.count_nonzero(taken) < 2:
            return len(subjects)
        return int(len(subjects) - shared[taken].sum() + (self.sizes - shared)[taken].sum())


def partitions(held: Sequence[Held]) -> Iterator[Partition]:
    """Give the partitions of a table: one for each aggregate with other sets than those before it, if its cells share nobody."""
    import numpy as np

    seen: set[tuple[bytes, ...]] = set()
    by_column: dict[str, list[Held]] = {}
    for one in held:
        if not one.margin:
            by_column.setdefault(one.column.name, []).append(one)
    for cells in by_column.values():
        same = (*(one.subjects.tobytes() for one in cells), str(sorted(cells[0].column.sources)).encode())
        if len(cells) < 2 or same in seen:
            continue
        seen.add(same)
        every = np.concatenate([one.subjects for one in cells])
        order = np.argsort(every, kind="stable")
        subjects = every[order]
        if np.any(subjects[1:] == subjects[:-1]):
            continue
        sizes = np.array([len(one.subjects) for one in cells], dtype=np.int64)
        of = np.repeat(np.arange(len(cells)), sizes)[order]
        yield Partition(cells[0].column, cells[0].place, subjects, of, sizes)


def nearest(held: Sequence[Held], parts: Sequence[Partition], minimum: int) -> Iterator[tuple[Held, Partition, int]]:
    """Give the sets that some union of cells of another table nearly is, each with the number of subjects between them."""
    for one in held:
        for part in parts:
            if one.column.sources & part.column.sources:
                apart = part.apart(one.subjects)
                if 0 < apart < minimum:
                    yield one, part, apart
