"""Which source columns a product's columns come from, for the lineage graph (L1, E6).

A column depends on what its expression is made of, through every step, and on everything that chose or matched its rows: the
columns of conditions, joins and groups. A checked query names each column with its relation, so nothing has to be guessed; what
does not resolve is an error, because a graph that leaves something out cannot be trusted (law 7).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jobs.query import Query, Rows


if TYPE_CHECKING:
    from sqlglot import exp


def column_sources(query: Query, node_of_input: Mapping[str, str]) -> dict[str, list[str]]:
    """Map each result column to ``node#column`` of the tables that the query reads.

    Raises:
        KeyError: a column of the query belongs to no relation it reads.
    """
    source = _Relation(_parse(query.source), node_of_input)
    choosing = source.choosing.union(*(source.named(key.expression) for key in query.keys))
    named = [(key.name, key.expression) for key in query.keys]
    named += [(item.name, item.argument or "NULL") for item in query.aggregates]
    return {name: sorted(source.named(expression) | choosing) for name, expression in named}


def argument_sources(query: Query, node_of_input: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Map each aggregate to ``node#column`` of what its argument alone is made of; ``COUNT(*)`` is made of nothing.

    Raises:
        KeyError: as ``column_sources``.
    """
    source = _Relation(_parse(query.source), node_of_input)
    return {item.name: source.named(item.argument or "NULL") for item in query.aggregates}


def feature_sources(rows: Rows, node_of_input: Mapping[str, str]) -> list[str]:
    """Give the columns that a model's rows are made of, and those that chose them.

    Raises:
        KeyError: as ``column_sources``.
    """
    source = _Relation(_parse(rows.select), node_of_input)
    return sorted(source.choosing.union(*source.columns.values()))


class _Relation:
    """A SELECT in the checked form: its columns, each with the table columns behind it, and those that chose its rows."""

    def __init__(self, select: exp.Select, node_of_input: Mapping[str, str]) -> None:
        from sqlglot import exp

        self._read: dict[str, str | _Relation] = {}
        inner: list[_Relation] = []
        for part in _parts(select):
            if isinstance(part, exp.Table):
                self._read[part.alias_or_name] = node_of_input[part.name]
            else:
                inner.append(_Relation(part.this, node_of_input))
                self._read[part.alias_or_name] = inner[-1]
        self.columns = {one.alias_or_name: self._behind(one) for one in select.expressions}
        conditions = [join.args.get("on") for join in select.args.get("joins") or ()] + [select.args.get("where")]
        own = (self._behind(condition) for condition in conditions if condition is not None)
        self.choosing: frozenset[str] = frozenset[str]().union(*own, *(relation.choosing for relation in inner))

    def named(self, expression: str) -> frozenset[str]:
        """Give the table columns behind an expression over this relation's columns."""
        names = [column.name for column in _columns(_parse(expression))]
        return frozenset[str]().union(*(self.columns[name] for name in names))

    def _behind(self, expression: exp.Expression) -> frozenset[str]:
        found: set[str] = set()
        for column in _columns(expression):
            read = self._read[column.table]
            found |= {f"{read}#{column.name}"} if isinstance(read, str) else read.columns[column.name]
        return frozenset(found)


def _parts(select: exp.Select) -> Iterator[Any]:
    """Give what a SELECT reads: tables and subqueries."""
    yield select.args["from_"].this
    for join in select.args.get("joins") or ():
        yield join.this


def _parse(text: str) -> Any:
    import sqlglot

    return sqlglot.parse_one(text, dialect="duckdb")


def _columns(expression: exp.Expression) -> Iterator[exp.Column]:
    from sqlglot import exp

    return expression.find_all(exp.Column)
