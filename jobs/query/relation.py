"""What a SELECT reads: inputs and steps, joined on equality, filtered. Steps are written inline as subqueries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from jobs.query.expression import Expressions, Text, quoted, short
from jobs.query.plan import Lineage, Origin
from jobs.query.refusal import kind, refused


NAME = re.compile(r"[^\W\d]\w{0,62}")
MOST_OCCURRENCES = 32
MOST_COLUMNS = 1000
ROW_CLAUSES = frozenset({"expressions", "from_", "joins", "where", "kind", "operation_modifiers"})


@dataclass(frozen=True)
class Relation:
    """An input or a step, ready to stand in a FROM.

    Attributes:
        sql: a quoted name, or a subquery in parentheses.
        fields: its columns by lower-case name: name, canonical text and origin.
        canonical: what it reads and under which condition.
        occurrences: every place at which an input is read, as (number, table).
        equal: columns that joins hold equal.
    """

    sql: str
    fields: Mapping[str, tuple[str, Text]]
    canonical: str
    occurrences: tuple[tuple[int, str], ...]
    equal: tuple[tuple[Origin, Origin], ...] = ()


@dataclass
class Scope:
    """What the names in one SELECT mean: the relations in its FROM by alias, and the text read so far."""

    place: str
    items: dict[str, tuple[str, Relation]] = field(default_factory=dict)
    merged: set[str] = field(default_factory=set)
    sql: str = ""
    canonical: list[str] = field(default_factory=list)
    equal: list[tuple[Origin, Origin]] = field(default_factory=list)

    def add(self, alias: str, relation: Relation, node: exp.Expr) -> None:
        """Take a relation in under its alias."""
        if alias.lower() in self.items:
            raise refused("alias-twice", self.place, node, name=alias)
        self.items[alias.lower()] = (alias, relation)
        self.equal.extend(relation.equal)

    def resolve(self, node: exp.Column) -> Text:
        """Say what a column means; unknown and ambiguous names are refused."""
        name, table = node.name, node.table
        found = [
            Text(
                f"{quoted(alias)}.{quoted(own)}",
                text.canonical,
                text.boolean,
                text.origin,
                plain=text.origin is not None,
            )
            for key, (alias, relation) in self.items.items()
            if not table or key == table.lower()
            for own, text in [relation.fields.get(name.lower(), (None, None))]
            if own is not None and text is not None
        ]
        if not found:
            raise refused("unknown-column", self.place, node, name=f"{table}.{name}" if table else name)
        if len(found) > 1 and name.lower() not in self.merged:
            raise refused("ambiguous-column", self.place, node, name=name)
        return found[0]

    def columns(self) -> list[tuple[str, str, Text]]:
        """List every column as (alias, name, text), in the order of the FROM."""
        return [
            (alias, name, text) for alias, relation in self.items.values() for name, text in relation.fields.values()
        ]

    def lineage(self, origins: Mapping[str, Origin]) -> Lineage:
        """Say which inputs are read and where the columns named in ``origins`` come from."""
        occurrences = tuple(occurrence for _, relation in self.items.values() for occurrence in relation.occurrences)
        return Lineage(occurrences, origins, tuple(self.equal))


class Reader:
    """Builds relations for one product; counts how often inputs are read, so that steps cannot multiply without end."""

    def __init__(self, inputs: Mapping[str, Sequence[str]], steps: Mapping[str, exp.Select]) -> None:
        self.inputs = {name.lower(): (name, tuple(columns)) for name, columns in inputs.items()}
        self.steps = {name.lower(): (name, select) for name, select in steps.items()}
        self.order = list(self.steps)
        self.read = 0

    def relation(self, node: exp.Expr, place: str, visible: int) -> tuple[str, Relation]:
        """Read one table of a FROM as (alias, relation); ``visible`` is how many steps, from the first, may be named."""
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            inner = node.this if isinstance(node, exp.Table) else node
            raise refused("not-a-table", place, node, construct=kind(inner) if isinstance(inner, exp.Expr) else "?")
        extra = [name for name, value in node.args.items() if value and name not in {"this", "alias"}]
        if extra:
            raise refused("not-a-table", place, node, construct=extra[0])
        name = node.name
        alias = self._alias(node, place) or name
        if name.lower() in self.inputs:
            return alias, self._input(name.lower(), place, node)
        if name.lower() in self.order[:visible]:
            own, select = self.steps[name.lower()]
            return alias, self.select(select, f"step {own}", self.order.index(name.lower()), star=True)
        raise refused("unknown-table", place, node, name=name[:80])

    def _alias(self, node: exp.Table, place: str) -> str:
        alias = node.args.get("alias")
        if alias is None:
            return ""
        if alias.args.get("columns") or not NAME.fullmatch(alias.name):
            raise refused("bad-name", place, node, name=alias.name[:80])
        return str(alias.name)

    def _input(self, key: str, place: str, node: exp.Expr) -> Relation:
        self.read += 1
        if self.read > MOST_OCCURRENCES:
            raise refused("too-large", place, node, limit=MOST_OCCURRENCES)
        name, columns = self.inputs[key]
        number = self.read
        fields = {
            column.lower(): (column, Text(column, f"t{number}.{quoted(column)}", origin=Origin(number, name, column)))
            for column in columns
        }
        return Relation(quoted(name), fields, f"t{number}={quoted(name)}", ((number, name),))

    def scope(self, select: exp.Select, place: str, visible: int) -> Scope:
        """Read FROM, JOIN and WHERE."""
        source = select.args.get("from_")
        if not isinstance(source, exp.From):
            raise refused("no-from", place, select)
        scope = Scope(place)
        alias, relation = self.relation(source.this, place, visible)
        scope.add(alias, relation, source)
        scope.sql = f"{relation.sql} AS {quoted(alias)}"
        scope.canonical.append(relation.canonical)
        for join in select.args.get("joins") or []:
            self._join(scope, join, visible)
        where = select.args.get("where")
        if where:
            parts = [Expressions(scope.resolve, place).condition(part) for part in _conjuncts(where.this)]
            scope.sql += " WHERE " + " AND ".join(part.sql for part in parts)
            scope.canonical.append("where " + " and ".join(sorted(part.canonical for part in parts)))
        return scope

    def _join(self, scope: Scope, join: exp.Join, visible: int) -> None:
        side, how = str(join.args.get("side") or ""), str(join.args.get("kind") or "")
        extra = [n for n, v in join.args.items() if v and n not in {"this", "on", "using", "side", "kind"}]
        if (
            extra
            or side not in {"", "LEFT"}
            or how not in {"", "INNER", "OUTER"}
            or (how == "OUTER") > (side == "LEFT")
        ):
            raise refused("join-kind", scope.place, join, construct=" ".join([*extra, side, how]).strip())
        alias, relation = self.relation(join.this, scope.place, visible)
        if side == "LEFT":
            relation = _optional(relation, self.read)
        pairs = _pairs(scope, alias, relation, join)
        scope.add(alias, relation, join)
        # COALESCE makes DuckDB refuse, before it sees a row, two sides whose types it would otherwise cast row by row and may fail.
        on = " AND ".join(f"{a.sql} = {b.sql} AND coalesce({a.sql}, {b.sql}) IS NOT NULL" for a, b in pairs)
        scope.sql += f" {'LEFT' if side else 'INNER'} JOIN {relation.sql} AS {quoted(alias)} ON {on}"
        equal = " and ".join(sorted("=".join(sorted([a.canonical, b.canonical])) for a, b in pairs))
        scope.canonical.append(f"{side.lower()} join ({relation.canonical}) on {equal}")
        scope.equal.extend((a.origin, b.origin) for a, b in pairs if a.origin and b.origin)

    def select(self, select: exp.Select, place: str, visible: int, *, star: bool) -> Relation:
        """Read a row-level SELECT as a relation; ``star`` says whether ``*`` may stand for all columns.

        Raises:
            DefinitionError: it holds more than projections, equality joins and a WHERE.
        """
        only_clauses(select, ROW_CLAUSES, place)
        scope = self.scope(select, place, visible)
        fields: dict[str, tuple[str, Text]] = {}
        for name, text, node in self._projections(select, scope, star=star):
            if name.lower() in fields:
                raise refused("column-twice", place, node, name=name)
            fields[name.lower()] = (name, text)
        body = ", ".join(f"{text.sql} AS {quoted(name)}" for name, text in fields.values())
        named = {key: (name, replace(text, sql=name)) for key, (name, text) in fields.items()}
        occurrences = scope.lineage({}).occurrences
        sql = f"(SELECT {body} FROM {scope.sql})"  # noqa: S608 - written from the checked tree, names quoted
        return Relation(sql, named, canonical_of(scope), occurrences, tuple(scope.equal))

    def _projections(self, select: exp.Select, scope: Scope, *, star: bool) -> list[tuple[str, Text, exp.Expr]]:
        writer = Expressions(scope.resolve, scope.place)
        found: list[tuple[str, Text, exp.Expr]] = []
        for item in select.expressions:
            if isinstance(item, exp.Star) and star and not any(item.args.values()):
                found.extend(
                    (name, replace(text, sql=f"{quoted(alias)}.{quoted(name)}"), item)
                    for alias, name, text in scope.columns()
                )
            else:
                inner = item.this if isinstance(item, exp.Alias) else item
                found.append((output_name(item, scope.place), writer.text(inner), item))
        if not 1 <= len(found) <= MOST_COLUMNS:
            raise refused("too-large", scope.place, select, limit=MOST_COLUMNS)
        return found


def only_clauses(select: exp.Select, allowed: frozenset[str], place: str) -> None:
    """Refuse every clause that is not named."""
    for name, value in select.args.items():
        if value and name not in allowed:
            raise refused(
                "clause", place, value if isinstance(value, exp.Expr) else select, clause=name.strip("_").upper()
            )
    if select.args.get("kind") or select.args.get("operation_modifiers"):
        raise refused("clause", place, select, clause="SELECT AS")


def output_name(item: exp.Expr, place: str) -> str:
    """Give the name of a result column: what AS says, or the column's own name."""
    if isinstance(item, exp.Star):
        raise refused("star", place, item)
    if isinstance(item, exp.Column) and not isinstance(item.this, exp.Star):
        return str(item.name)
    if not isinstance(item, exp.Alias):
        code = "star" if isinstance(item, exp.Column) else "needs-name"
        raise refused(code, place, item)
    if not NAME.fullmatch(item.alias):
        raise refused("bad-name", place, item, name=item.alias[:80])
    return str(item.alias)


