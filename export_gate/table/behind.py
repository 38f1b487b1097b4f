"""Who is behind each number of a recomputed table and of its margins: the worker's part of the ledger of record sets (law 4).

It runs in the gate's jail while the temporary tables of the recomputation are there. Margins are sums of cells over some of the
keys; whoever has the cells has them too, so they count as told.
"""

# ruff: noqa: S608 - every statement here is put together from names of this package
from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from export_gate.records.vectors import SUMMED, Key, Number
from export_gate.table.facts import Recomputed
from export_gate.table.recompute import SUBJECTS
from lineage.errors import GateRefusedError


if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

MOST_KEYS = 4
"""With more keys than this only the margins over one key, over all keys but one, and the total are made."""


def vectors(connection: Any, facts: Recomputed, numbers: str) -> list[Number]:
    """Give every number of a table and of its margins with the subjects behind it.

    Args:
        connection: DuckDB connection with the temporary tables of the recomputation.
        facts: the recomputed table.
        numbers: name of the table with the columns ``token`` and ``number``.

    Raises:
        GateRefusedError: ``records.subject-without-number``: a subject of the table is not in the registry (law 7).
    """
    import numpy as np

    wide = range(len(facts.columns))
    totals = ", ".join(f"CAST(t{number} AS DOUBLE) AS t{number}" for number in wide)
    joined = f'{SUBJECTS} LEFT JOIN "{numbers}" ON s = token WHERE s IS NOT NULL'
    found = connection.execute(f"SELECT cell - 1 AS cell, number, {totals} FROM {joined}").fetchnumpy()
    if np.ma.getmaskarray(np.ma.asarray(found["number"])).any():
        raise GateRefusedError("records.subject-without-number")
    cell = np.asarray(found["cell"]).astype(np.int64)
    subject = np.asarray(found["number"]).astype(np.int64)
    columns = [np.ma.filled(np.ma.asarray(found[f"t{number}"]).astype(np.float64), np.nan) for number in wide]
    return list(_numbers(facts, cell, subject, columns))


def levels(keys: int) -> list[tuple[int, ...]]:
    """Give the sets of keys to keep: all keys first, then each margin down to the total."""
    every = range(keys)
    sizes = range(keys, -1, -1) if keys <= MOST_KEYS else sorted({keys, keys - 1, 1, 0}, reverse=True)
    return [kept for size in sizes for kept in combinations(every, size)]


def _numbers(facts: Recomputed, cell: Array, subject: Array, columns: Sequence[Array]) -> Iterator[Number]:
    seen: set[tuple[int, bytes, bytes]] = set()
    for kept in levels(len(facts.keys)):
        for number in _level(facts, kept, cell, subject, columns):
            # A margin over a key with one value is the cell itself.
            same = (number.column, number.subjects.tobytes(), number.totals.tobytes())
            if len(number.subjects) and not (number.margin and same in seen):
                seen.add(same)
                yield number


def _level(
    facts: Recomputed, kept: tuple[int, ...], cell: Array, subject: Array, columns: Sequence[Array]
) -> Iterator[Number]:
    """Sum the cells of each group of a level, subject by subject."""
    import numpy as np

    names = [_kept(one.key, kept) for one in facts.cells]
    groups = {name: place for place, name in enumerate(dict.fromkeys(names))}
    group_of = np.array([groups[name] for name in names], dtype=np.int64)
    if not len(group_of):
        return
    pairs, place = np.unique((group_of[cell] << 32) | subject, return_inverse=True)
    group, who = pairs >> 32, (pairs & 0xFFFFFFFF).astype(np.uint32)
    bounds = np.searchsorted(group, np.arange(len(groups) + 1))
    margin = len(kept) < len(facts.keys)
    for column, values in enumerate(columns):
        valued = ~np.isnan(values)
        sums = np.bincount(place[valued], weights=values[valued], minlength=len(pairs)).astype(np.float64)
        some = np.bincount(place[valued], minlength=len(pairs)) > 0
        for name, number in groups.items():
            start, end = int(bounds[number]), int(bounds[number + 1])
            chosen = some[start:end]
            yield Number(name, margin, column, who[start:end][chosen], sums[start:end][chosen])


def _kept(key: Key, kept: tuple[int, ...]) -> Key:
    return tuple(value if place in kept else SUMMED for place, value in enumerate(key))
