"""Getting data in: declared files become checked Delta tables, and what breaks a rule is kept apart and counted."""

from __future__ import annotations

from sandbox.ingest.infer import infer_schema
from sandbox.ingest.load import ColumnQuality, Imported, load
from sandbox.ingest.names import suggest_renames
from sandbox.ingest.rules import (
    CreditCode,
    DateRange,
    DecimalRange,
    IntegerRange,
    MaxLength,
    Mobile,
    OneOf,
    ResidentId,
    Rule,
)
from sandbox.ingest.schema import (
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    ROW_SUBJECT,
    STRING,
    TIMESTAMP,
    ColumnSchema,
    ColumnType,
    Kind,
    TableSchema,
    decimal,
)
from sandbox.ingest.source import Format, Source


__all__ = [
    "BOOLEAN",
    "DATE",
    "DOUBLE",
    "INTEGER",
    "ROW_SUBJECT",
    "STRING",
    "TIMESTAMP",
    "ColumnQuality",
    "ColumnSchema",
    "ColumnType",
    "CreditCode",
    "DateRange",
    "DecimalRange",
    "Format",
    "Imported",
    "IntegerRange",
    "Kind",
    "MaxLength",
    "Mobile",
    "OneOf",
    "ResidentId",
    "Rule",
    "Source",
    "TableSchema",
    "decimal",
    "infer_schema",
    "load",
    "suggest_renames",
]
