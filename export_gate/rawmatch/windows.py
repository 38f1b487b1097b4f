"""Many identifiers at once in much text: an index of eight-byte windows, compared by whole columns.

An Aho–Corasick automaton gives the same matches (a property test holds this one to it), but it needs some 700 bytes a pattern and is
built anew for each check; a city of millions would not fit into the gate's jail. Here a pattern costs some 50 bytes, and building is a
sort. Of each pattern the windows at ``stride`` neighbouring places are kept, so that looking at every ``stride``-th place of the text
is enough (Navarro and Raffinot, Flexible Pattern Matching in Strings, 2002, chapter 3, on searching for factors).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]
    Places = NDArray[np.int64]

WINDOW = 8
"""Shortest pattern, in bytes."""
_MULTIPLIER = 0x9E3779B97F4A7C15
_CHUNK = 1 << 17
_STRIDE = 4
_MOST_STRIDED = 300_000
_SMALLEST_SIEVE, _LARGEST_SIEVE = 14, 25


@dataclass(frozen=True, eq=False)
class Group:
    """Patterns of one length: their bytes ``(patterns, length)``, who they are, and the sorted windows with their owners and places."""

    bytes: NDArray[np.uint8]
    owners: Places
    windows: Words
    rows: Places
    shifts: Places

    @property
    def length(self) -> int:
        """Bytes of each pattern."""
        return int(self.bytes.shape[1])


@dataclass(frozen=True, eq=False)
class Index:
    """An index over patterns; ``sieve`` says of a window's hash whether any pattern has it."""

    groups: tuple[Group, ...]
    stride: int
    sieve: NDArray[np.bool_]
    windows: Words


@dataclass(frozen=True)
class Hits:
    """What was found in one text: owner and place of each match; ``complete`` is false when there were more than could be compared."""

    owners: Places
    places: Places
    complete: bool


def build(patterns: Sequence[bytes], owners: Sequence[int] | None = None) -> Index | None:
    """Index patterns of at least eight bytes; ``owners`` are what a match is reported as, the place in the sequence by default.

    Patterns that are too short are left out; None when nothing is left.
    """
    import numpy as np

    names = range(len(patterns)) if owners is None else owners
    by_length: dict[int, tuple[list[bytes], list[int]]] = {}
    for pattern, owner in zip(patterns, names, strict=True):
        kept, known = by_length.setdefault(len(pattern), ([], []))
        kept.append(pattern)
        known.append(owner)
    return build_groups(
        (np.frombuffer(b"".join(kept), dtype=np.uint8).reshape(-1, length), np.array(known, dtype=np.int64))
        for length, (kept, known) in sorted(by_length.items())
        if length
    )


def build_groups(groups: Iterable[tuple[NDArray[np.uint8], Places]]) -> Index | None:
    """Index patterns given as matrices ``(patterns, length)`` with their owners; too short ones are left out, as in ``build``."""
    import numpy as np

    long = [(matrix, owners) for matrix, owners in groups if matrix.shape[1] >= WINDOW and len(matrix)]
    if not long:
        return None
    count, shortest = sum(len(matrix) for matrix, _ in long), min(matrix.shape[1] for matrix, _ in long)
    stride = min(_STRIDE, shortest - WINDOW + 1) if count <= _MOST_STRIDED else 1
    made = tuple(_group(matrix, owners, stride) for matrix, owners in long)
    windows = np.unique(np.concatenate([group.windows for group in made]))
    # Some 30 places a window: one in 30 of the others is looked up in vain.
    bits = min(max(len(windows).bit_length() + 5, _SMALLEST_SIEVE), _LARGEST_SIEVE)
    sieve = np.zeros(1 << bits, dtype=bool)
    sieve[_slots(windows, bits)] = True
    return Index(made, stride, sieve, windows)


def _group(matrix: NDArray[np.uint8], owners: Places, stride: int) -> Group:
    import numpy as np

    length = matrix.shape[1]
    # The last windows: identifiers of one place or time begin alike.
    shifts = np.arange(length - WINDOW, length - WINDOW - stride, -1)
    words = np.concatenate([np.ascontiguousarray(matrix[:, at : at + WINDOW]).view("<u8").ravel() for at in shifts])
    order = np.argsort(words, kind="stable")
    rows = np.tile(np.arange(len(matrix)), stride)[order]
    return Group(matrix, owners, words[order], rows, np.repeat(shifts, len(matrix))[order])


def _slots(words: Words, bits: int) -> NDArray[np.int64]:
    import numpy as np

    mixed = words * np.uint64(_MULTIPLIER)
    mixed >>= np.uint64(64 - bits)
    return mixed.view(np.int64)


def find(index: Index, text: bytes, most: int) -> Hits:
    """Find the patterns in a text; at most ``most`` places are compared in full.

    Returns:
        Matches in no particular order; one pattern may be found at many places.
    """
    import numpy as np

    data = np.frombuffer(text, dtype=np.uint8)
    owners: list[Places] = []
    places: list[Places] = []
    left = most
    for found in _candidates(index, data):
        for group in index.groups:
            rows, starts, enough = _pairs(group, data, found, left)
            left -= len(rows)
            if len(rows):
                same = _equal(group, data, rows, starts)
                owners.append(group.owners[rows[same]])
                places.append(starts[same])
            if not enough or left <= 0:
                return Hits(_joined(owners), _joined(places), complete=False)
    return Hits(_joined(owners), _joined(places), complete=True)


def _joined(parts: list[Places]) -> Places:
    import numpy as np

    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def _candidates(index: Index, data: NDArray[np.uint8]) -> Iterator[Places]:
    """Give the places at which some pattern's window stands."""
    import numpy as np

    step, bits = _CHUNK * index.stride, len(index.sieve).bit_length() - 1
    for start in range(0, len(data) - WINDOW + 1, step):
        part = data[start : start + step + WINDOW - 1]
        count = (len(part) - WINDOW) // index.stride + 1
        words = np.ndarray((count,), "<u8", part, strides=(index.stride,))
        places = np.flatnonzero(index.sieve[_slots(words, bits)])
        if len(places):
            exact = np.searchsorted(index.windows, words[places])
            exact[exact == len(index.windows)] = 0
            yield start + places[index.windows[exact] == words[places]] * index.stride


def _pairs(group: Group, data: NDArray[np.uint8], found: Places, most: int) -> tuple[Places, Places, bool]:
    """Give each pattern of a group that has the window at a place, with where it would begin; false when there are too many."""
    import numpy as np

    words = np.ndarray((len(data) - WINDOW + 1,), "<u8", data, strides=(1,))[found]
    low, high = np.searchsorted(group.windows, words, "left"), np.searchsorted(group.windows, words, "right")
    counts = high - low
    total = int(counts.sum())
    if total > most:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), False
    before = np.repeat(np.cumsum(counts) - counts, counts)
    entries = np.arange(total) - before + np.repeat(low, counts)
    starts = np.repeat(found, counts) - group.shifts[entries]
    inside = (starts >= 0) & (starts <= len(data) - group.length)
    return group.rows[entries[inside]], starts[inside], True


def _equal(group: Group, data: NDArray[np.uint8], rows: Places, starts: Places) -> NDArray[np.bool_]:
    import numpy as np

    same = np.ones(len(rows), dtype=bool)
    for place in range(group.length):
        same &= data[starts + place] == group.bytes[rows, place]
    return same


def owners_by_count(hits: Hits) -> Mapping[int, int]:
    """Count the places of each owner that was found."""
    import numpy as np

    names, counts = np.unique(hits.owners, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))