def _conjuncts(node: exp.Expr) -> list[exp.Expr]:
    return list(node.flatten()) if isinstance(node, exp.And) else [node]


def _optional(relation: Relation, number: int) -> Relation:
    """Mark computed columns of a LEFT JOIN's right side: without a match they are NULL, whatever their expression says."""
    fields = {
        key: (name, text if text.origin else replace(text, canonical=f"left{number}({text.canonical})"))
        for key, (name, text) in relation.fields.items()
    }
    return replace(relation, fields=fields)


def _pairs(scope: Scope, alias: str, relation: Relation, join: exp.Join) -> list[tuple[Text, Text]]:
    """Read the equalities of a join as (column before, column of the new relation)."""
    fresh = Scope(scope.place)
    fresh.add(alias, relation, join)
    using, on = join.args.get("using"), join.args.get("on")
    if using:
        pairs = []
        for identifier in using:
            column = exp.Column(this=exp.Identifier(this=identifier.name))
            pairs.append((scope.resolve(column), fresh.resolve(column)))
            scope.merged.add(identifier.name.lower())
        return pairs
    if on is None:
        raise refused("join-equality", scope.place, join)
    return [_equality(scope, fresh, part) for part in _conjuncts(on)]


def _equality(scope: Scope, fresh: Scope, part: exp.Expr) -> tuple[Text, Text]:
    part = part.unnest()
    if not isinstance(part, exp.EQ):
        raise refused("join-equality", scope.place, part)
    sides = [part.this.unnest(), part.expression.unnest()]
    if not all(isinstance(side, exp.Column) and side.table and not side.args.get("db") for side in sides):
        raise refused("join-equality", scope.place, part)
    left, right = sides
    if left.table.lower() in fresh.items:
        left, right = right, left
    return scope.resolve(left), fresh.resolve(right)


def canonical_of(scope: Scope) -> str:
    """Join what a scope reads into one text."""
    return "; ".join(short(part) for part in scope.canonical)
