"""One checked query plan: the only form in which trusted code asks its questions of row data (law 1, law 2).

A tenant writes SQL; sqlglot parses it; everything that is not on the allow-list is refused with the line and the reason; and new
DuckDB SQL is written from the checked tree. Not one character of the tenant's own text reaches an engine.

The language: ``SELECT keys, aggregates FROM inputs or steps [JOIN … ON a = b] [WHERE …] GROUP BY keys``. Steps are row-level
SELECTs, each may read the inputs and the steps before it. Every row-level expression is total: a cast, an overflow or a division
that fails gives NULL, because an error that depends on the data would be a message from the data (law 8).
"""

from __future__ import annotations

from jobs.query.engine import prepare
from jobs.query.parse import parse_query, parse_rows
from jobs.query.plan import Aggregate, Function, Key, Origin, Query, Rows
from jobs.query.subjects import subject_columns


__all__ = [
    "Aggregate",
    "Function",
    "Key",
    "Origin",
    "Query",
    "Rows",
    "parse_query",
    "parse_rows",
    "prepare",
    "subject_columns",
]
