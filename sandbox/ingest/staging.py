"""The staged copy that Spark reads: one Parquet file of raw cells, written while the file is checked.

Columns: ``n`` (number of the record, from 1), ``line`` (physical line it starts on) and the cells ``c0``, ``c1`` … as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lineage.errors import DataFileError
from sandbox.ingest.blocks import Block
from sandbox.ingest.csvfile import CsvBlocks
from sandbox.ingest.jsonlines import JsonBlocks
from sandbox.ingest.lines import Tally, text_chunks
from sandbox.ingest.schema import TableSchema
from sandbox.ingest.source import Format, Source, open_file


if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 32_768
"""Records in a row group, or a little more: Spark reads row groups in parallel."""

ROW_GROUP_BYTES = 1 << 25
"""Bytes of cells that end a row group early, so that memory does not grow with the length of the rows."""


def stage_text(source: Source, schema: TableSchema, target: Path) -> Tally:
    """Check a CSV or JSON lines file from end to end and write its cells to ``target``, columns in the schema's order.

    Raises:
        DataFileError: the file is not what it is declared to be, or its columns are not the schema's.
        OSError: ``target`` cannot be written.
    """
    tally = Tally()
    with open_file(source) as handle:
        chunks = text_chunks(handle, source, tally)
        names = tuple(column.source_name for column in schema.columns)
        is_json = source.format is Format.JSON_LINES
        blocks = JsonBlocks(chunks, source, names) if is_json else CsvBlocks(chunks, source)
        match_columns(blocks.names, schema, source)
        if not _write(blocks, [blocks.names.index(name) for name in names], target):
            raise DataFileError("import.no-rows", file=source.shown)
    return tally


def match_columns(found: tuple[str, ...], schema: TableSchema, source: Source) -> None:
    """Hold a file's column names against the schema; the order may differ.

    Raises:
        DataFileError: a declared column is missing; a column is not declared, which would otherwise vanish silently.
    """
    declared = {column.source_name for column in schema.columns}
    if absent := sorted(declared.difference(found)):
        raise DataFileError("import.column-missing", file=source.shown, column=absent[0])
    if surplus := [position for position, name in enumerate(found, start=1) if name not in declared]:
        # By position, not by name: the "header" of a file without one is a person's row.
        raise DataFileError("import.column-unexpected", file=source.shown, position=surplus[0], count=len(surplus))


def _write(blocks: Iterable[Block], order: list[int], target: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    cells = [(f"c{index}", pa.string()) for index in range(len(order))]
    schema = pa.schema([("n", pa.int64()), ("line", pa.int64()), *cells])
    total = 0
    # Without statistics and dictionaries: the file is read once, and soon.
    with pq.ParquetWriter(target, schema, compression="snappy", write_statistics=False, use_dictionary=False) as writer:
        for group in _row_groups(blocks, order, schema):
            writer.write_table(group, row_group_size=len(group))
            total += len(group)
    return total


def _row_groups(blocks: Iterable[Block], order: list[int], schema: pa.Schema) -> Iterator[pa.Table]:
    import numpy as np
    import pyarrow as pa

    total = 0
    waiting: list[pa.RecordBatch] = []
    for part in blocks:
        if part.lines:
            numbers = np.arange(total + 1, total + 1 + len(part.lines))
            lines = np.array(part.lines, dtype=np.int64)
            cells = [part.columns[index] for index in order]
            waiting.append(pa.record_batch([pa.array(numbers), pa.array(lines), *cells], schema=schema))
            total += len(part.lines)
        if sum(map(len, waiting)) >= ROW_GROUP or sum(batch.nbytes for batch in waiting) >= ROW_GROUP_BYTES:
            yield pa.Table.from_batches(waiting, schema)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting, schema)
