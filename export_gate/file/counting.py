"""Rows and cells counted while they are read, before they cost (E2)."""

from __future__ import annotations

from export_gate.file.limits import MOST_CELLS, MOST_ROWS
from export_gate.file.problem import unreadable


def check_count(rows: int, columns: int) -> None:
    """Check that so many rows of so many columns are within the limits.

    Raises:
        UnreadableError: ``file.too-many-rows``.
    """
    if rows > MOST_ROWS or rows * columns > MOST_CELLS:
        raise unreadable("file.too-many-rows", rows)
