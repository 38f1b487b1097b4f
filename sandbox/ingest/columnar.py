"""Parquet and Delta sources: typed columns, brought to the same raw cells that text files give."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lineage.errors import DataFileError
from sandbox.ingest.lines import Tally
from sandbox.ingest.schema import TableSchema
from sandbox.ingest.source import Source, open_file
from sandbox.ingest.staging import match_columns


if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"
_TRAILER = 8
_COPY_BLOCK = 1 << 20


def stage_parquet(source: Source, target: Path) -> tuple[Tally, int]:
    """Copy a Parquet file beside the table, digesting it on the way, and check its footer; gives the rows the footer claims.

    Spark reads the copy, so the file cannot change between the check and the use.

    Raises:
        DataFileError: the file is no Parquet file, is cut off, encrypted, or its footer contradicts itself.
    """
    tally = Tally()
    with open_file(source) as handle, target.open("wb") as copy:
        while block := handle.read(_COPY_BLOCK):
            tally.add(block)
            copy.write(block)
    with target.open("rb") as copy:
        _check_frame(copy, tally.size, source)
    return tally, _footer_rows(target, tally.size, source)


def check_parquet(source: Source) -> None:
    """Check the footer of a Parquet file in place.

    Raises:
        DataFileError: as in ``stage_parquet``.
    """
    with open_file(source) as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(0)
        _check_frame(handle, size, source)
    _footer_rows(source.path, size, source)


def read_parquet(spark: SparkSession, path: Path) -> DataFrame:
    """Open one Parquet file whatever characters its path has."""
    return spark.read.option("__globPaths__", "false").parquet(str(path))


def read_delta(spark: SparkSession, source: Source) -> tuple[DataFrame, Tally]:
    """Open the latest version of a Delta table, and digest its data files in the order of their names.

    Raises:
        DataFileError: there is no Delta table, or its log names files outside its folder. A shallow clone does so in good faith, a
            forged log to have another table's rows imported as its own.
    """
    if not (source.path / "_delta_log").is_dir():
        raise DataFileError("import.no-delta-log", file=source.shown)
    frame = spark.read.format("delta").load(str(source.path.resolve()))
    root, tally = source.path.resolve(), Tally()
    for uri in sorted(frame.inputFiles()):
        scheme, _, plain = uri.partition(":")  # Spark puts the plain path behind it, nothing escaped
        path = Path(plain).resolve()
        if scheme != "file" or not path.is_relative_to(root):
            raise DataFileError("import.delta-foreign-file", file=source.shown)
        if not path.is_file():
            raise DataFileError("import.delta-unreadable", file=source.shown)
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").digest()
        tally.digest.update(str(path.relative_to(root)).encode() + b"\0" + digest)
        tally.size += path.stat().st_size
    return frame, tally


def cells(frame: DataFrame, schema: TableSchema, source: Source, number: str) -> DataFrame:
    """Bring typed columns to ``n``, ``line`` (such forms have none) and the text cells ``c0``, ``c1`` … in the schema's order.

    Args:
        frame: the rows as read.
        schema: what they should be.
        source: for messages.
        number: SQL of a number that differs for every row.

    Raises:
        DataFileError: columns are missing, undeclared or nested.
    """
    match_columns(tuple(frame.columns), schema, source)
    wanted = as_text(frame, [column.source_name for column in schema.columns], source)
    named = [f"{text} as c{index}" for index, text in enumerate(wanted)]
    return frame.selectExpr(f"{number} as n", "cast(null as bigint) as line", *named)


def as_text(frame: DataFrame, names: Sequence[str], source: Source) -> list[str]:
    """Give the SQL of some columns as text.

    Raises:
        DataFileError: a column is nested or binary.
    """
    types = {field.name: field.dataType.simpleString().split("(")[0] for field in frame.schema.fields}
    for name in names:
        if types[name] not in _SIMPLE:
            position = frame.columns.index(name) + 1
            raise DataFileError("import.column-nested", file=source.shown, position=position)
    return [f"cast({quote(name)} as string)" for name in names]


_SIMPLE = frozenset(
    {"string", "varchar", "char", "boolean", "tinyint", "smallint", "int", "bigint"}
    | {"decimal", "float", "double", "date", "timestamp", "timestamp_ntz"}
)


def quote(name: str) -> str:
    """Quote a name for Spark SQL."""
    return "`" + name.replace("`", "``") + "`"


def _check_frame(copy: BinaryIO, size: int, source: Source) -> None:
    if not size:
        raise DataFileError("import.empty-file", file=source.shown)
    head = copy.read(len(_MAGIC))
    copy.seek(max(0, size - _TRAILER))
    trailer = copy.read(_TRAILER)
    if _ENCRYPTED in (head, trailer[-4:]):
        raise DataFileError("import.parquet-encrypted", file=source.shown)
    footer = int.from_bytes(trailer[:4], "little")
    if head != _MAGIC or trailer[-4:] != _MAGIC or footer > size - _TRAILER - len(_MAGIC):
        raise DataFileError("import.parquet-damaged", file=source.shown)


def _footer_rows(path: Path, size: int, source: Source) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        footer = pq.read_metadata(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataFileError("import.parquet-damaged", file=source.shown) from error
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    chunks = [group.column(index) for group in groups for index in range(group.num_columns)]
    sound = sum(group.num_rows for group in groups) == footer.num_rows
    sound = sound and all(
        0 <= chunk.data_page_offset < size and chunk.total_compressed_size <= size for chunk in chunks
    )
    if not sound:
        raise DataFileError("import.parquet-damaged", file=source.shown)
    return int(footer.num_rows)
