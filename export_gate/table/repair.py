"""Repair: another description of a table, to be checked again from the start (B5).

Which cells are too small must not be read from what is proposed. So a repair is worked out on the view, which its reader may see
anyway, never on the inputs: categories of a key are put together as ``other`` where the view says that they are small, with room for
the view being a sample; when that does not do, the key is left out. It is deterministic, and whether the new table may leave is
judged as that of any table.

Only merging and leaving out are offered. A suppressed cell needs others to be suppressed with it, and a rounded one is as small as
before; tools for that (τ-Argus and its kin) fit behind :class:`Repairer`, none comes with the product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Protocol


Category = str | int | None

OTHER = "other"
ROOM = 2
"""A cell of the view must hold as many subjects as this many times the minimum, scaled by the sampling rate: samples vary."""


@dataclass(frozen=True)
class ViewTable:
    """A table as a preview shows it, made from the view.

    Attributes:
        keys: names of its keys.
        cells: subjects in each cell, by the cell's key.
        rate: the view's sampling rate, above 0 and at most 1.
    """

    keys: tuple[str, ...]
    cells: Mapping[tuple[Category, ...], int]
    rate: Fraction

    def __post_init__(self) -> None:
        """Refuse cells that do not fit the keys, and a rate that is none."""
        if any(len(cell) != len(self.keys) for cell in self.cells) or not 0 < self.rate <= 1:
            raise ValueError("cells have a value for each key, and a sampling rate lies between 0 and 1")


@dataclass(frozen=True)
class Repair:
    """What to ask instead.

    Attributes:
        merged: for each key the categories that become ``other``, sorted; none where it stays as it is.
        dropped: keys to leave out.
    """

    merged: Mapping[str, tuple[Category, ...]]
    dropped: tuple[str, ...]

    def key_sql(self, key: str) -> str | None:
        """Write a key of the new description in SQL; None when it is left out."""
        if key in self.dropped:
            return None
        categories = self.merged.get(key, ())
        if not categories:
            return key
        tests = [f"{key} IS NULL"] if None in categories else []
        named = ", ".join(_literal(one) for one in categories if one is not None)
        tests += [f"{key} IN ({named})"] if named else []
        return f"CASE WHEN {' OR '.join(tests)} THEN '{OTHER}' ELSE CAST({key} AS VARCHAR) END"


class Repairer(Protocol):
    """Works out a repair from a view's table; None when the table needs none or nothing helps."""

    def __call__(self, table: ViewTable, minimum: int) -> Repair | None:
        """Give what to ask instead."""


def propose(table: ViewTable, minimum: int) -> Repair | None:
    """Merge small categories, one key after another, and leave out keys that this does not save.

    Args:
        table: the table of the view.
        minimum: fewest subjects in a cell.
    """
    least = minimum * ROOM * table.rate
    cells = _full(table)
    if not cells or not _small(cells, least):
        return None
    # The key with the most categories is the finest, so it gives way first.
    order = sorted(range(len(table.keys)), key=lambda at: (-len(_sizes(cells, at)), at))
    merged: dict[str, tuple[Category, ...]] = {}
    for place in order:
        merge = _merge(cells, place, least)
        cells = _replaced(cells, place, merge)
        merged |= {table.keys[place]: tuple(sorted(merge, key=repr))} if merge else {}
        if not _small(cells, least):
            return _repair(table, cells, merged)
    for place in order:
        cells = _replaced(cells, place, frozenset(_sizes(cells, place)))
        if not _small(cells, least):
            return _repair(table, cells, merged)
    return None


def _repair(
    table: ViewTable, cells: Mapping[tuple[Category, ...], int], merged: Mapping[str, Sequence[Category]]
) -> Repair:
    """A key of which one category is left says nothing and is left out."""
    dropped = [key for at, key in enumerate(table.keys) if len(_sizes(cells, at)) == 1]
    return Repair({key: tuple(merge) for key, merge in merged.items() if key not in dropped}, tuple(dropped))


def _full(table: ViewTable) -> Counter[tuple[Category, ...]]:
    """Give every combination of the categories, the empty ones too: an empty cell is a small one."""
    values = [sorted({cell[at] for cell in table.cells}, key=repr) for at in range(len(table.keys))]
    return Counter({cell: table.cells.get(cell, 0) for cell in product(*values)})


def _small(cells: Mapping[tuple[Category, ...], int], least: Fraction) -> int:
    return sum(size < least for size in cells.values())


def _sizes(cells: Mapping[tuple[Category, ...], int], place: int) -> Counter[Category]:
    sizes: Counter[Category] = Counter()
    for cell, size in cells.items():
        sizes[cell[place]] += size
    return sizes


def _merge(cells: Mapping[tuple[Category, ...], int], place: int, least: Fraction) -> frozenset[Category]:
    """Give the categories with a small cell, and the smallest of the others while the merged ones are small together."""
    sizes = _sizes(cells, place)
    merge = {cell[place] for cell, size in cells.items() if size < least}
    for category in sorted(sizes, key=lambda one: (sizes[one], repr(one))):
        together = _replaced(cells, place, frozenset(merge))
        if not merge or not _small(together, least):
            break
        merge.add(category)
    return frozenset(merge) if len(merge) > 1 else frozenset()


def _replaced(
    cells: Mapping[tuple[Category, ...], int], place: int, merge: frozenset[Category]
) -> Counter[tuple[Category, ...]]:
    found: Counter[tuple[Category, ...]] = Counter()
    for cell, size in cells.items():
        value = OTHER if cell[place] in merge else cell[place]
        found[(*cell[:place], value, *cell[place + 1 :])] += size
    return found


def _literal(value: Category) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
