"""A first draft of a schema from the head of a source. It is a suggestion: a person reads, corrects and confirms it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING

from lineage.errors import DataFileError
from sandbox.ingest import columnar
from sandbox.ingest.blocks import Cell
from sandbox.ingest.checksums import MOBILE, is_credit_code, is_resident_id
from sandbox.ingest.csvfile import CsvBlocks
from sandbox.ingest.engine_errors import explained
from sandbox.ingest.expressions import (
    BLANKS,
    DATE_CHINESE,
    DATE_DASHED,
    DATE_PARTED,
    DOUBLE_TEXT,
    TIMESTAMP_TEXT,
)
from sandbox.ingest.jsonlines import objects
from sandbox.ingest.lines import Tally, text_chunks
from sandbox.ingest.names import plain_names
from sandbox.ingest.rules import CreditCode, Mobile, ResidentId, Rule
from sandbox.ingest.schema import (
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    STRING,
    TIMESTAMP,
    ColumnSchema,
    ColumnType,
    TableSchema,
)
from sandbox.ingest.source import Format, Source, open_file


if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SAMPLE = 10_000
"""Records that are looked at, from the head of the source; what comes after them may differ, and is then quarantined."""

# No leading zeros: they mark a code, and a number would lose them. At most 18 digits fit 64 bits for certain.
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})")
_BOOLEAN = re.compile("true|false|yes|no|是|否", re.IGNORECASE)
_DOUBLE = re.compile(rf"(?!0[0-9]|[+-]?[0-9]{{19}})(?:{DOUBLE_TEXT})")
_DATES = re.compile(f"{DATE_DASHED}|{DATE_PARTED}|{DATE_CHINESE}")
_TIMESTAMP = re.compile(TIMESTAMP_TEXT)

_TYPES: Sequence[tuple[ColumnType, re.Pattern[str]]] = (
    (BOOLEAN, _BOOLEAN),
    (INTEGER, _INTEGER),
    (DOUBLE, _DOUBLE),
    (DATE, _DATES),
    (TIMESTAMP, _TIMESTAMP),
)
"""Tried in this order; the first that every value of the sample has is suggested. Eight digits alone are no date: they may count."""


def infer_schema(spark: SparkSession, source: Source, renames: Mapping[str, str] | None = None) -> TableSchema:
    """Suggest a schema from the first ``SAMPLE`` records.

    Suggested are types, the rule of the columns that hold identity numbers, credit codes or mobile numbers throughout, and
    nothing else: which columns are required or the subject key is for a person to say.

    Args:
        spark: used for Parquet and Delta sources alone.
        source: what to look at.
        renames: plain names for source columns whose own name is not plain.

    Raises:
        DataFileError: the head of the source is damaged, or a name is not plain; the message suggests renames.
        DefinitionError: a rename is for a column that is not there.
    """
    if source.format in {Format.PARQUET, Format.DELTA}:
        found, columns = _columnar_sample(spark, source)
    else:
        found, columns = _text_sample(source)
    names = plain_names(found, renames or {}, source)
    if not any(columns):
        raise DataFileError("import.no-rows", file=source.shown)
    drafts = zip(names, found, columns, strict=True)
    return TableSchema(tuple(_draft(name, source_name, column) for name, source_name, column in drafts))


def _text_sample(source: Source) -> tuple[tuple[str, ...], list[list[Cell]]]:
    with open_file(source) as handle:
        chunks = text_chunks(handle, source, Tally())
        if source.format is Format.CSV:
            return _csv_sample(CsvBlocks(chunks, source))
        records = [record for _, record in islice(objects(chunks, source), SAMPLE)]
    keys = tuple(dict.fromkeys(key for record in records for key in record))
    if not keys:
        raise DataFileError("import.empty-file", file=source.shown)
    return keys, [[record.get(key) for record in records] for key in keys]


def _csv_sample(blocks: CsvBlocks) -> tuple[tuple[str, ...], list[list[Cell]]]:
    columns: list[list[Cell]] = [[] for _ in blocks.names]
    for part in blocks:
        for column, cells in zip(columns, part.columns, strict=False):
            column.extend(cells.to_pylist())
        if len(columns[0]) >= SAMPLE:
            break
    return blocks.names, columns


def _columnar_sample(spark: SparkSession, source: Source) -> tuple[tuple[str, ...], list[list[Cell]]]:
    with explained(source):
        if source.format is Format.DELTA:
            frame, _ = columnar.read_delta(spark, source)
        else:
            columnar.check_parquet(source)
            frame = columnar.read_parquet(spark, source.path)
        rows = frame.selectExpr(*columnar.as_text(frame, frame.columns, source)).limit(SAMPLE).collect()
    return tuple(frame.columns), [[row[index] for row in rows] for index in range(len(frame.columns))]


def _draft(name: str, source_name: str, cells: Iterable[Cell]) -> ColumnSchema:
    values = [text for cell in cells if cell is not None and (text := cell.strip(BLANKS))]
    rule = _rule(values)
    if rule is not None:
        return ColumnSchema(name, STRING, rule=rule, source_name=source_name)
    fitting = (kind for kind, form in _TYPES if all(map(form.fullmatch, values)))
    return ColumnSchema(name, next(fitting, STRING) if values else STRING, source_name=source_name)


def _rule(values: Sequence[str]) -> Rule | None:
    if not values:
        return None
    if all(is_resident_id(value.upper(), date.max) for value in values):
        return ResidentId()
    if all(is_credit_code(value.upper()) for value in values):
        return CreditCode()
    if all(re.fullmatch(MOBILE, value) for value in values):
        return Mobile()
    return None
