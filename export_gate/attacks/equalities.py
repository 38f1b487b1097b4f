"""Released tables as equalities over their finest common cross-classification (B7, B8).

Unknown is how much falls into each combination of the attributes that the tables name, an *atom*. A released number is the sum of
its atoms, known between two bounds; a combination that a table leaves out has none. What follows for a combination of any of the
attributes is a *target*: the cell nobody released (Hundepool et al., Statistical Disclosure Control, 2012, chapter 4.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from export_gate.attacks.told import OTHER, Measure, Told, Value


if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

MOST_GRID = 200_000
"""Atoms before those are left out in which nobody can be."""
MOST_SUBSETS = 4
"""With more attributes than this, targets are the atoms, their sums over one attribute, and those over all but one."""


@dataclass(frozen=True, eq=False)
class System:
    """The equalities of one measure.

    Attributes:
        attributes: names, in the order of the atoms' values.
        values: the values of each attribute.
        atoms: ``(atoms, attributes)`` places of values of the atoms that may hold something.
        matrix: ``(rows, atoms)`` sparse 0/1, one row a released number.
        low, high: ``(rows,)`` its bounds.
        whole: whether the unknowns are whole numbers, at least 0.
    """

    attributes: tuple[str, ...]
    values: tuple[tuple[Value, ...], ...]
    atoms: Array
    matrix: Any
    low: Array
    high: Array
    whole: bool

    @property
    def size(self) -> int:
        """How many unknowns there are."""
        return len(self.atoms)


@dataclass(frozen=True, eq=False)
class Targets:
    """Combinations that might be worked out; ``matrix`` is ``(targets, atoms)`` sparse 0/1, ``labels`` say which they are."""

    matrix: Any
    labels: tuple[tuple[tuple[str, Value], ...], ...]


def domains(tables: Sequence[Told]) -> Mapping[str, tuple[Value, ...]]:
    """Give for each attribute the values that any table names, and one for all others."""
    found: dict[str, set[Value]] = {}
    for table in tables:
        for place, name in enumerate(table.keys):
            found.setdefault(name, set()).update(cell[place] for cell in table.cells)
        for name, values in table.only.items():
            found.setdefault(name, set()).update(values)
    return {name: (*sorted(found[name], key=repr), OTHER) for name in sorted(found)}


def grid_size(tables: Sequence[Told]) -> int:
    """Give how many combinations of attributes tables have together."""
    size = 1
    for values in domains(tables).values():
        size *= len(values)
    return size


def build(tables: Sequence[Told], measure: Measure, named: Mapping[str, tuple[Value, ...]] | None = None) -> System:
    """Write what tables of one population say of a measure as equalities.

    Args:
        tables: tables whose :func:`grid_size` is at most ``MOST_GRID``.
        measure: what is added up; a table that says nothing of it still tells where nobody is.
        named: the values of each attribute, where they are those of more tables: "all others" are then the same others.

    Raises:
        ValueError: the tables are of different populations, or there are too many combinations.
    """
    import numpy as np
    from scipy.sparse import csr_array

    if len({table.population for table in tables}) != 1 or grid_size(tables) > MOST_GRID:
        raise ValueError("equalities are about one population, within a limit")
    named = named or domains(tables)
    shape = tuple(len(values) for values in named.values())
    atoms = np.stack([axis.ravel() for axis in np.indices(shape)], axis=1) if shape else np.zeros((1, 0), np.int64)
    alive = np.ones(len(atoms), dtype=bool)
    rows: list[tuple[Any, float, float]] = []
    for table in tables:
        cell_of = _cells_of(table, named, atoms)
        alive &= cell_of != _NOBODY
        for number, told in enumerate(table.numbers.get(measure, ())):
            if told is not None:
                rows.append((np.flatnonzero(cell_of == number), told.low, told.high))
    new_place = np.cumsum(alive) - 1
    members = [new_place[row[alive[row]]] for row, _, _ in rows]
    pointers = np.concatenate([[0], np.cumsum([len(one) for one in members])]).astype(np.int64)
    indices = np.concatenate([*members, np.zeros(0, np.int64)]).astype(np.int64)
    matrix = csr_array((np.ones(len(indices)), indices, pointers), shape=(len(rows), int(alive.sum())))
    low, high = (np.array([row[end] for row in rows], dtype=np.float64) for end in (1, 2))
    whole = measure.kind == "count"
    return System(tuple(named), tuple(named.values()), atoms[alive], matrix, low, high, whole)


_OUTSIDE, _NOBODY = -1, -2


def _cells_of(table: Told, named: Mapping[str, tuple[Value, ...]], atoms: Array) -> Array:
    """Say of each atom in which cell of a table it lies: none of them, or one that would be there if anybody were in it."""
    import numpy as np

    order = list(named)
    inside = np.ones(len(atoms), dtype=bool)
    for name, allowed in table.only.items():
        keeps = np.array([value in allowed for value in named[name]])
        inside &= keeps[atoms[:, order.index(name)]]
    code = np.zeros(len(atoms), dtype=np.int64)
    cells = np.zeros(len(table.cells), dtype=np.int64)
    for place, name in enumerate(table.keys):
        at = {value: number for number, value in enumerate(named[name])}
        code = code * len(at) + atoms[:, order.index(name)]
        cells = cells * len(at) + np.array([at[cell[place]] for cell in table.cells], dtype=np.int64)
    of = np.full(max(int(code.max(initial=0)), int(cells.max(initial=0))) + 1, _NOBODY, dtype=np.int64)
    of[cells] = np.arange(len(cells))
    return np.where(inside, of[code], _OUTSIDE)


def targets(system: System) -> Targets:
    """Give every combination of some of the attributes that somebody may be in, each set of atoms once."""
    import numpy as np
    from scipy.sparse import csr_array, vstack

    parts, labels, seen = [], [], set()
    for kept in _kept(len(system.attributes)):
        chosen = system.atoms[:, list(kept)]
        groups, of = np.unique(chosen, axis=0, return_inverse=True)
        of = np.asarray(of).ravel()
        shape = (len(groups), system.size)
        part = csr_array((np.ones(system.size), (of, np.arange(system.size))), shape=shape)
        part.sort_indices()
        for number, group in enumerate(groups):
            atoms = part.indices[part.indptr[number] : part.indptr[number + 1]].tobytes()
            if atoms not in seen:
                seen.add(atoms)
                parts.append(part[[number], :])
                labels.append(_label(system, kept, group))
    matrix = vstack(parts, format="csr") if parts else csr_array((0, system.size))
    return Targets(matrix, tuple(labels))


def _kept(count: int) -> Iterator[tuple[int, ...]]:
    every = range(count)
    sizes = every if count <= MOST_SUBSETS else sorted({0, 1, count - 2})
    # Fewer attributes name a combination more plainly, so the broadest name comes first.
    for size in (*(one + 1 for one in sizes if one + 1 < count), count):
        yield from combinations(every, size)


def label_of(system: System, atom: int) -> tuple[tuple[str, Value], ...]:
    """Say which combination an atom is."""
    return _label(system, range(len(system.attributes)), system.atoms[atom])


def _label(system: System, kept: Sequence[int], group: Array) -> tuple[tuple[str, Value], ...]:
    return tuple((system.attributes[at], system.values[at][int(value)]) for at, value in zip(kept, group, strict=True))
