"""From a tenant's SQL to a checked plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp, parse
from sqlglot.errors import SqlglotError

from jobs.query.expression import Expressions, Text, quoted
from jobs.query.plan import Aggregate, Function, Key, Lineage, Origin, Query, Rows
from jobs.query.refusal import kind, refused
from jobs.query.relation import MOST_COLUMNS, NAME, ROW_CLAUSES, Reader, Scope, canonical_of, only_clauses, output_name
from lineage.errors import DefinitionError


LONGEST_SQL = 64 * 1024
MOST_STEPS = 50
PRODUCT = "product"

FUNCTIONS: dict[type[exp.Expr], Function] = {
    exp.Count: Function.COUNT,
    exp.Sum: Function.SUM,
    exp.Avg: Function.AVG,
    exp.Min: Function.MIN,
    exp.Max: Function.MAX,
    exp.Median: Function.MEDIAN,
}


def parse_query(sql: str, inputs: Mapping[str, Sequence[str]], steps: Mapping[str, str]) -> Query:
    """Check an aggregate query.

    Args:
        sql: ``SELECT keys, aggregates FROM … GROUP BY keys``, one statement, at most 64 KiB.
        inputs: names of the job's inputs with the names of their columns.
        steps: names of the job's steps with their SQL, in order; each may read the inputs and the steps before it.

    Raises:
        DefinitionError: ``query.…`` with the place (a step or the product), the line and the reason.
    """
    try:
        return _query(sql, inputs, steps)
    except RecursionError as error:
        raise refused("too-deep", PRODUCT, None) from error


def parse_rows(sql: str, inputs: Mapping[str, Sequence[str]], steps: Mapping[str, str]) -> Rows:
    """Check a row-level SELECT, such as the features of a model; arguments and errors as for :func:`parse_query`."""
    try:
        select, reader = _prepared(sql, inputs, steps)
        relation = reader.select(select, PRODUCT, len(reader.order), star=False)
    except RecursionError as error:
        raise refused("too-deep", PRODUCT, None) from error
    origins = {name: text.origin for name, text in relation.fields.values() if text.origin}
    return Rows(
        select=relation.sql[1:-1],
        columns=tuple(name for name, _ in relation.fields.values()),
        tables=_tables(relation.occurrences),
        lineage=Lineage(relation.occurrences, origins, relation.equal),
    )


def _query(sql: str, inputs: Mapping[str, Sequence[str]], steps: Mapping[str, str]) -> Query:
    select, reader = _prepared(sql, inputs, steps)
    only_clauses(select, ROW_CLAUSES | {"group"}, PRODUCT)
    scope = reader.scope(select, PRODUCT, len(reader.order))
    source = _Source(scope)
    writer = Expressions(source.resolve, PRODUCT)
    keys: list[tuple[Key, Text]] = []
    aggregates: list[tuple[Aggregate, str]] = []
    for item in select.expressions:
        inner = item.this if isinstance(item, exp.Alias) else item
        if _is_aggregate(inner):
            aggregates.append(_aggregate(inner, output_name(item, PRODUCT), writer))
        else:
            text = writer.text(inner)
            if text.plain and text.origin is None:
                raise refused("constant-key", PRODUCT, item)
            keys.append((Key(output_name(item, PRODUCT), text.sql), text))
    _check_shape(select, keys, aggregates, writer)
    reads = f"{canonical_of(scope)} | {', '.join(t.canonical for _, t in keys)} | {', '.join(c for _, c in aggregates)}"
    lineage = scope.lineage(source.origins)
    return Query(
        keys=tuple(key for key, _ in keys),
        aggregates=tuple(aggregate for aggregate, _ in aggregates),
        source=source.sql,
        tables=_tables(lineage.occurrences),
        canonical=reads,
        lineage=lineage,
    )


@dataclass(frozen=True)
class _Source:
    """The rows below the aggregates: every column of the FROM, under a name that is unique."""

    scope: Scope

    @property
    def names(self) -> dict[tuple[str, str], str]:
        """Map (alias, column) to the name in the source: the first of a name keeps it, later ones are ``alias.name``."""
        names: dict[tuple[str, str], str] = {}
        taken: set[str] = set()
        for alias, name, _ in self.scope.columns():
            own = name if name.lower() not in taken else f"{alias}.{name}"
            taken.add(own.lower())
            names[alias, name] = own
        return names

    @property
    def sql(self) -> str:
        body = ", ".join(f"{quoted(a)}.{quoted(c)} AS {quoted(name)}" for (a, c), name in self.names.items())
        return f"SELECT {body} FROM {self.scope.sql}"  # noqa: S608 - written from the checked tree, names quoted

    @property
    def origins(self) -> dict[str, Origin]:
        names = self.names
        return {names[alias, name]: text.origin for alias, name, text in self.scope.columns() if text.origin}

    def resolve(self, node: exp.Column) -> Text:
        """Say what a column means above the source."""
        text = self.scope.resolve(node)
        inside = {f"{quoted(a)}.{quoted(c)}": name for (a, c), name in self.names.items()}
        return Text(quoted(inside[text.sql]), text.canonical, text.boolean, text.origin, plain=text.plain)


def _prepared(sql: str, inputs: Mapping[str, Sequence[str]], steps: Mapping[str, str]) -> tuple[exp.Select, Reader]:
    _check_names(inputs, steps)
    reader = Reader(inputs, {name: _statement(text, f"step {name}") for name, text in steps.items()})
    for index, (name, select) in enumerate(reader.steps.values()):
        reader.read = 0
        reader.select(select, f"step {name}", index, star=True)
    reader.read = 0
    return _statement(sql, PRODUCT), reader


def _check_names(inputs: Mapping[str, Sequence[str]], steps: Mapping[str, str]) -> None:
    seen: set[str] = set()
    for name in (*inputs, *steps):
        if not NAME.fullmatch(name) or name.lower() in seen:
            raise refused("bad-name", PRODUCT, None, name=name[:80])
        seen.add(name.lower())
    if len(steps) > MOST_STEPS or any(len(columns) > MOST_COLUMNS for columns in inputs.values()):
        raise refused("too-large", PRODUCT, None, limit=MOST_STEPS)
    for columns in inputs.values():
        if len({column.lower() for column in columns}) != len(columns):
            raise refused("column-twice", PRODUCT, None, name=max(columns, key=len)[:80])


def _statement(sql: str, place: str) -> exp.Select:
    """Parse exactly one SELECT."""
    if len(sql) > LONGEST_SQL or "\x00" in sql:
        raise refused("too-large", place, None, limit=LONGEST_SQL)
    try:
        statements = parse(sql, dialect="duckdb")
    except SqlglotError as error:
        details = getattr(error, "errors", None) or [{}]
        raise DefinitionError("query.syntax", place=place, line=int(details[0].get("line") or 1)) from error
    if len(statements) != 1 or statements[0] is None:
        raise refused("one-statement", place, statements[-1] if statements else None, count=len(statements))
    if not isinstance(statements[0], exp.Select):
        raise refused("not-a-select", place, statements[0], construct=kind(statements[0]))
    return statements[0]


def _is_aggregate(node: exp.Expr) -> bool:
    return type(node) in FUNCTIONS


def _aggregate(node: exp.Expr, name: str, writer: Expressions) -> tuple[Aggregate, str]:
    function, inner = FUNCTIONS[type(node)], node.this
    extra = [key for key, value in node.args.items() if value and key not in {"this", "big_int"}]
    if extra:
        raise refused("aggregate-form", PRODUCT, node, construct=kind(node))
    if function is Function.COUNT and isinstance(inner, exp.Star) and not any(inner.args.values()):
        return Aggregate(name, function, None, plain=True), "count(*)"
    if isinstance(inner, exp.Distinct):
        if function is not Function.COUNT or len(inner.expressions) != 1 or inner.args.get("on"):
            raise refused("aggregate-form", PRODUCT, node, construct=f"{kind(node)} DISTINCT")
        function, inner = Function.COUNT_DISTINCT, inner.expressions[0]
    if not isinstance(inner, exp.Expr):
        raise refused("aggregate-form", PRODUCT, node, construct=kind(node))
    text = writer.text(inner)
    return Aggregate(name, function, text.sql, plain=text.plain), f"{function}({text.canonical})"


def _check_shape(
    select: exp.Select,
    keys: list[tuple[Key, Text]],
    aggregates: list[tuple[Aggregate, str]],
    writer: Expressions,
) -> None:
    """Hold the SELECT to its GROUP BY, and the result to one column a name."""
    names = [name.lower() for name in (*(k.name for k, _ in keys), *(a.name for a, _ in aggregates))]
    for name in names:
        if names.count(name) > 1:
            raise refused("column-twice", PRODUCT, select, name=name)
    if not aggregates:
        raise refused("no-aggregate", PRODUCT, select)
    group = select.args.get("group")
    extra = [key for key, value in group.args.items() if value and key != "expressions"] if group else []
    if extra:
        raise refused("clause", PRODUCT, group, clause=f"GROUP BY {extra[0].upper()}")
    grouped = {_group_item(item, keys, writer) for item in (group.expressions if group else [])}
    if grouped != {text.sql for _, text in keys}:
        raise refused("group-by", PRODUCT, group or select)


def _group_item(node: exp.Expr, keys: list[tuple[Key, Text]], writer: Expressions) -> str:
    """Give the expression a GROUP BY item stands for: a position, the name of a key, or the expression itself."""
    if (
        isinstance(node, exp.Literal)
        and not node.is_string
        and node.this.isdigit()
        and 1 <= int(node.this) <= len(keys)
    ):
        return keys[int(node.this) - 1][1].sql
    if isinstance(node, exp.Column) and not node.table:
        for key, text in keys:
            if key.name.lower() == node.name.lower():
                return text.sql
    return writer.text(node).sql


def _tables(occurrences: tuple[tuple[int, str], ...]) -> tuple[str, ...]:
    return tuple(sorted({table for _, table in occurrences}))
