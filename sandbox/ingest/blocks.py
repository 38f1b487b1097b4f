"""Raw cells in columns, the form in which every text reader hands on its records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias


if TYPE_CHECKING:
    import pyarrow as pa

Cell: TypeAlias = "str | None"

COLUMN_CAP = 2000
"""Columns of the widest table; beyond it a file has lost its line ends or its delimiter."""


@dataclass(frozen=True)
class Block:
    """Some records in the order of the file.

    Attributes:
        lines: the physical line each record starts on, from 1.
        columns: one array of texts a column, each as long as ``lines``.
    """

    lines: Sequence[int]
    columns: Sequence[pa.Array]

    def __post_init__(self) -> None:
        """Refuse columns that do not belong together: a shifted cell would be another person's."""
        if any(len(column) != len(self.lines) for column in self.columns):
            raise ValueError("columns of different lengths")


def block(lines: Sequence[int], records: Sequence[Sequence[Cell]]) -> Block:
    """Turn records into columns."""
    import pyarrow as pa

    return Block(lines, [pa.array(cells, pa.string()) for cells in zip(*records, strict=True)])
