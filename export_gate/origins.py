"""Which source columns a product's columns come from, for the lineage graph (L1, E6).

A column depends on what its expression names and on everything that chose or matched its rows: the columns of conditions, joins
and groups. Where that cannot be told it depends on every column, because a graph that leaves something out cannot be trusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from jobs.query import Query, Rows


if TYPE_CHECKING:
    from sqlglot import exp


def column_sources(query: Query, node_of_input: Mapping[str, str]) -> dict[str, list[str]]:
    """Map each result column to ``node#column`` of the tables that the query reads."""
    plain = {name: f"{node_of_input[origin.table]}#{origin.column}" for name, origin in query.lineage.origins.items()}
    choosing = _choosing(query, plain)
    named = [(key.name, key.expression) for key in query.keys]
    named += [(item.name, item.argument or "") for item in query.aggregates]
    return {name: sorted(_named(expression, plain) | choosing) for name, expression in named}


def feature_sources(rows: Rows, node_of_input: Mapping[str, str]) -> list[str]:
    """Give the columns that a model's rows are made of."""
    return sorted({f"{node_of_input[origin.table]}#{origin.column}" for origin in rows.lineage.origins.values()})


def _choosing(query: Query, plain: Mapping[str, str]) -> set[str]:
    """Columns that decide which rows count and into which cell: of groups, conditions and joins at any depth."""
    import sqlglot
    from sqlglot import exp

    names = {column.name for key in query.keys for column in _columns(key.expression)}
    for part in sqlglot.parse_one(query.source, dialect="duckdb").find_all(exp.Where, exp.Join):
        condition = part.this if isinstance(part, exp.Where) else part.args.get("on")
        names |= {column.name for column in condition.find_all(exp.Column)} if condition is not None else set()
    return _resolved(names, plain)


def _named(expression: str, plain: Mapping[str, str]) -> set[str]:
    return _resolved({column.name for column in _columns(expression)}, plain) if expression else set()


def _columns(expression: str) -> Iterator[exp.Column]:
    import sqlglot
    from sqlglot import exp

    return sqlglot.parse_one(expression, dialect="duckdb").find_all(exp.Column)


def _resolved(names: set[str], plain: Mapping[str, str]) -> set[str]:
    """Follow names to input columns; a computed one hides its origin, and then every column counts."""
    if not names <= set(plain):
        return set(plain.values())
    return {plain[name] for name in names}
