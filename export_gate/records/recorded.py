"""A table as the gate remembers it: its numbers' heads, their sets and their totals, each in a compact form of its own.

Heads are read at every comparison, so they are small and stand apart. Sets are Roaring bitmaps (Lemire and others,
arXiv 1709.07821), about two bytes a subject or less. Totals are opened only where sets are near.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export_gate.records.published import ROWS, Published
from export_gate.records.sketch import HEAD, parity
from export_gate.records.unions import Held
from export_gate.records.vectors import Key, Number
from lineage.errors import MissingPartError


if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pyroaring import BitMap

    Heads = NDArray[Any]

__all__ = [
    "ROWS",
    "Blobs",
    "Contents",
    "Published",
    "Recorded",
    "heads_from",
    "heads_of",
    "held_of",
    "print_of",
    "to_blobs",
]

_LENGTH = 8


@dataclass(frozen=True)
class Recorded:
    """Whom the numbers of one table depend on, for one universe of subjects."""

    universe: str
    columns: tuple[Published, ...]
    numbers: tuple[Number, ...]

    def __post_init__(self) -> None:
        """Refuse numbers of aggregates that are not there."""
        if not self.universe or any(not 0 <= one.column < len(self.columns) for one in self.numbers):
            raise MissingPartError("records.not-a-vector")


@dataclass(frozen=True)
class Blobs:
    """A recorded table as bytes, to be sealed."""

    head: bytes
    sets: bytes
    totals: bytes


def heads_of(record: Recorded) -> Heads:
    """Give the head of each number."""
    import numpy as np

    heads = np.zeros(len(record.numbers), np.dtype(list(HEAD)))
    of = _set_numbers(record)
    bits: dict[int, Any] = {}
    for place, one in enumerate(record.numbers):
        question = int(record.columns[one.column].question, 16)
        if of[place] not in bits:
            bits[of[place]] = parity(one.subjects)
        told = (len(one.subjects), one.column, one.margin, question, print_of(one), of[place], 0, bits[of[place]])
        heads[place] = told
    return heads


def _set_numbers(record: Recorded) -> list[int]:
    """Number the different sets of a table, in order: the numbers of one cell mostly depend on the same subjects."""
    places: dict[bytes, int] = {}
    return [places.setdefault(one.subjects.tobytes(), len(places)) for one in record.numbers]


def held_of(record: Recorded) -> list[Held]:
    """Give each set of a table with the numbers that it stands behind."""
    numbers: dict[int, list[int]] = {}
    for place, one in enumerate(_set_numbers(record)):
        numbers.setdefault(one, []).append(place)
    return [
        Held(
            record.numbers[places[0]].subjects,
            all(record.numbers[place].margin for place in places),
            {place: record.columns[record.numbers[place].column] for place in places},
        )
        for places in numbers.values()
    ]


def print_of(number: Number) -> int:
    """Give 64 bits that are equal for equal vectors, and else only by chance."""
    digest = hashlib.sha256(number.subjects.astype("<u4").tobytes())
    digest.update(number.totals.astype("<f8").tobytes())
    return int.from_bytes(digest.digest()[:8])


def to_blobs(record: Recorded) -> Blobs:
    """Write a recorded table as bytes."""
    import numpy as np

    # Each set is kept once.
    heads = heads_of(record)
    _, first = np.unique(heads["set"], return_index=True)
    sets = [_bitmap(record.numbers[place].subjects).serialize() for place in first.tolist()]
    header = json.dumps(
        {
            "columns": [[one.name, one.question, sorted(one.sources)] for one in record.columns],
            "keys": [list(one.key) for one in record.numbers],
            "sizes": [len(one) for one in sets],
        },
        ensure_ascii=False,
    ).encode()
    totals = [one.totals.astype("<f8") for one in record.numbers]
    return Blobs(
        head=heads.tobytes(),
        sets=len(header).to_bytes(_LENGTH) + header + b"".join(sets),
        totals=zlib.compress(np.concatenate(totals).tobytes() if totals else b"", 1),
    )


def heads_from(data: bytes) -> Heads:
    """Read heads back."""
    import numpy as np

    return np.frombuffer(data, np.dtype(list(HEAD)))


class Contents:
    """The sets of a recorded table, opened; its totals are opened when the first is asked for."""

    def __init__(self, heads: Heads, sets: bytes, totals: Any) -> None:
        import numpy as np

        start = _LENGTH + int.from_bytes(sets[:_LENGTH])
        header = json.loads(sets[_LENGTH:start])
        self.columns = tuple(Published(name, text, frozenset(of)) for name, text, of in header["columns"])
        self._heads, self._sets, self._totals = heads, sets, totals
        self._keys: Sequence[Sequence[Any]] = header["keys"]
        self._bounds = start + np.concatenate([[0], np.cumsum(header["sizes"])]).astype(np.int64)
        self._ends = np.cumsum(heads["size"].astype(np.int64))
        self._opened: Any = None

    def bitmap(self, place: int) -> BitMap:
        """Give the set behind a number."""
        from pyroaring import BitMap

        number = int(self._heads[place]["set"])
        start, end = self._bounds[number : number + 2]
        return BitMap.deserialize(self._sets[start:end])

    def column(self, place: int) -> Published:
        """Give the aggregate that a number is of."""
        return self.columns[int(self._heads[place]["column"])]

    def held(self) -> list[Held]:
        """Give each set with the numbers that it stands behind."""
        import numpy as np

        numbers: dict[int, list[int]] = {}
        for place, one in enumerate(self._heads["set"].tolist()):
            numbers.setdefault(one, []).append(place)
        held = []
        for places in numbers.values():
            subjects = np.asarray(self.bitmap(places[0]).to_array(), dtype=np.uint32)
            margin = bool(self._heads["margin"][places].all())
            held.append(Held(subjects, margin, {place: self.column(place) for place in places}))
        return held

    def key(self, place: int) -> Key:
        """Give the key of a number."""
        return tuple(self._keys[place])

    def numbers(self) -> Iterator[Number]:
        """Give every number."""
        yield from (self.number(place) for place in range(len(self._heads)))

    def number(self, place: int) -> Number:
        """Give a number whole."""
        import numpy as np

        if self._opened is None:
            self._opened = np.frombuffer(zlib.decompress(self._totals()), "<f8")
        head, end = self._heads[place], int(self._ends[place])
        subjects = np.asarray(self.bitmap(place).to_array(), dtype=np.uint32)
        totals = self._opened[end - int(head["size"]) : end]
        return Number(self.key(place), bool(head["margin"]), int(head["column"]), subjects, totals)


def _bitmap(subjects: Any) -> BitMap:
    from pyroaring import BitMap

    found = BitMap(subjects)
    found.run_optimize()
    return found
