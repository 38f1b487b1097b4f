"""Comparing a table with everything told before of the same people: differences of fewer subjects than the minimum (law 4).

Three searches, the first two over every pair of a new number and an earlier one, margins of tables included:

* **by subjects**: two related numbers about sets that differ in fewer than ``minimum`` subjects; one minus the other is about those;
* **by totals**: about nearly the same subjects, but some multiple of the earlier numbers, taken from the new ones, leaves something
  in fewer than ``minimum`` subjects: a table again after a change of few rows, one visit left out, all costs doubled and one not.

* **by unions**: a number of one table about nearly the same subjects as some cells of another, put together.

An equal vector tells nothing new. What is not searched: sums of numbers of three and more separate releases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from export_gate.records.recorded import Contents, Recorded, heads_of, held_of
from export_gate.records.sketch import Index
from export_gate.records.unions import MOST_TABLES, nearest, partitions
from export_gate.records.vectors import Key, Number
from export_gate.table.difference import smallest_support


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Heads = NDArray[Any]

MOST_LOOKS = 2_000_000
"""More pairs than this to be looked at exactly are not looked at: the check then says that it could not (law 7)."""
MOST_COLUMNS = 15
"""Earlier numbers that are combined at a time; more of them are combined in turns."""


@dataclass(frozen=True, eq=False)
class Earlier:
    """What was told before: heads of all numbers, whose they are, and how a table is opened.

    Attributes:
        heads: ``(n,)`` array of heads.
        owners: ``(n,)`` int64, the table of each number.
        first: ``(tables,)`` int64, where the numbers of each table begin.
        open: gives the contents of a table.
    """

    heads: Heads
    owners: NDArray[np.int64]
    first: NDArray[np.int64]
    open: Callable[[int], Contents]


@dataclass(frozen=True)
class Difference:
    """A new number and an earlier one that tell few subjects apart; ``how`` is ``subjects``, ``totals`` or ``unions`` of cells."""

    key: Key
    column: str
    table: int
    earlier_key: Key
    earlier_column: str
    how: str
    apart: int


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        differences: what must not be told.
        repeated: names of new columns that repeat an earlier number of another question, vector for vector.
        looks: pairs that were looked at exactly.
        complete: whether all of them were.
        unions: earlier tables whose cells were put together, and the new ones for them.
    """

    differences: tuple[Difference, ...]
    repeated: tuple[str, ...]
    looks: int
    complete: bool
    unions: int = 0


@dataclass
class _Search:
    """A running comparison."""

    new: Recorded
    earlier: Earlier
    minimum: int
    found: list[Difference] = field(default_factory=list)
    repeated: set[str] = field(default_factory=set)
    # By what the vector is: a table that was released monthly without a change counts once.
    near: dict[tuple[Key, bool], dict[int, tuple[int, int]]] = field(default_factory=lambda: defaultdict(dict))


def compare(new: Recorded, earlier: Earlier, minimum: int) -> Comparison:
    """Compare a table with what was told before.

    Args:
        new: the table.
        earlier: earlier tables of the same universe.
        minimum: fewest subjects that a difference may be about.
    """
    search = _Search(new, earlier, minimum)
    looks = _candidates(search)
    count = sum(len(one) for one in looks.values())
    if count > MOST_LOOKS:
        return Comparison((), tuple(sorted(search.repeated)), 0, complete=False)
    for table, pairs in sorted(looks.items()):
        _look(search, table, earlier.open(table), pairs)
    unions = _unions(search)
    opened: dict[int, Contents] = {}
    for (key, margin), olds in sorted(search.near.items(), key=repr):
        news = [one for one in new.numbers if (one.key, one.margin) == (key, margin)]
        _combine(search, news, list(olds.values()), opened)
    return Comparison(tuple(search.found), tuple(sorted(search.repeated)), count, complete=True, unions=unions)


