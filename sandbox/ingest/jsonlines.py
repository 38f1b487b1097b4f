"""JSON lines (one object a line, RFC 8259) as raw cells: numbers keep their literal text, so nothing is rounded on the way."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NoReturn

from lineage.errors import DataFileError
from sandbox.ingest.blocks import COLUMN_CAP, Block, Cell, block
from sandbox.ingest.source import Source


_BATCH = 1024
"""Records in a block; lines are at most 1 MiB."""


class _BadObject(ValueError):  # noqa: N818 - carries a code to the place that knows file and line
    """Carries the message code from inside the JSON parser to the line that knows its number."""


class JsonBlocks:
    """The records of JSON lines text.

    Args:
        chunks: the text, each chunk ending at a line end.
        source: for messages.
        names: the keys every record may have, in the order of the cells; a missing key is a missing value.

    Raises:
        DataFileError: while iterating, when a line is no object, has an unknown or repeated key, a nested value, a number that
            JSON does not know, or text that is not Unicode; when a declared key is in no record at all; when there is none.
    """

    def __init__(self, chunks: Iterator[str], source: Source, names: Sequence[str]) -> None:
        self._chunks = chunks
        self._source = source
        self.names = tuple(names)

    def __iter__(self) -> Iterator[Block]:
        """Yield the records."""
        found: set[str] = set()
        for numbered in _batches(objects(self._chunks, self._source)):
            for line, record in numbered:
                if not found.issuperset(record):
                    self._check_keys(line, record)
                    found.update(record)
            yield block(
                [line for line, _ in numbered], [[record.get(name) for name in self.names] for _, record in numbered]
            )
        if absent := [name for name in self.names if name not in found]:
            code = "import.column-missing" if found else "import.empty-file"
            raise DataFileError(code, file=self._source.shown, column=absent[0])

    def _check_keys(self, line: int, record: Mapping[str, Cell]) -> None:
        if not set(self.names).issuperset(record):
            raise DataFileError("import.json-unknown-key", file=self._source.shown, line=line)


def _batches(numbered: Iterator[tuple[int, Mapping[str, Cell]]]) -> Iterator[list[tuple[int, Mapping[str, Cell]]]]:
    while batch := list(islice(numbered, _BATCH)):
        yield batch


def objects(chunks: Iterator[str], source: Source) -> Iterator[tuple[int, Mapping[str, Cell]]]:
    """Yield each line's number and object, values as text.

    Raises:
        DataFileError: a line is not one flat JSON object; blank lines are accepted at the very end only.
    """
    number, blank = 0, 0
    for chunk in chunks:
        for line in io.StringIO(chunk, newline="\n"):
            number += 1
            if not line.strip():
                blank = blank or number
                continue
            if blank:
                raise DataFileError("import.json-not-object", file=source.shown, line=blank)
            try:
                yield number, _object(line)
            except _BadObject as error:
                raise DataFileError(str(error), file=source.shown, line=number, limit=COLUMN_CAP) from None


def _object(line: str) -> Mapping[str, Cell]:
    try:
        value = _DECODER.decode(line)
    except (json.JSONDecodeError, RecursionError):
        raise _BadObject("import.json-not-object") from None
    if not isinstance(value, _Flat):
        raise _BadObject("import.json-not-object")
    if "\\u" in line:
        _check_escapes(value)
    return value


def _check_escapes(record: Mapping[str, Cell]) -> None:
    for text in (*record, *record.values()):
        if text is not None and ("\0" in text or any("\ud800" <= character <= "\udfff" for character in text)):
            raise _BadObject("import.json-not-text")


class _Flat(dict[str, Cell]):
    """An object of scalars; its own class tells the outermost object from a nested one."""


def _flat(pairs: list[tuple[str, Any]]) -> _Flat:
    record = _Flat()
    for key, value in pairs:
        if isinstance(value, (dict, list)):
            raise _BadObject("import.json-nested")
        record[key] = ("true" if value else "false") if isinstance(value, bool) else value
    if len(record) != len(pairs):
        raise _BadObject("import.json-repeated-key")
    if len(record) > COLUMN_CAP:
        raise _BadObject("import.too-many-columns")
    return record


def _no_constant(_: str) -> NoReturn:
    raise _BadObject("import.json-not-object")  # NaN and Infinity are no JSON


_DECODER = json.JSONDecoder(object_pairs_hook=_flat, parse_float=str, parse_int=str, parse_constant=_no_constant)
