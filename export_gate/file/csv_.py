"""CSV as RFC 4180 has it, and nothing that another reader would read otherwise (B20)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from export_gate.file.canonical import Table, sort_rows
from export_gate.file.cells import Cell, Column
from export_gate.file.counting import check_count
from export_gate.file.limits import MOST_LINE_CHARACTERS
from export_gate.file.problem import unreadable
from export_gate.file.text import decode


def read_csv(data: bytes, columns: Sequence[Column]) -> Table:
    """Read a table with a header; columns that nobody declared are left out.

    Raises:
        UnreadableError: its quotes, its width, a value or its size is not what it should be.
    """
    csv.field_size_limit(MOST_LINE_CHARACTERS)
    reader = csv.reader(io.StringIO(decode(data), newline=""), strict=True)
    try:
        rows = list(_rows(reader, columns))
    except csv.Error as error:
        raise unreadable("file.bad-csv", reader.line_num) from error
    return Table(tuple(columns), sort_rows(columns, rows))


def _rows(reader: Iterator[list[str]], columns: Sequence[Column]) -> Iterator[tuple[Cell, ...]]:
    header = next(reader, [])
    if any(header.count(column.name) != 1 for column in columns):
        raise unreadable("file.columns-missing", 1)
    places = [header.index(column.name) for column in columns]
    # Only a table of one column can mean a missing value by an empty line.
    for number, given in enumerate(reader, 1):
        check_count(number, len(columns))
        if len(given) != len(header) and not (len(header) == 1 and not given):
            raise unreadable("file.bad-csv", number + 1)
        yield tuple(
            column.cell(given[place] if given else None, number + 1)
            for column, place in zip(columns, places, strict=True)
        )
