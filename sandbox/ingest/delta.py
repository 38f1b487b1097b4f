"""The two Delta tables of an import: declared with their constraints, overwritten as new versions, and counted after the fact."""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineage.errors import DataFileError, MissingPartError
from sandbox.ingest.schema import ROW_SUBJECT, Kind, TableSchema
from sandbox.ingest.source import Source


if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_DELTA_TYPES = {Kind.INTEGER: "long"}

_CONFIGURATION = {
    "delta.enableDeletionVectors": "false",
    "delta.dataSkippingNumIndexedCols": "0",
    "delta.enableExpiredLogCleanup": "false",
}
"""As in ``sandbox.engine``, for the same reasons: plain files, no values in the log, no version that ends by age."""


def check_schema(table: Path, schema: TableSchema, source: Source) -> None:
    """Hold the declared schema against the table's, which every grant over the table relies on.

    Raises:
        DataFileError: they differ; a changed schema is a new table.
        MissingPartError: the folder holds something else than a Delta table.
    """
    if not _is_there(table):
        return
    found = json.loads(_open(table).schema().to_json())["fields"]
    stored = [(field["name"], field["type"], field["nullable"]) for field in found]
    for new, old in zip_longest(_fields(schema), stored):
        if new != old:
            raise DataFileError("import.schema-changed", file=source.shown, column=(new or old)[0])


def declare(table: Path, schema: TableSchema) -> None:
    """Make the empty table with its constraints, unless it is there.

    ``DataFrameWriter`` forgets NOT NULL; version 0 therefore only declares, and the first data is version 1.
    """
    if not _is_there(table):
        _create(table, _fields(schema))


def declare_quarantine(quarantine: Path) -> None:
    """Make the empty quarantine, unless it is there; its layout is the same for every table."""
    if not _is_there(quarantine):
        texts = {"type": "array", "elementType": "string", "containsNull": False}
        cells = {"type": "map", "keyType": "string", "valueType": "string", "valueContainsNull": True}
        _create(
            quarantine,
            [("rule", "string", False), ("broken", texts, False), ("line", "long", True), ("raw", cells, False)],
        )


def overwrite(rows: DataFrame, table: Path, expected: int, note: str) -> int:
    """Make the rows the new version of the table, and give its number.

    Raises:
        MissingPartError: the commit does not hold as many rows as were counted; the caller undoes it.
    """
    rows.write.format("delta").mode("overwrite").option("userMetadata", note).save(str(table))
    version = int(_open(table).version())
    entry = table / "_delta_log" / f"{version:020}.json"
    with entry.open(encoding="utf-8") as lines:
        actions = [json.loads(line) for line in lines]
    commit = next(action["commitInfo"] for action in actions if "commitInfo" in action)
    if commit.get("userMetadata") != note or int(commit["operationMetrics"]["numOutputRows"]) != expected:
        raise MissingPartError("import.rows-differ", table=table.name)
    return version


def forget(spark: SparkSession, *tables: Path) -> None:
    """Make the session read the tables' logs anew."""
    from py4j.protocol import Py4JError

    for table in tables:
        try:
            path = spark._jvm.org.apache.hadoop.fs.Path(str(table))  # noqa: SLF001
            spark._jvm.org.apache.spark.sql.delta.DeltaLog.invalidateCache(spark._jsparkSession, path)  # noqa: SLF001
        except (Py4JError, OSError):
            return  # the engine is gone, and its memory with it


def _is_there(table: Path) -> bool:
    if not table.exists() or not any(table.iterdir()):
        return False
    if not (table / "_delta_log").is_dir():
        raise MissingPartError("import.not-a-table", table=table.name)
    return True


def _open(table: Path) -> Any:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        return DeltaTable(str(table))
    except DeltaError as error:
        raise MissingPartError("import.not-a-table", table=table.name) from error


def _create(table: Path, fields: list[tuple[str, Any, bool]]) -> None:
    from deltalake import DeltaTable, Schema

    described = [{"name": name, "type": kind, "nullable": nullable, "metadata": {}} for name, kind, nullable in fields]
    schema = Schema.from_json(json.dumps({"type": "struct", "fields": described}))
    DeltaTable.create(str(table), schema, configuration=_CONFIGURATION)


def _fields(schema: TableSchema) -> list[tuple[str, Any, bool]]:
    fields: list[tuple[str, Any, bool]] = [
        (column.name, _DELTA_TYPES.get(column.type.kind, str(column.type)), not schema.never_missing(column))
        for column in schema.columns
    ]
    return [*fields, (ROW_SUBJECT, "long", False)] if schema.make_subject else fields
