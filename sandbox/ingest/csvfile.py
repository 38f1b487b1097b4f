"""CSV (RFC 4180, read strictly) as raw cells with the line each record starts on.

This is the only CSV parser of the import: Spark later reads the cells that it produced, so that no file can mean one thing to the
checks and another to the engine. Python's strict ``csv`` module says what a file means. Where a chunk leaves no room for opinions
(``_is_plain``) Arrow reads it ten times faster, and a property test holds both to the same cells.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from lineage.errors import DataFileError
from sandbox.ingest.blocks import COLUMN_CAP, Block, block
from sandbox.ingest.source import Source


if TYPE_CHECKING:
    import pyarrow as pa

RECORD_CHUNKS = 8
"""Chunks (of ``lines.BLOCK`` bytes) that one record may span before it counts as a quote that nobody closed."""

FIELD_CAP = 1 << 17
"""Characters of the longest field (128 KiB), which is the ``csv`` module's own limit; it bounds a quote that nobody closed."""


class CsvBlocks:
    """The records of CSV text, every one as wide as the header.

    Args:
        chunks: the text, each chunk ending at a line end.
        source: for the delimiter and for messages.

    Raises:
        DataFileError: from the constructor when the file is empty or its header is none; while iterating when a line is ragged
            or blank, quotes are broken, a field is too long or a record never ends. Blank lines are accepted at the very end.
    """

    def __init__(self, chunks: Iterator[str], source: Source) -> None:
        self._source = source
        self._chunks = chunks
        self._line = 1
        self._blank = 0
        self._inside = False
        self.names, self._rest = self._header()

    def __iter__(self) -> Iterator[Block]:
        """Yield the records after the header."""
        for chunk in chain([self._rest], self._chunks):
            quick = self._read_plain(chunk)
            yield quick if quick is not None else self._read_carefully(chunk)

    def _read_plain(self, chunk: str) -> Block | None:
        if not chunk or self._blank or not _is_plain(chunk, self._source.delimiter):
            return None
        columns = _arrow_columns(chunk, len(self.names), self._source.delimiter)
        count = chunk.count("\n") + (not chunk.endswith("\n"))
        if columns is None or len(columns[0]) != count:
            return None  # ragged: the careful reader says where
        self._line += count
        return Block(range(self._line - count, self._line), columns)

    def _read_carefully(self, chunk: str) -> Block:
        width = len(self.names)
        lines: list[int] = []
        records: list[list[str]] = []
        for start, row in self._records(chunk):
            if row and self._blank:
                raise self._error("import.ragged", line=self._blank, expected=width, found=0)
            if row and len(row) != width:
                raise self._error("import.ragged", line=start, expected=width, found=len(row))
            if row:
                lines.append(start)
                records.append(row)
            else:
                self._blank = self._blank or start
        return block(lines, records)

    def _records(self, chunk: str) -> Iterator[tuple[int, list[str]]]:
        """Yield the records that start in a chunk, taking further chunks to finish the last one."""
        base = self._line
        reader = csv.reader(self._lines(chunk), delimiter=self._source.delimiter, strict=True)
        try:
            for row in reader:
                self._inside = False
                start, self._line = self._line, base + reader.line_num
                yield start, row
        except csv.Error as error:
            code = "import.field-too-long" if "field limit" in str(error) else "import.csv-quotes"
            raise self._error(code, line=self._line) from None

    def _lines(self, chunk: str) -> Iterator[str]:
        for _ in range(RECORD_CHUNKS):
            # Only "\n" ends a line: str.splitlines would also split at U+2028 and others, inside cells.
            for line in io.StringIO(chunk, newline="\n"):
                self._inside = True
                yield line
            chunk = next(self._chunks, "") if self._inside else ""
            if not chunk:
                return
        raise self._error("import.csv-quotes", line=self._line)

    def _header(self) -> tuple[tuple[str, ...], str]:
        chunk = next(self._chunks, "")
        if not chunk:
            raise self._error("import.empty-file")
        end = chunk.find("\n") + 1 or len(chunk)
        try:
            # One line only: a name with a line end in it is a quote that nobody closed.
            names = [
                name.strip() for name in next(csv.reader([chunk[:end]], delimiter=self._source.delimiter, strict=True))
            ]
        except csv.Error:
            raise self._error("import.csv-quotes", line=1) from None
        self._line = 2
        if len(names) > COLUMN_CAP:
            raise self._error("import.too-many-columns", limit=COLUMN_CAP)
        for position, name in enumerate(names or [""], start=1):
            if not name:
                raise self._error("import.header-empty-name", position=position)
        if len(set(names)) != len(names):
            twice = next(position for position, name in enumerate(names, start=1) if name in names[: position - 1])
            raise self._error("import.header-duplicate", position=twice)
        return tuple(names), chunk[end:]

    def _error(self, code: str, **params: int) -> DataFileError:
        return DataFileError(code, file=self._source.shown, **params)


def _is_plain(chunk: str, delimiter: str) -> bool:
    """Tell whether every line is a record and every quote stands where a strict reader accepts it."""
    if "\n\n" in chunk or "\n\r" in chunk or chunk[0] in "\n\r\ufeff":
        return False
    if chunk.count("\r") != chunk.count("\r\n") or max(map(len, chunk.split("\n"))) > FIELD_CAP:
        return False
    return '"' not in chunk or _quotes_are_plain(chunk.split('"'), delimiter)


def _quotes_are_plain(parts: Sequence[str], delimiter: str) -> bool:
    """Look at the text between quotes: every other part is quoted, and an empty one outside is half of a doubled quote."""
    first, last = parts[0], parts[-1]
    before, after = (delimiter, "\n"), (delimiter, "\r", "\n")
    return (
        len(parts) % 2 == 1
        and (not first or first.endswith(before))
        and (not last or last.startswith(after))
        and not any("\n" in part for part in parts[1::2])
        and all(not part or (part.startswith(after) and part.endswith(before)) for part in parts[2:-1:2])
    )


def _arrow_columns(chunk: str, width: int, delimiter: str) -> Sequence[pa.Array] | None:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    names = [f"c{index}" for index in range(width)]
    data = chunk.encode()
    try:
        table = arrow_csv.read_csv(
            io.BytesIO(data),
            read_options=arrow_csv.ReadOptions(column_names=names, use_threads=False, block_size=len(data) + 1),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid:
        return None
    return [column.combine_chunks() for column in table.columns]
