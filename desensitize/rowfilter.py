"""Which rows are granted: an allow-listed condition over the table's own columns (D5, P1).

The text is parsed, every node of it must be one that this module knows, and what runs is built anew from the checked tree: the
text itself never reaches an engine. Comments, functions, casts, subqueries, other tables and row-identifying columns are refused.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lineage.errors import DefinitionError


if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn

_LONGEST = 4_000
_DEEPEST = 40


@dataclass(frozen=True)
class RowFilter:
    """A checked condition; ``text`` is its canonical form, for people and digests."""

    text: str
    tree: Any

    def expression(self) -> SparkColumn:
        """Build the condition as a Spark expression. A row for which it is unknown (NULL) is not granted."""
        return _build(self.tree)


def parse_filter(text: str, columns: Collection[str]) -> RowFilter:
    """Check a row filter against the columns that may be filtered on.

    Raises:
        DefinitionError: it is no single condition over these columns; the parameters name the first thing that is not allowed.
    """
    import sqlglot
    from sqlglot.errors import SqlglotError

    if len(text) > _LONGEST or "--" in text or "/*" in text or ";" in text or "\\" in text:
        raise DefinitionError("desensitize.filter-form")
    try:
        # The DuckDB dialect: one way to quote a text, no escapes inside it, names in double quotes.
        statements = sqlglot.parse(f"SELECT 1 WHERE {text}", dialect="duckdb")
    except (SqlglotError, RecursionError) as error:
        raise DefinitionError("desensitize.filter-form") from error
    tree = _condition(statements)
    _check(tree, {name.lower(): name for name in columns}, _DEEPEST)
    return RowFilter(tree.sql(dialect="duckdb"), tree)


def _condition(statements: list[Any]) -> Any:
    from sqlglot import exp

    if len(statements) == 1 and isinstance(statements[0], exp.Select):
        select = statements[0]
        extra = [name for name, value in select.args.items() if value and name not in {"expressions", "where", "kind"}]
        where = select.args.get("where")
        if not extra and where is not None and len(select.expressions) == 1:
            return where.this
    raise DefinitionError("desensitize.filter-form")


def _check(tree: Any, columns: dict[str, str], depth: int) -> None:
    from sqlglot import exp

    if depth == 0:
        raise DefinitionError("desensitize.filter-form")
    match tree:
        case exp.Column():
            _check_column(tree, columns)
        case exp.Literal() | exp.Boolean() | exp.Null():
            return
        case exp.Cast():
            _check_date(tree)
        case _ if type(tree) in _nodes():
            # A word such as SYMMETRIC hangs on its node as an argument: one that is not known would change the meaning unseen.
            parts, _ = _nodes()[type(tree)]
            if {name for name, value in tree.args.items() if value} - (
                {"negate"} if isinstance(tree, exp.Like) else set()
            ) != set(parts):
                raise DefinitionError("desensitize.filter-part", part=type(tree).__name__)
            for part in _parts(tree, parts):
                _check(part, columns, depth - 1)
        case _:
            raise DefinitionError("desensitize.filter-part", part=type(tree).__name__)


def _parts(tree: Any, names: tuple[str, ...]) -> list[Any]:
    found = [tree.args[name] for name in names]
    return [part for one in found for part in (one if isinstance(one, list) else [one])]


def _check_column(tree: Any, columns: dict[str, str]) -> None:
    from sqlglot import exp

    if tree.table or not isinstance(tree.this, exp.Identifier) or tree.name.lower() not in columns:
        raise DefinitionError("desensitize.filter-column", column=tree.name or "*")
    tree.this.set("this", columns[tree.name.lower()])


def _check_date(tree: Any) -> None:
    from datetime import date

    from sqlglot import exp

    if not (tree.is_type("date") and isinstance(tree.this, exp.Literal) and tree.this.is_string):
        raise DefinitionError("desensitize.filter-part", part="CAST")
    try:
        date.fromisoformat(tree.this.this)
    except ValueError as error:
        raise DefinitionError("desensitize.filter-part", part="DATE") from error


def _build(tree: Any) -> Any:
    from pyspark.sql import functions as F  # noqa: N812
    from sqlglot import exp

    match tree:
        case exp.Column():
            return F.col(f"`{tree.name}`")
        case exp.Literal():
            return F.lit(tree.this) if tree.is_string else _number(tree.this)
        case exp.Cast():
            return F.lit(tree.this.this).cast("date")
        case exp.Boolean():
            return F.lit(bool(tree.this))
        case exp.Null():
            return F.lit(None)
        case _:
            parts, build = _nodes()[type(tree)]
            value = build(*[_build(part) for part in _parts(tree, parts)])
            return ~value if tree.args.get("negate") else value


def _number(text: str) -> Any:
    from decimal import Decimal, InvalidOperation

    from pyspark.sql import functions as F  # noqa: N812

    try:
        return F.lit(int(text)) if text.isdecimal() else F.lit(Decimal(text))
    except InvalidOperation as error:
        raise DefinitionError("desensitize.filter-form") from error


def _nodes() -> dict[Any, tuple[tuple[str, ...], Any]]:
    """Every inner node that is allowed, its parts in order, and how Spark says it."""
    from pyspark.sql import functions as F  # noqa: N812
    from sqlglot import exp

    one, two = ("this",), ("this", "expression")
    return {
        exp.And: (two, lambda left, right: left & right),
        exp.Or: (two, lambda left, right: left | right),
        exp.Not: (one, lambda value: ~value),
        exp.Paren: (one, lambda value: value),
        exp.Neg: (one, lambda value: -value),
        exp.EQ: (two, lambda left, right: left == right),
        exp.NEQ: (two, lambda left, right: left != right),
        exp.GT: (two, lambda left, right: left > right),
        exp.GTE: (two, lambda left, right: left >= right),
        exp.LT: (two, lambda left, right: left < right),
        exp.LTE: (two, lambda left, right: left <= right),
        exp.Is: (two, lambda value, known: value.eqNullSafe(known)),
        exp.Like: (two, F.like),
        exp.Between: (("this", "low", "high"), lambda value, low, high: value.between(low, high)),
        exp.In: (("this", "expressions"), lambda value, *listed: value.isin(*listed)),
    }
