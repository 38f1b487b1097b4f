"""Of whom a checked query tells: the rows it starts from, its conditions, its keys and measures, all in the words of datasets (B7).

Two tables can be set against each other where they count the same rows by other attributes. Aliases, steps and inputs' names differ
from job to job, so every column is followed down to the dataset it comes from. A condition that fixes values of a column narrows that
attribute; any other condition becomes an attribute of its own, true for the rows that are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export_gate.attacks.told import Measure, Value
from jobs.query import Function, Query


if TYPE_CHECKING:
    from sqlglot import exp


@dataclass(frozen=True)
class Population:
    """What a query is about.

    Attributes:
        rows: the rows before conditions: datasets, joins.
        keys: the attribute of each key.
        only: values that conditions leave of an attribute.
        measures: what each aggregate adds up; None where it is no sum over disjoint cells.
    """

    rows: str
    keys: tuple[str, ...]
    only: Mapping[str, frozenset[Value]]
    measures: tuple[Measure | None, ...]


def population_of(query: Query, tables: Mapping[str, str]) -> Population:
    """Read a query.

    Args:
        query: the checked query.
        tables: for each input the text that is equal for equal rows: dataset, version, what was granted of it.

    Raises:
        KeyError: a column belongs to nothing that the query reads.
    """
    source = _Source(_parse(query.source), tables)
    only: dict[str, frozenset[Value]] = {}
    for condition in source.conditions:
        name, values = _restricted(condition)
        only[name] = only[name] & values if name in only else values
    measures = []
    for one in query.aggregates:
        argument = "*" if one.argument is None else _text(source.resolved(_parse(one.argument)))
        measures.append(_measure(one.function, argument))
    keys = tuple(_text(source.resolved(_parse(key.expression))) for key in query.keys)
    return Population(" ".join(source.rows), keys, only, tuple(measures))


def _measure(function: Function, argument: str) -> Measure | None:
    match function:
        case Function.COUNT:
            return Measure("count", argument)
        case Function.SUM | Function.AVG:
            return Measure("sum", f"sum {argument}")
        case Function.COUNT_DISTINCT:
            return Measure("count", f"distinct {argument}")
        case _:
            return None


class _Source:
    """A SELECT in the checked form, with every column written out in columns of datasets."""

    def __init__(self, select: exp.Select, tables: Mapping[str, str], place: str = "") -> None:
        from sqlglot import exp

        self._read: dict[str, str | _Source] = {}
        self.columns: Mapping[str, Any] = {}
        self.rows: list[str] = []
        self.conditions: list[Any] = []
        parts, joins = list(_parts(select)), select.args.get("joins") or ()
        # Behind an outer join a condition leaves rows where they are: it then belongs to the rows.
        outer = any(join.side for join in joins)
        for number, part in enumerate(parts):
            at = place if len(parts) == 1 else f"{place}{number}."
            if isinstance(part, exp.Table):
                self._read[part.alias_or_name] = f"{tables[part.name]}#{at}"
                self.rows.append(f"{tables[part.name]}#{at}")
                continue
            inner = _Source(part.this, tables, at)
            self._read[part.alias_or_name] = inner
            self.rows += inner.rows
            if outer:
                self.rows += [f"where {_text(one)}" for one in inner.conditions]
            else:
                self.conditions += inner.conditions
        for join in joins:
            on = join.args.get("on")
            self.rows.append(f"{join.side or join.kind} join on {_text(self.resolved(on)) if on else ''}")
        where = select.args.get("where")
        if where is not None:
            self.conditions += [self.resolved(one) for one in _conjuncts(where.this)]
        self.columns = {one.alias_or_name: self.resolved(one.unalias()) for one in select.expressions}

    def resolved(self, expression: exp.Expression) -> Any:
        """Write an expression in columns of datasets."""
        return expression.copy().transform(self._column)

    def _column(self, node: Any) -> Any:
        from sqlglot import exp

        if not isinstance(node, exp.Column):
            return node
        if not node.table:
            return self.columns[node.name].copy()
        read = self._read[node.table]
        if isinstance(read, _Source):
            return read.columns[node.name].copy()
        return exp.Identifier(this=f"{read}.{node.name}", quoted=True)


def _restricted(condition: Any) -> tuple[str, frozenset[Value]]:
    """Give the attribute that a condition narrows, and to what."""
    from sqlglot import exp

    inner = _bare(condition)
    if isinstance(inner, exp.EQ):
        for side, other in ((inner.this, inner.expression), (inner.expression, inner.this)):
            if isinstance(side, exp.Identifier) and isinstance(other, exp.Literal):
                return _text(side), frozenset({_value(other)})
    if isinstance(inner, exp.In) and isinstance(inner.this, exp.Identifier):
        values = inner.expressions
        if values and all(isinstance(one, exp.Literal) for one in values):
            return _text(inner.this), frozenset(_value(one) for one in values)
    return f"where {_text(condition)}", frozenset({"true"})


def _bare(node: Any) -> Any:
    """Take off brackets and TRY, which change nothing of a condition."""
    from sqlglot import exp

    while isinstance(node, exp.Paren | exp.Try):
        node = node.this
    return node


def _value(literal: Any) -> Value:
    text = str(literal.this)
    return text if literal.is_string or not text.isdigit() else int(text)


def _parts(select: exp.Select) -> Iterator[Any]:
    yield select.args["from_"].this
    for join in select.args.get("joins") or ():
        yield join.this


def _conjuncts(node: Any) -> Iterator[Any]:
    from sqlglot import exp

    if isinstance(node, exp.And):
        yield from _conjuncts(node.this)
        yield from _conjuncts(node.expression)
    else:
        yield node


def _parse(text: str) -> Any:
    import sqlglot

    return sqlglot.parse_one(text, dialect="duckdb")


def _text(node: Any) -> str:
    return str(node.sql(dialect="duckdb"))