def _unions(search: _Search) -> int:
    """Look at unions of cells, of either side, with the newest tables first; gives how many tables were looked at."""
    news = held_of(search.new)
    parts = list(partitions(news))
    tables = range(len(search.earlier.first) - 1, -1, -1)[:MOST_TABLES]
    for table in tables:
        contents = search.earlier.open(table)
        olds = contents.held()
        between = [(new, old, n) for old, new, n in nearest(olds, parts, search.minimum)]
        between += nearest(news, list(partitions(olds)), search.minimum)
        for new, old, apart in between:
            number = search.new.numbers[new]
            names = search.new.columns[number.column].name, contents.column(old).name
            search.found.append(Difference(number.key, names[0], table, contents.key(old), names[1], "unions", apart))
    return len(tables)


def _candidates(search: _Search) -> Mapping[int, list[tuple[int, int]]]:
    """Find, by table, the pairs (new number, earlier number) that may be near; an equal vector is not looked at."""
    heads, index = heads_of(search.new), Index(search.earlier.heads, search.earlier.owners)
    asked: dict[bytes, Any] = {}
    looks: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for place, head in enumerate(heads):
        # Numbers of one cell mostly share one set: it is looked up once.
        known = head["size"].tobytes() + head["parity"].tobytes()
        if known not in asked:
            asked[known] = index.near(int(head["size"]), head["parity"], search.minimum)
        others = search.earlier.heads[asked[known]]
        equal = others["print"] == head["print"]
        again = equal & (others["question"] != head["question"]) & (others["margin"] == 0)
        if not head["margin"] and again.any():
            search.repeated.add(search.new.columns[int(head["column"])].name)
        for old in asked[known][~equal].tolist():
            looks[int(search.earlier.owners[old])].append((place, int(old)))
    return looks


def _look(search: _Search, table: int, contents: Contents, pairs: Sequence[tuple[int, int]]) -> None:
    """Look at the pairs of one earlier table: how many subjects are in one set only?"""
    first = int(search.earlier.first[table])
    apart: dict[tuple[bytes, int], int] = {}
    for place, old in pairs:
        number = search.new.numbers[place]
        pair = number.subjects.tobytes(), old
        if pair not in apart:
            apart[pair] = _apart(number, contents, old - first)
        if apart[pair] >= search.minimum:
            continue
        column, other = search.new.columns[number.column], contents.column(old - first)
        if apart[pair] and column.sources & other.sources:
            search.found.append(
                Difference(
                    number.key,
                    column.name,
                    table,
                    contents.number(old - first).key,
                    other.name,
                    "subjects",
                    apart[pair],
                )
            )
        else:
            search.near[number.key, number.margin][int(search.earlier.heads[old]["print"])] = (table, old - first)


def _apart(number: Number, contents: Contents, place: int) -> int:
    from pyroaring import BitMap

    return int(BitMap(number.subjects).symmetric_difference_cardinality(contents.bitmap(place)))


def _combine(
    search: _Search, news: Sequence[Number], olds: Sequence[tuple[int, int]], opened: dict[int, Contents]
) -> None:
    """Search the numbers of one new cell with all earlier numbers about nearly the same subjects, as many at a time as fit."""
    for start in range(0, len(olds), MOST_COLUMNS):
        turn = olds[start : start + MOST_COLUMNS]
        for table, _ in turn:
            if table not in opened:
                opened[table] = search.earlier.open(table)
        numbers = [opened[table].number(place) for table, place in turn]
        support = _support(news, numbers)
        if support < search.minimum:
            table, place = turn[0]
            names = (search.new.columns[news[0].column].name, opened[table].column(place).name)
            search.found.append(Difference(news[0].key, names[0], table, numbers[0].key, names[1], "totals", support))


def _support(news: Sequence[Number], olds: Sequence[Number]) -> int:
    """Give the fewest subjects that a combination of new and earlier numbers tells of; how many subjects there are counts as known."""
    import numpy as np

    every = np.unique(np.concatenate([one.subjects for one in (*news, *olds)]))
    columns = np.zeros((len(every), len(olds) + 1 + len(news)))
    columns[:, len(olds)] = 1
    for place, one in _placed(olds, news):
        columns[np.searchsorted(every, one.subjects), place] = one.totals
    wide = columns.shape[1]
    return smallest_support(columns, must=(range(len(olds)), range(len(olds) + 1, wide)))


def _placed(olds: Sequence[Number], news: Sequence[Number]) -> Iterable[tuple[int, Number]]:
    yield from enumerate(olds)
    yield from enumerate(news, start=len(olds) + 1)
