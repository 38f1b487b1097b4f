"""What a number of a table depends on: the subjects behind it and what each of them adds (law 4).

A published count, sum or mean is a sum over subjects, so it is known by a sparse vector: subject numbers, and each one's total. Two
numbers tell apart exactly those subjects in whom their vectors, or multiples of them, differ.

The worker makes the vectors in its jail. They cross its wall as plain arrays, and are checked here before anything is made of them.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lineage.errors import MissingPartError


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Subjects = NDArray[np.uint32]
    Totals = NDArray[np.float64]

Key = tuple[str | int | None, ...]

SHAPE = "shuzha-records-1"
SUMMED = "*"
"""Stands in a margin for a key that was summed over; a key's own value ``*`` is told from it by ``Number.margin``."""
_MOST_BYTES = 4 << 30


@dataclass(frozen=True, eq=False)
class Number:
    """One number of a table, or of one of its margins.

    Attributes:
        key: values of the table's keys; ``*`` in a margin for those that were summed over.
        margin: whether it is a sum of cells that anybody can make, and not a cell.
        column: which aggregate of the table it is.
        subjects: ``(n,)`` uint32, numbers of the subjects with a value, ascending, each once.
        totals: ``(n,)`` float64, what each of them adds: its rows, its sum, its distinct values.
    """

    key: Key
    margin: bool
    column: int
    subjects: Subjects
    totals: Totals

    def __post_init__(self) -> None:
        """Refuse what is no vector: a check of it would mean nothing (law 7)."""
        import numpy as np

        ascending = bool(np.all(self.subjects[1:] > self.subjects[:-1]))
        if self.subjects.shape != self.totals.shape or not ascending or not np.isfinite(self.totals).all():
            raise MissingPartError("records.not-a-vector")


def numbers_of(name: str) -> str:
    """Name the folder of an input's subject numbers in the worker's jail; no input can have this name."""
    return f"{name}.numbers"


def to_wire(numbers: Sequence[Number]) -> dict[str, Any]:
    """Write numbers as plain JSON values, arrays as base64 of zlib of their little-endian bytes."""
    import numpy as np

    subjects = [number.subjects.astype("<u4") for number in numbers]
    totals = [number.totals.astype("<f8") for number in numbers]
    return {
        "shape": SHAPE,
        "numbers": [[list(one.key), one.margin, one.column, len(one.subjects)] for one in numbers],
        "subjects": _packed(np.concatenate(subjects).tobytes() if subjects else b""),
        "totals": _packed(np.concatenate(totals).tobytes() if totals else b""),
    }


def from_wire(wire: Mapping[str, Any]) -> tuple[Number, ...]:
    """Read what :func:`to_wire` wrote.

    Raises:
        MissingPartError: it is something else: without record sets a table is not compared, so not checked (law 7).
    """
    try:
        return _read(wire)
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise MissingPartError("records.not-a-vector") from error


def _read(wire: Mapping[str, Any]) -> tuple[Number, ...]:
    import numpy as np

    told = [(tuple(key), bool(margin), int(column), int(size)) for key, margin, column, size in wire["numbers"]]
    if wire["shape"] != SHAPE or any(size < 0 for *_, size in told):
        raise ValueError("not record sets")
    count = sum(size for *_, size in told)
    subjects = np.frombuffer(_unpacked(wire["subjects"], 4 * count), "<u4")
    totals = np.frombuffer(_unpacked(wire["totals"], 8 * count), "<f8")
    ends = np.cumsum([size for *_, size in told], dtype=np.int64)
    return tuple(
        Number(key, margin, column, subjects[end - size : end], totals[end - size : end])
        for (key, margin, column, size), end in zip(told, ends.tolist(), strict=True)
    )


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 1)).decode("ascii")


def _unpacked(text: str, size: int) -> bytes:
    """Unpack at most what was announced: a small text must not become all of memory."""
    if not 0 <= size <= _MOST_BYTES:
        raise ValueError("more than fits")
    unpacking = zlib.decompressobj()
    # One byte more than announced: 0 would mean without limit.
    data = unpacking.decompress(base64.b64decode(text, validate=True), size + 1)
    if len(data) != size or not unpacking.eof:
        raise ValueError("other than announced")
    return data
