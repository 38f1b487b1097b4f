"""One cell of a table in its canonical spelling, by the type that the description declares (B11, B20).

A spelling is the only one of its value: no sign of zero, no leading zero, no digits beyond the declared ones. A missing value is None,
and an empty text is a missing value.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Any

from export_gate.file.limits import MOST_CELL_CHARACTERS
from export_gate.file.problem import unreadable
from export_gate.file.text import clean


if TYPE_CHECKING:
    import pyarrow as pa

Cell = str | None

_KIND = re.compile(r"(text|integer|decimal|date|boolean)(?:\(([1-9])\))?", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,18}(?:\.0{1,18})?", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,18}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_DIGITS = 18
"""Digits before the point."""
_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
_TRUTH: Mapping[str, str] = {"true": "true", "True": "true", "false": "false", "False": "false"}


@dataclass(frozen=True)
class Column:
    """A declared column: its name, its kind, and the digits after the point of a decimal."""

    name: str
    kind: str
    digits: int = 0

    @classmethod
    def declared(cls, name: str, declaration: str) -> Column:
        """Read ``text``, ``integer``, ``decimal(2)``, ``date`` or ``boolean``.

        Raises:
            ValueError: it is none of these.
        """
        match = _KIND.fullmatch(declaration)
        if match is None or (match.group(1) == "decimal") is not (match.group(2) is not None):
            raise ValueError("no such type of column")
        return cls(name, match.group(1), int(match.group(2) or 0))

    def cell(self, value: object, line: int) -> Cell:
        """Give the canonical spelling of a value as a parser gave it: text, or a plain Python value.

        Raises:
            UnreadableError: it is no value of this type.
        """
        if value is None or value == "":
            return None
        text = _spelled(value, line)
        match self.kind:
            case "text":
                return _text(text, line)
            case "integer":
                return _integer(text, line)
            case "decimal":
                return _decimal(text, self.digits, line)
            case "date":
                return _date(text, line)
            case _:
                return _truth(text, line)

    def order(self, cell: Cell) -> tuple[bool, Any]:
        """Give what rows are sorted by: numbers by value, all else by spelling, missing values first."""
        if cell is None:
            return (False, 0)
        return (True, Decimal(cell) if self.kind in {"integer", "decimal"} else cell)

    def array(self, cells: list[Cell]) -> pa.Array:
        """Give canonical cells as an Arrow array of this column's type."""
        import pyarrow as pa

        known = pa.array(cells, pa.string())
        match self.kind:
            case "integer":
                return known.cast(pa.int64())
            case "decimal":
                return known.cast(pa.decimal128(18 + self.digits, self.digits))
            case "date":
                return known.cast(pa.date32())
            case "boolean":
                return known.cast(pa.bool_())
            case _:
                return known


def _spelled(value: object, line: int) -> str:
    """Spell a plain value; containers, bytes and whatever else a format may hold are no cells."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        # Beyond any column's range; spelling a million digits would cost what the limit is there to save.
        return str(value) if abs(value) < 10**19 else "-" + "9" * 19
    if isinstance(value, dt.datetime):
        return _midnight(value, line)
    if isinstance(value, float | Decimal | dt.date):
        return str(value)
    raise unreadable("file.column-type", line)


def _midnight(value: dt.datetime, line: int) -> str:
    """Give a day that came as a moment; an hour would be digits that nobody declared."""
    if value.time() != dt.time() or value.tzinfo is not None:
        raise unreadable("file.bad-date", line)
    return value.date().isoformat()


def _text(text: str, line: int) -> Cell:
    if "\n" in text or len(text) > MOST_CELL_CHARACTERS:
        raise unreadable("file.long-line", line)
    return clean(text, line).strip(" ") or None


def _integer(text: str, line: int) -> str:
    if not _INTEGER.fullmatch(text):
        raise unreadable("file.bad-integer", line)
    return str(int(text.partition(".")[0]))


def _decimal(text: str, digits: int, line: int) -> str:
    if not _DECIMAL.fullmatch(text):
        raise unreadable("file.bad-decimal", line)
    given = Decimal(text)
    # Asked before anything is computed with it: an exponent of 99 is short to write and long to spell.
    if given.adjusted() >= _DIGITS:
        raise unreadable("file.bad-decimal", line)
    # Rounded to what was declared, so that the digits beyond it carry nothing (B11).
    value = given.quantize(Decimal(1).scaleb(-digits), context=_EXACT)
    if abs(value) >= Decimal(10) ** _DIGITS:
        raise unreadable("file.bad-decimal", line)
    return str(abs(value)) if value == 0 else f"{value:f}"


def _date(text: str, line: int) -> str:
    try:
        day = dt.date.fromisoformat(text)
    except ValueError as error:
        raise unreadable("file.bad-date", line) from error
    if day.isoformat() != text:
        raise unreadable("file.bad-date", line)
    return text


def _truth(text: str, line: int) -> str:
    if text not in _TRUTH:
        raise unreadable("file.bad-truth-value", line)
    return _TRUTH[text]
