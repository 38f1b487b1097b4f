"""Finding the few earlier sets that can be near a new one, without opening any of them.

A set is sketched by 256 parity bits: each subject falls into one of 256 buckets, and a bit says whether its bucket holds an odd
number. A subject more or less turns one bit, so two sets that differ in fewer than k subjects differ in fewer than k bits and in
fewer than k in size. The test never misses a near pair; sets that are far apart pass it about never, and are looked at exactly then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Subjects = NDArray[np.uint32]
    Heads = NDArray[Any]

HEAD: tuple[tuple[str, str] | tuple[str, str, tuple[int, ...]], ...] = (
    ("size", "<u4"),
    ("column", "<u2"),
    ("margin", "<u2"),
    ("question", "<u8"),
    ("print", "<u8"),
    ("set", "<u4"),
    ("spare", "<u4"),
    ("parity", "<u8", (4,)),
)
"""What is known of a number before its set is opened, 64 bytes: subjects, aggregate, whether a margin, digests, its set, parity bits."""


def parity(subjects: Subjects) -> NDArray[np.uint64]:
    """Give the parity bits of a set, ``(4,)`` uint64."""
    import numpy as np

    # Numbers are dense, and whoever was registered together sits together: mixed, so that buckets fill evenly.
    mixed = subjects.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    odd = np.bincount((mixed >> np.uint64(56)).astype(np.int64), minlength=256) & 1
    return np.packbits(odd.astype(np.uint8), bitorder="little").view("<u8")


class Index:
    """The sets of earlier numbers, sorted by size for looking up; numbers of one table with one set stand for one."""

    def __init__(self, heads: Heads, owners: NDArray[np.int64]) -> None:
        import numpy as np

        # Two tables have no set in common here, even if they are equal: sets are numbered within a table.
        names = (owners << 32) | heads["set"].astype(np.int64)
        self._numbers = np.argsort(names, kind="stable")
        starts = np.flatnonzero(np.diff(names[self._numbers], prepend=-1))
        self._bounds = np.append(starts, len(names))
        sets = heads[self._numbers[starts]]
        self._order = np.argsort(sets["size"], kind="stable")
        self._sizes = sets["size"][self._order].astype(np.int64)
        self._parity = sets["parity"][self._order]
        self._first = np.ascontiguousarray(self._parity[:, 0])

    def near(self, size: int, bits: NDArray[np.uint64], less_than: int) -> NDArray[np.int64]:
        """Give the places of all numbers whose sets may differ in fewer than ``less_than`` subjects from a set."""
        import numpy as np

        start = int(np.searchsorted(self._sizes, size - less_than, side="right"))
        end = int(np.searchsorted(self._sizes, size + less_than, side="left"))
        # The first 64 bits alone rule nearly everything out; the others are looked at for what is left.
        few = start + np.flatnonzero(np.bitwise_count(self._first[start:end] ^ bits[0]) < less_than)
        turned = np.bitwise_count(self._parity[few] ^ bits).sum(axis=1)
        sets = self._order[few[turned < less_than]]
        found = [self._numbers[self._bounds[one] : self._bounds[one + 1]] for one in sets.tolist()]
        return np.concatenate([np.zeros(0, dtype=np.int64), *found])
