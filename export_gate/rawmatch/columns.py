"""Values that were split over rows or columns, put together again: each column from top to bottom, and columns in pairs (B2)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations


_DELIMITERS = "\t,;|"
_MOST_PAIRED = 8
_MOST_PAIRED_CELLS = 100_000
_MOST_COLUMNS = 300
_DEEPEST = 100

Columns = Mapping[str, Sequence[str]]


def join_columns(data: bytes) -> Iterator[bytes]:
    """Give each column's values, and its digits after the point, joined from top to bottom; then each pair of columns row by row."""
    columns = read_columns(data)
    for values in columns.values():
        yield "".join(values).encode()
        fractions = [value.partition(".")[2] for value in values]
        if any(fractions):
            yield "".join(fractions).encode()
    cells = sum(map(len, columns.values()))
    if 2 < len(columns) <= _MOST_PAIRED and cells <= _MOST_PAIRED_CELLS:
        for one, two in permutations(columns.values(), 2):
            yield "\n".join(left + right for left, right in zip(one, two, strict=False)).encode()


def read_columns(data: bytes) -> Columns:
    """Read a text as a table: JSON, JSON lines, or lines with a delimiter; no columns when it is none of them."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return {}
    if "\0" in text:
        return {}
    return _from_json(text) or _from_lines(text)


def _from_json(text: str) -> dict[str, list[str]]:
    if text.lstrip()[:1] not in {"{", "["}:
        return {}
    found: dict[str, list[str]] = {}
    try:
        _collect(json.loads(text), "", found, 0)
    except (ValueError, RecursionError):
        found.clear()
        try:
            for line in text.splitlines():
                if line.strip():
                    _collect(json.loads(line), "", found, 0)
        except (ValueError, RecursionError):
            return {}
    return found


def _collect(value: object, path: str, into: dict[str, list[str]], depth: int) -> None:
    """Lay every value under its path, in which places of lists do not count: a list of records is a table."""
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            _collect(inner, f"{path}/{name}", into, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, path, into, depth + 1)
    elif value is not None:
        into.setdefault(path, []).append(str(value))


def _from_lines(text: str) -> dict[str, list[str]]:
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    except csv.Error:
        return {}
    width = len(rows[0]) if rows else 0
    if len(rows) < 2 or not 1 <= width <= _MOST_COLUMNS:
        return {}
    names = [f"{place}/{name}" for place, name in enumerate(rows[0])]
    return {name: [row[place] for row in rows[1:] if place < len(row)] for place, name in enumerate(names)}
