"""The numbers of one product, as it was released: what charts are drawn from and reports are filled from, and nothing besides."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lineage.errors import DefinitionError


MOST_ROWS = 2000
_NUMBER = re.compile(r"-?\d{1,28}(\.\d{1,9})?")


@dataclass(frozen=True)
class Numbers:
    """A small table: column names, and rows of texts exactly as released; None where nothing was told."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]

    def __post_init__(self) -> None:
        """Refuse a crooked table, and one that is too large for a picture or a page."""
        if len(set(self.columns)) != len(self.columns) or any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("every row has a value or None for each column")
        if len(self.rows) > MOST_ROWS:
            raise DefinitionError("chart.too-many-rows", rows=len(self.rows), most=MOST_ROWS)

    @classmethod
    def from_csv(cls, data: bytes) -> Numbers:
        """Read the canonical CSV that the gate wrote; an empty field is one that was not told."""
        columns, *rows = csv.reader(io.StringIO(data.decode("utf-8"), newline=""))
        return cls(tuple(columns), tuple(tuple(value or None for value in row) for row in rows))

    @classmethod
    def from_json(cls, value: Mapping[str, Sequence[Any]]) -> Numbers:
        """Read what :attr:`json` wrote, or a lane's own table."""
        rows = (tuple(None if one is None else str(one) for one in row) for row in value["rows"])
        return cls(tuple(value["columns"]), tuple(rows))

    @property
    def json(self) -> dict[str, list[Any]]:
        """Plain values, to cross the wall of the jail."""
        return {"columns": list(self.columns), "rows": [list(row) for row in self.rows]}

    def records(self) -> list[dict[str, str | float | None]]:
        """Give the rows for the drawing engine, columns named by place; a column of numbers alone is one of numbers."""
        numeric = [self._numeric(place) for place in range(len(self.columns))]
        return [
            {
                f"c{place}": float(value) if value is not None and numeric[place] else value
                for place, value in enumerate(row)
            }
            for row in self.rows
        ]

    def _numeric(self, place: int) -> bool:
        return all(row[place] is None or _NUMBER.fullmatch(str(row[place])) for row in self.rows)

    def cell(self, column: str, keys: Mapping[str, str]) -> str | None:
        """Give one value: that of the only row in which every key has the value named.

        Raises:
            DefinitionError: no such column, or not exactly one such row.
        """
        unknown = {column, *keys} - set(self.columns)
        if unknown:
            raise DefinitionError("report.no-such-column", columns=", ".join(self.columns)[:200])
        places = {self.columns.index(name): value for name, value in keys.items()}
        found = [row for row in self.rows if all(row[place] == value for place, value in places.items())]
        if len(found) != 1:
            raise DefinitionError("report.no-such-cell", column=column, rows=len(found))
        return found[0][self.columns.index(column)]
