"""The canonical forms: a sorted table of typed cells, a picture of few colours, a text; their files are the gate's own (law 2, B20, B23).

What a parser found crosses the jail's wall as plain values. This side trusts none of them: a table, a picture or a text that is not
exactly its own canonical form cannot be made here, so a parser that was taken over can say no more than an honest one.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from export_gate.artefact import File
from export_gate.file.cells import Cell, Column
from export_gate.file.limits import MOST_CELLS, MOST_PIXELS, MOST_ROWS, MOST_SIDE
from export_gate.file.pixels import LEVELS, png_bytes
from export_gate.file.problem import UnreadableError
from export_gate.file.text import read_text


@dataclass(frozen=True)
class Table:
    """A table of declared columns: canonical cells, rows in canonical order."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        """Refuse whatever is not the one canonical form of its contents."""
        if not self.columns or len(self.rows) > MOST_ROWS or len(self.rows) * len(self.columns) > MOST_CELLS:
            raise ValueError("a table has columns, and no more rows and cells than the limits")
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("each row has a cell a column")
        if any(
            column.cell(cell, 0) != cell for row in self.rows for column, cell in zip(self.columns, row, strict=True)
        ):
            raise ValueError("a cell is not in its canonical spelling")
        if sort_rows(self.columns, self.rows) != self.rows:
            raise ValueError("the rows are not in their canonical order")

    @property
    def data(self) -> bytes:
        """The canonical bytes: CSV as RFC 4180 has it, with line feeds."""
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([column.name for column in self.columns])
        writer.writerows(["" if cell is None else cell for cell in row] for row in self.rows)
        return stream.getvalue().encode("utf-8")

    @property
    def files(self) -> tuple[File, ...]:
        """The same table twice: CSV, and Parquet, which tells nothing more."""
        return File("data.csv", self.data), File("data.parquet", self._parquet())

    @property
    def texts(self) -> tuple[str, ...]:
        """Every distinct text that a person would read, for checks that look into it."""
        return tuple(sorted({cell for row in self.rows for cell in row if cell is not None}))

    @property
    def wire(self) -> dict[str, Any]:
        """Plain values for the way out of the jail."""
        return {"rows": [list(row) for row in self.rows]}

    def _parquet(self) -> bytes:
        import pyarrow as pa
        import pyarrow.parquet as pq

        arrays = [column.array([row[place] for row in self.rows]) for place, column in enumerate(self.columns)]
        sink = io.BytesIO()
        # Footers would otherwise carry extreme values, a dictionary of every category and the writer's schema (B20).
        pq.write_table(
            pa.table(arrays, names=[column.name for column in self.columns]),
            sink,
            write_statistics=False,
            use_dictionary=False,
            store_schema=False,
            compression="zstd",
        )
        return sink.getvalue()


@dataclass(frozen=True)
class Picture:
    """A picture in 16 levels of red, green and blue: ``pixels`` are rows of three bytes a pixel, each byte a level times 17."""

    width: int
    height: int
    pixels: bytes

    def __post_init__(self) -> None:
        """Refuse impossible sizes, and bytes that are no level: low bits are where pictures are made to carry things (B23)."""
        _check_sides(self.width, self.height)
        if len(self.pixels) != 3 * self.width * self.height or self.pixels.translate(None, LEVELS):
            raise ValueError("a picture has three levels a pixel")

    @property
    def data(self) -> bytes:
        """The canonical bytes: PNG by an encoder with no choice in it."""
        return png_bytes(self.width, self.height, self.pixels)

    @property
    def files(self) -> tuple[File, ...]:
        """The one file."""
        return (File("picture.png", self.data),)

    @property
    def texts(self) -> tuple[str, ...]:
        """No text: nothing here reads what is written in a picture."""
        return ()

    @property
    def wire(self) -> dict[str, Any]:
        """Plain values for the way out of the jail."""
        pixels = base64.b64encode(zlib.compress(self.pixels, 6)).decode("ascii")
        return {"width": self.width, "height": self.height, "pixels": pixels}


@dataclass(frozen=True)
class Text:
    """A text in its canonical form."""

    text: str

    def __post_init__(self) -> None:
        """Refuse any other form of the same text."""
        if read_text(self.text.encode("utf-8")) != self.text:
            raise ValueError("a text is in its canonical form")

    @property
    def data(self) -> bytes:
        """The canonical bytes."""
        return self.text.encode("utf-8")

    @property
    def files(self) -> tuple[File, ...]:
        """The one file."""
        return (File("text.txt", self.data),)

    @property
    def texts(self) -> tuple[str, ...]:
        """Its lines."""
        return tuple(self.text.splitlines())

    @property
    def wire(self) -> dict[str, Any]:
        """Plain values for the way out of the jail."""
        return {"text": self.text}


Canonical = Table | Picture | Text


def sort_rows(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> tuple[tuple[Cell, ...], ...]:
    """Bring rows into canonical order: by the first column, then the second, and so on; the order a run chose says nothing (B11)."""
    kept = (tuple(row) for row in rows)
    return tuple(sorted(kept, key=lambda row: [column.order(cell) for column, cell in zip(columns, row, strict=True)]))


def from_wire(form: str, columns: Sequence[Column], value: Mapping[str, Any]) -> Canonical:
    """Make what a parser found from its plain values, as a stranger would (law 1).

    Raises:
        ValueError: it is not the canonical form of anything.
    """
    try:
        if columns:
            return Table(tuple(columns), tuple(tuple(map(_cell, row)) for row in _list(value["rows"])))
        if form == "text":
            return Text(_text(value["text"]))
        width, height = _whole(value["width"]), _whole(value["height"])
        _check_sides(width, height)
        return Picture(width, height, _inflated(_text(value["pixels"]), 3 * width * height))
    except (KeyError, TypeError, UnreadableError, UnicodeEncodeError, binascii.Error, zlib.error) as error:
        raise ValueError("not a canonical form") from error


def _check_sides(width: int, height: int) -> None:
    if not (1 <= width <= MOST_SIDE and 1 <= height <= MOST_SIDE and width * height <= MOST_PIXELS):
        raise ValueError("a picture has pixels, and no more than the limit")


def _inflated(text: str, size: int) -> bytes:
    """Unpack exactly so many bytes, and never more: the packed form is a stranger's."""
    inflater = zlib.decompressobj()
    return inflater.decompress(base64.b64decode(text, validate=True), size + 1)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _cell(value: object) -> Cell:
    return None if value is None else _text(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError("not a whole number")
    return value
