"""The import itself: a source becomes a new version of a Delta table, and the rows that break a rule go to its quarantine.

Everything is read once by the checks (``staging``), once by Spark for the counts and once a table for the writing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from lineage.errors import DataFileError
from sandbox.ingest import columnar, delta
from sandbox.ingest.engine_errors import explained
from sandbox.ingest.expressions import breaks, cell_text, literal, value
from sandbox.ingest.lines import Tally
from sandbox.ingest.schema import ROW_SUBJECT, TableSchema
from sandbox.ingest.settling import settled
from sandbox.ingest.source import Format, Source
from sandbox.ingest.staging import stage_text
from sandbox.ingest.transaction import all_or_nothing


if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class ColumnQuality:
    """What one pass over the accepted rows says about a column.

    Attributes:
        name: the column.
        nulls: rows without a value.
        distinct: estimate of the number of different values (HyperLogLog++, relative error about 5 %).
    """

    name: str
    nulls: int
    distinct: int


@dataclass(frozen=True)
class Imported:
    """What an import did (E6: which bytes a version was taken from).

    Attributes:
        version: version of the Delta table that holds the accepted rows.
        rows: accepted rows; with the quarantined ones they are all rows of the source.
        quarantined: rows kept back, by the first rule each one broke, in column order; ``column.rule``.
        source_sha256: of the file's bytes; of a Delta table, over the names and digests of its data files in order.
        source_bytes: their number.
        quality: one entry a column, in the order of the table.
    """

    version: int
    rows: int
    quarantined: Mapping[str, int]
    source_sha256: str
    source_bytes: int
    quality: tuple[ColumnQuality, ...] = field(default=())

    @property
    def rows_quarantined(self) -> int:
        """Rows kept back in all."""
        return sum(self.quarantined.values())


@dataclass(frozen=True)
class _Counts:
    rows: int
    quarantined: Mapping[str, int]
    quality: tuple[ColumnQuality, ...]


def load(
    spark: SparkSession, source: Source, schema: TableSchema, *, table: Path, quarantine: Path, as_of: date
) -> Imported:
    """Import a source as a new version of ``table``, all or nothing (I1, I7, I8, E6).

    Args:
        spark: the session of ``sandbox.engine``.
        source: what to read.
        schema: what a person has declared it to be.
        table: folder of the Delta table; made by the first import, overwritten as a new version by later ones.
        quarantine: folder of the Delta table for rejected rows (``rule``: the first rule broken, ``broken``: all of them,
            ``line``, ``raw``: source names and cells as they came). Each import overwrites it as a new version; it is not made
            while there is nothing to put in.
        as_of: the day the data is of; nothing may be dated later where a rule says so.

    Raises:
        DataFileError: the file is not what it is declared to be, no row is acceptable, or the schema differs from the table's.
        MissingPartError: no space left, a folder or the engine is missing.
    """
    everything = all_or_nothing(table, quarantine)
    with explained(None), everything as work, _forgetting(spark, table, quarantine), settled(spark):
        if work.repaired:
            delta.forget(spark, table, quarantine)
        delta.check_schema(table, schema, source)
        with explained(source):
            frame, tally, claimed = _read(spark, source, schema, work.folder)
            judged = _judge(frame, schema, as_of)
            counts = _count(judged, schema, as_of)
            _check_counts(counts, claimed, source)
        note = json.dumps({"source_sha256": tally.digest.hexdigest(), "as_of": as_of.isoformat()})
        if counts.quarantined or quarantine.exists():
            delta.declare_quarantine(quarantine)
            delta.overwrite(_rejected(judged, schema, as_of), quarantine, sum(counts.quarantined.values()), note)
        delta.declare(table, schema)
        version = delta.overwrite(_accepted(judged, schema), table, counts.rows, note)
    return Imported(version, counts.rows, counts.quarantined, tally.digest.hexdigest(), tally.size, counts.quality)


@contextmanager
def _forgetting(spark: SparkSession, *tables: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        # The session remembers the newest version it has seen, and that one is about to be undone.
        delta.forget(spark, *tables)
        raise


def _read(
    spark: SparkSession, source: Source, schema: TableSchema, folder: Path
) -> tuple[DataFrame, Tally, int | None]:
    staged = folder / "staged.parquet"
    match source.format:
        case Format.CSV | Format.JSON_LINES:
            tally = stage_text(source, schema, staged)
            return columnar.read_parquet(spark, staged), tally, None
        case Format.PARQUET:
            tally, claimed = columnar.stage_parquet(source, staged)
            frame = columnar.read_parquet(spark, staged)
            number = "_metadata.row_index + 1" if schema.make_subject else "cast(null as bigint)"
            return columnar.cells(frame, schema, source, number), tally, claimed
        case Format.DELTA:
            frame, tally = columnar.read_delta(spark, source)
            return columnar.cells(frame, schema, source, "monotonically_increasing_id() + 1"), tally, None


def _judge(frame: DataFrame, schema: TableSchema, as_of: date) -> DataFrame:
    """Add the values ``t…`` and ``rule``, the first rule a row breaks, to the cells."""
    numbers = range(len(schema.columns))
    texts = frame.selectExpr("*", *(f"{cell_text(index)} as u{index}" for index in numbers))
    values = texts.selectExpr(
        "*", *(f"{value(column, index)} as t{index}" for index, column in enumerate(schema.columns))
    )
    cases = " ".join(f"when {broken} then {literal(name)}" for name, broken in breaks(schema, as_of))
    judged = values.selectExpr("*", f"case {cases} end as rule" if cases else "cast(null as string) as rule")
    return _judge_repeats(judged, schema) if schema.unique_key else judged


def _judge_repeats(judged: DataFrame, schema: TableSchema) -> DataFrame:
    # All rows of a repeated key are kept back: nothing says which of them is true. Rows that are out already do not count.
    names = [column.name for column in schema.columns]
    keys = ", ".join(f"t{names.index(name)}" for name in schema.unique_key)
    repeated = f"rule is null and count(1) over (partition by {keys}, rule is null) > 1"
    rule = literal(_unique_rule(schema))
    others = [name for name in judged.columns if name != "rule"]
    return judged.selectExpr(*others, f"case when {repeated} then {rule} else rule end as rule")


def _unique_rule(schema: TableSchema) -> str:
    return "+".join(schema.unique_key) + ".unique"


def _count(judged: DataFrame, schema: TableSchema, as_of: date) -> _Counts:
    from pyspark.sql import functions

    numbers = range(len(schema.columns))
    measures = [f"count(t{index}) as k{index}" for index in numbers]
    measures += [f"approx_count_distinct(t{index}) as d{index}" for index in numbers]
    grouped = judged.groupBy("rule").agg(functions.expr("count(1) as rows"), *map(functions.expr, measures))
    found = {row["rule"]: row for row in grouped.collect()}
    kept = found.pop(None, None)
    order = [*(name for name, _ in breaks(schema, as_of)), _unique_rule(schema)]
    quarantined = {rule: int(found[rule]["rows"]) for rule in order if rule in found}
    if kept is None:
        return _Counts(0, quarantined, ())
    quality = tuple(
        # The estimate may exceed what is there at all.
        ColumnQuality(
            column.name, int(kept["rows"] - kept[f"k{index}"]), int(min(kept[f"d{index}"], kept[f"k{index}"]))
        )
        for index, column in enumerate(schema.columns)
    )
    return _Counts(int(kept["rows"]), quarantined, quality)


def _check_counts(counts: _Counts, claimed: int | None, source: Source) -> None:
    total = counts.rows + sum(counts.quarantined.values())
    if claimed is not None and claimed != total:
        raise DataFileError("import.parquet-damaged", file=source.shown)
    if not total:
        raise DataFileError("import.no-rows", file=source.shown)
    if not counts.rows:
        rule = max(counts.quarantined, key=lambda name: counts.quarantined[name])
        raise DataFileError("import.no-good-row", file=source.shown, rule=rule, rows=total)


def _accepted(judged: DataFrame, schema: TableSchema) -> DataFrame:
    wanted = [f"t{index} as {column.name}" for index, column in enumerate(schema.columns)]
    if schema.make_subject:
        wanted.append(f"n as {ROW_SUBJECT}")
    return judged.where("rule is null").selectExpr(*wanted)


def _rejected(judged: DataFrame, schema: TableSchema, as_of: date) -> DataFrame:
    broken = ", ".join(f"if({condition}, {literal(name)}, null)" for name, condition in breaks(schema, as_of))
    pairs = ", ".join(f"{literal(column.source_name)}, c{index}" for index, column in enumerate(schema.columns))
    everything = f"array_distinct(array_compact(array({broken}{', ' if broken else ''}rule))) as broken"
    return judged.where("rule is not null").selectExpr("rule", everything, "line", f"map({pairs}) as raw")
