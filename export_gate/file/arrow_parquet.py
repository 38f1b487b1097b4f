"""Parquet and Arrow files, by the same library that Spark and pandas write them with, in the jail and only as far as declared (B20).

Key-value metadata, statistics, unused dictionary entries, index columns and whatever else such files carry beside their values are not
read. The footer is a stranger's: rows are counted as they come, whatever it says; what a library does to a lying one, it does in the jail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from export_gate.file.canonical import Table, sort_rows
from export_gate.file.cells import Cell, Column
from export_gate.file.counting import check_count
from export_gate.file.kind import ARROW_MARK, PARQUET_MARK
from export_gate.file.limits import MOST_FILE_COLUMNS
from export_gate.file.problem import unreadable


if TYPE_CHECKING:
    import pyarrow as pa

Opener = Callable[[bytes, Sequence[Column]], Iterator["pa.RecordBatch"]]

_BATCH_ROWS = 4096
_FOOTER_BYTES = 4 * 1024 * 1024
_LENGTH_BYTES = 4


def read_parquet(data: bytes, columns: Sequence[Column]) -> Table:
    """Read the declared columns of a Parquet file.

    Raises:
        UnreadableError: it is none, a declared column is missing, a value or the size is not what it should be.
    """
    _check_tail(data, PARQUET_MARK, PARQUET_MARK, "file.bad-parquet")
    return _read(data, columns, _parquet_batches, "file.bad-parquet")


def read_arrow(data: bytes, columns: Sequence[Column]) -> Table:
    """Read the declared columns of an Arrow file (IPC file format, also called Feather version 2).

    Raises:
        UnreadableError: as ``read_parquet``.
    """
    _check_tail(data, ARROW_MARK, b"ARROW1", "file.bad-arrow")
    return _read(data, columns, _arrow_batches, "file.bad-arrow")


def _check_tail(data: bytes, head: bytes, tail: bytes, problem: str) -> None:
    """Check both marks, and that the footer lies between them: bytes behind the last mark would be another file's."""
    end = len(data) - len(tail) - _LENGTH_BYTES
    if not data.startswith(head) or not data.endswith(tail) or end < len(head):
        raise unreadable("file.trailing-bytes" if tail in data[len(head) :] else problem)
    footer = int.from_bytes(data[end : end + _LENGTH_BYTES], "little")
    if not 0 < footer <= min(_FOOTER_BYTES, end - len(head)):
        raise unreadable(problem)


def _read(data: bytes, columns: Sequence[Column], opener: Opener, problem: str) -> Table:
    import pyarrow as pa

    try:
        rows = list(_rows(opener(data, columns), columns))
    # What Arrow raises: its own errors are among these or derived from them; a date beyond the calendar is an OverflowError.
    except (pa.ArrowException, ValueError, OSError, MemoryError, OverflowError, KeyError, TypeError) as error:
        raise unreadable(problem) from error
    return Table(tuple(columns), sort_rows(columns, rows))


def _rows(batches: Iterable[pa.RecordBatch], columns: Sequence[Column]) -> Iterator[tuple[Cell, ...]]:
    numbers = count(1)
    read = 0
    for batch in batches:
        batch.validate(full=True)
        read += batch.num_rows
        check_count(read, len(columns))
        values = [_plain(batch.column(column.name)) for column in columns]
        for row in zip(*values, strict=True):
            line = next(numbers)
            yield tuple(column.cell(value, line) for column, value in zip(columns, row, strict=True))


def _plain(array: pa.Array) -> list[Any]:
    """Give plain Python values of a flat array; a dictionary is looked up first, so that its unused entries end here."""
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_timestamp(kind):
        # Nanoseconds have no place in Python's own type; a day has none of them.
        array = array.cast(pa.timestamp("us", kind.tz))
    flat = pa.types.is_primitive(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (flat or pa.types.is_string_view(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)):
        raise unreadable("file.column-type")
    return list(array.to_pylist())


def _parquet_batches(data: bytes, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(
        pa.BufferReader(data),
        pre_buffer=False,
        thrift_string_size_limit=_FOOTER_BYTES,
        thrift_container_size_limit=1_000_000,
        page_checksum_verification=True,
        arrow_extensions_enabled=False,
    ) as file:
        names = file.schema_arrow.names
        _check_names(names, columns)
        check_count(max(file.metadata.num_rows, 0), len(columns))
        yield from file.iter_batches(_BATCH_ROWS, columns=[column.name for column in columns], use_threads=False)


def _arrow_batches(data: bytes, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    with pa.ipc.open_file(pa.BufferReader(data)) as opened:
        names = opened.schema.names
    _check_names(names, columns)
    # The buffers of other columns are not even unpacked.
    wanted = sorted(names.index(column.name) for column in columns)
    options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=wanted)
    with pa.ipc.open_file(pa.BufferReader(data), options=options) as file:
        for number in range(file.num_record_batches):
            yield file.get_batch(number)


def _check_names(names: Sequence[str], columns: Sequence[Column]) -> None:
    if len(names) > MOST_FILE_COLUMNS:
        raise unreadable("file.too-many-rows")
    if any(names.count(column.name) != 1 for column in columns):
        raise unreadable("file.columns-missing")
