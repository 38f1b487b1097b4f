"""JSON lines: one flat object a line (RFC 8259, and RFC 7493 for what it leaves open: no name twice, no number that is none)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from export_gate.file.canonical import Table, sort_rows
from export_gate.file.cells import Cell, Column
from export_gate.file.counting import check_count
from export_gate.file.limits import MOST_LINE_CHARACTERS
from export_gate.file.problem import unreadable
from export_gate.file.text import decode


def read_json_lines(data: bytes, columns: Sequence[Column]) -> Table:
    """Read a table; names that nobody declared are left out, a declared one that a line lacks is a missing value.

    Raises:
        UnreadableError: a line is no flat object, a value or the size is not what it should be, or no line has a declared column.
    """
    rows = list(_rows(decode(data), columns))
    return Table(tuple(columns), sort_rows(columns, rows))


def _rows(text: str, columns: Sequence[Column]) -> Iterator[tuple[Cell, ...]]:
    names = {column.name for column in columns}
    seen: set[str] = set()
    for line, written in enumerate(text.removesuffix("\n").split("\n"), 1):
        check_count(line, len(columns))
        found = _object(written, line)
        seen |= names & found.keys()
        yield tuple(column.cell(found.get(column.name), line) for column in columns)
    if seen != names:
        raise unreadable("file.columns-missing", 1)


def _object(written: str, line: int) -> dict[str, Any]:
    if len(written) > MOST_LINE_CHARACTERS:
        raise unreadable("file.long-line", line)
    try:
        found = json.loads(written, object_pairs_hook=_once, parse_float=Decimal, parse_constant=_no_number)
    # A line of open brackets is a RecursionError, an integer of ten thousand digits a ValueError.
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise unreadable("file.bad-json-line", line) from error
    if not isinstance(found, dict) or any(isinstance(value, dict | list) for value in found.values()):
        raise unreadable("file.bad-json-line", line)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice: readers differ on which counts")
    return found


def _no_number(_: str) -> NoReturn:
    raise ValueError("not a number")
