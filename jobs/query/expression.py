"""Row-level expressions: an allow-list of total functions, written anew as DuckDB SQL.

Each handler below names one kind of node, the arguments it may carry, and its text. A node or an argument without a handler is
refused, so what a newer parser understands stays outside until someone lets it in. Whatever can fail on some value is wrapped in
DuckDB's TRY, which gives NULL instead.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlglot import exp

from jobs.query.plan import Origin
from jobs.query.refusal import kind, refused


NUMBER = re.compile(r"(\d{1,38}(\.\d{0,38})?|\.\d{1,38})([eE][+-]?\d{1,3})?")
LONGEST_TEXT = 1000
LONGEST_CANONICAL = 400
DEEPEST = 100


@dataclass(frozen=True)
class Text:
    """An expression as SQL.

    Attributes:
        sql: DuckDB SQL.
        canonical: the same over the inputs themselves, operands of commutative operators sorted.
        boolean: it gives true, false or NULL by construction.
        origin: the input column it is, when it is nothing else.
        plain: a bare column or a constant.
    """

    sql: str
    canonical: str
    boolean: bool = False
    origin: Origin | None = None
    plain: bool = False


Resolve = Callable[[exp.Column], Text]


LONGEST_JOINED = 4096
"""Characters that a joined text keeps; no key or label is longer."""


def short(canonical: str) -> str:
    """Replace a long canonical text by its digest: steps that double an expression must not double the text each time."""
    if len(canonical) <= LONGEST_CANONICAL:
        return canonical
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def quoted(name: str) -> str:
    """Write a name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


class Expressions:
    """Writes the expressions of one SELECT; ``resolve`` says what a column means there."""

    def __init__(self, resolve: Resolve, place: str) -> None:
        self.resolve = resolve
        self.place = place
        self.depth = 0

    def text(self, node: exp.Expr) -> Text:
        """Write an expression.

        Raises:
            DefinitionError: it holds something that is not on the allow-list.
        """
        entry = HANDLERS.get(type(node))
        if entry is None:
            raise refused("not-allowed", self.place, node, construct=kind(node))
        allowed, write = entry
        for name, value in node.args.items():
            if name not in allowed and value not in (None, False, []):
                raise refused("not-allowed", self.place, node, construct=f"{kind(node)} ({name})")
        if self.depth >= DEEPEST:
            raise refused("too-deep", self.place, node)
        self.depth += 1
        text = write(self, node)
        self.depth -= 1
        return text

    def condition(self, node: exp.Expr) -> Text:
        """Write an expression where a truth value is needed; anything else is cast, and what cannot be cast is NULL."""
        text = self.text(node)
        if text.boolean:
            return text
        return Text(f"TRY_CAST({text.sql} AS BOOLEAN)", f"cast({text.canonical},BOOLEAN)", boolean=True)

    def column(self, node: exp.Expr) -> Text:
        """Write a column."""
        if not isinstance(node, exp.Column):
            raise refused("not-allowed", self.place, node, construct=kind(node))
        return self.resolve(node)

    def whole(self, node: exp.Expr | None, low: int, high: int) -> int:
        """Read an integer literal within limits; lengths and digits are fixed by the text, never by the data."""
        sign = 1
        if isinstance(node, exp.Neg):
            sign, node = -1, node.this
        if not isinstance(node, exp.Literal) or node.is_string or not re.fullmatch(r"\d{1,6}", str(node.this)):
            raise refused("needs-number", self.place, node, low=low, high=high)
        value = sign * int(node.this)
        if not low <= value <= high:
            raise refused("needs-number", self.place, node, low=low, high=high)
        return value


def tried(sql: str, canonical: str, *, boolean: bool = False) -> Text:
    """Wrap what may fail: on such a row the value is NULL, and nobody learns that it failed (law 8)."""
    return Text(f"TRY({sql})", short(canonical), boolean=boolean)


def _call(name: str, parts: Iterable[Text]) -> Text:
    items = list(parts)
    return tried(f"{name}({', '.join(i.sql for i in items)})", f"{name}({','.join(i.canonical for i in items)})")


def _function(name: str) -> Callable[[Expressions, exp.Expr], Text]:
    """Write a function of everything in ``this``, ``expression`` and ``expressions``."""

    def write(at: Expressions, node: exp.Expr) -> Text:
        parts = [part for part in (node.args.get("this"), node.args.get("expression")) if isinstance(part, exp.Expr)]
        return _call(name, [at.text(part) for part in (*parts, *node.expressions)])

    return write


def _arithmetic(sign: str, *, commutes: bool = False, divides: bool = False) -> Callable[[Expressions, exp.Expr], Text]:
    def write(at: Expressions, node: exp.Expr) -> Text:
        left, right = at.text(node.this), at.text(node.expression)
        pair = [left.canonical, right.canonical]
        canonical = f"({sign.join(sorted(pair) if commutes else pair)})"
        divisor = f"nullif({right.sql}, 0)" if divides else right.sql
        return tried(f"({left.sql} {sign} {divisor})", canonical)

    return write


def _shortened(write: Callable[[Expressions, exp.Expr], Text]) -> Callable[[Expressions, exp.Expr], Text]:
    """Cut what joins texts: steps that double a text of chosen rows would exhaust the memory, and that alone answers a question."""

    def cut(at: Expressions, node: exp.Expr) -> Text:
        text = write(at, node)
        return tried(f"left({text.sql}, {LONGEST_JOINED})", text.canonical)

    return cut


def _comparison(sign: str, *, commutes: bool = False, mirrored: str = "") -> Callable[[Expressions, exp.Expr], Text]:
    def write(at: Expressions, node: exp.Expr) -> Text:
        left, right = at.text(node.this), at.text(node.expression)
        pair = [left.canonical, right.canonical]
        if mirrored:
            canonical = f"({right.canonical}{mirrored}{left.canonical})"
        else:
            canonical = f"({sign.join(sorted(pair) if commutes else pair)})"
        return tried(f"({left.sql} {sign} {right.sql})", canonical, boolean=True)

    return write


def _logic(sign: str) -> Callable[[Expressions, exp.Expr], Text]:
    def write(at: Expressions, node: exp.Expr) -> Text:
        parts = [at.condition(part) for part in node.flatten()]
        canonical = sign.join(sorted(part.canonical for part in parts))
        return Text(f"({f' {sign} '.join(part.sql for part in parts)})", short(f"({canonical})"), boolean=True)

    return write


def _not(at: Expressions, node: exp.Expr) -> Text:
    inner = at.condition(node.this)
    return Text(f"(NOT {inner.sql})", f"not({inner.canonical})", boolean=True)


def _is(at: Expressions, node: exp.Expr) -> Text:
    right = node.expression
    if not isinstance(right, exp.Null | exp.Boolean):
        raise refused("not-allowed", at.place, node, construct="IS")
    inner = at.text(node.this) if isinstance(right, exp.Null) else at.condition(node.this)
    word = "NULL" if isinstance(right, exp.Null) else str(bool(right.this)).upper()
    return Text(f"({inner.sql} IS {word})", f"is({inner.canonical},{word})", boolean=True)


def _between(at: Expressions, node: exp.Expr) -> Text:
    value, low, high = (at.text(node.args[name]) for name in ("this", "low", "high"))
    canonical = f"between({value.canonical},{low.canonical},{high.canonical})"
    return tried(f"({value.sql} BETWEEN {low.sql} AND {high.sql})", canonical, boolean=True)


def _in(at: Expressions, node: exp.Expr) -> Text:
    value, items = at.text(node.this), [at.text(item) for item in node.expressions]
    if not items:
        raise refused("not-allowed", at.place, node, construct="IN (SELECT …)")
    canonical = f"in({value.canonical};{','.join(sorted(i.canonical for i in items))})"
    return tried(f"({value.sql} IN ({', '.join(i.sql for i in items)}))", canonical, boolean=True)


def _like(at: Expressions, node: exp.Expr) -> Text:
    pattern = node.expression
    if not isinstance(pattern, exp.Literal) or not pattern.is_string or "\\" in pattern.this:
        raise refused("needs-text", at.place, node)
    value, right = at.text(node.this), at.text(pattern)
    return tried(f"({value.sql} LIKE {right.sql})", f"like({value.canonical},{right.canonical})", boolean=True)


def _case(at: Expressions, node: exp.Expr) -> Text:
    subject = at.text(node.this) if node.this else None
    branches = [
        (at.text(branch.this) if subject else at.condition(branch.this), at.text(branch.args["true"]))
        for branch in node.args["ifs"]
    ]
    default = at.text(node.args["default"]) if node.args.get("default") else Text("NULL", "null")
    opening = f"CASE {subject.sql}" if subject else "CASE"
    body = " ".join(f"WHEN {when.sql} THEN {then.sql}" for when, then in branches)
    inner = ",".join(f"{when.canonical}:{then.canonical}" for when, then in branches)
    canonical = f"case({subject.canonical if subject else ''};{inner};{default.canonical})"
    return tried(f"{opening} {body} ELSE {default.sql} END", canonical)


def _if(at: Expressions, node: exp.Expr) -> Text:
    when, then = at.condition(node.this), at.text(node.args["true"])
    default = at.text(node.args["false"]) if node.args.get("false") else Text("NULL", "null")
    canonical = f"case(;{when.canonical}:{then.canonical};{default.canonical})"
    return tried(f"CASE WHEN {when.sql} THEN {then.sql} ELSE {default.sql} END", canonical)


def _literal(at: Expressions, node: exp.Expr) -> Text:
    value = str(node.this)
    if node.is_string:
        if len(value) > LONGEST_TEXT or "\x00" in value:
            raise refused("long-text", at.place, node, limit=LONGEST_TEXT)
        escaped = "'" + value.replace("'", "''") + "'"
        return Text(escaped, short(escaped), plain=True)
    if not NUMBER.fullmatch(value):
        raise refused("bad-number", at.place, node)
    return Text(value, value.lower(), plain=True)


def _constant(_: Expressions, node: exp.Expr) -> Text:
    if isinstance(node, exp.Null):
        return Text("NULL", "null", plain=True)
    word = str(bool(node.this)).upper()
    return Text(word, word.lower(), boolean=True, plain=True)


def _negative(at: Expressions, node: exp.Expr) -> Text:
    inner = at.text(node.this)
    if isinstance(node.this, exp.Literal) and not node.this.is_string:
        return Text(f"(-{inner.sql})", f"-{inner.canonical}", plain=True)
    return tried(f"(-{inner.sql})", f"-({inner.canonical})")


def _round(at: Expressions, node: exp.Expr) -> Text:
    inner = at.text(node.this)
    digits = at.whole(node.args["decimals"], -9, 9) if node.args.get("decimals") else 0
    return tried(f"round({inner.sql}, {digits})", f"round({inner.canonical},{digits})")


def _substring(at: Expressions, node: exp.Expr) -> Text:
    inner, start = at.text(node.this), at.whole(node.args.get("start"), 1, LONGEST_TEXT)
    length = at.whole(node.args.get("length"), 0, LONGEST_TEXT)
    return tried(f"substr({inner.sql}, {start}, {length})", f"substr({inner.canonical},{start},{length})")


def _side(name: str) -> Callable[[Expressions, exp.Expr], Text]:
    def write(at: Expressions, node: exp.Expr) -> Text:
        inner, length = at.text(node.this), at.whole(node.expression, 0, LONGEST_TEXT)
        return tried(f"{name}({inner.sql}, {length})", f"{name}({inner.canonical},{length})")

    return write


DATE_PARTS = frozenset({"year", "quarter", "month", "day"})
DATE_UNITS = frozenset({"year", "quarter", "month", "week", "day"})


def _date_part(at: Expressions, node: exp.Expr) -> Text:
    part = str(node.this.name).lower() if isinstance(node, exp.Extract) else type(node).__name__.lower()
    if part not in DATE_PARTS:
        raise refused("date-unit", at.place, node, units="year, quarter, month, day")
    return _call(part, [at.text(node.expression if isinstance(node, exp.Extract) else node.this)])


def _date_trunc(at: Expressions, node: exp.Expr) -> Text:
    unit = node.args.get("unit")
    word = str(unit.name).lower() if isinstance(unit, exp.Var | exp.Literal) else ""
    if word not in DATE_UNITS:
        raise refused("date-unit", at.place, node, units="year, quarter, month, week, day")
    inner = at.text(node.this)
    return tried(f"date_trunc('{word}', {inner.sql})", f"date_trunc({word},{inner.canonical})")


_TYPES = exp.DataType.Type
SIMPLE_TYPES = {
    _TYPES.TINYINT: "TINYINT",
    _TYPES.SMALLINT: "SMALLINT",
    _TYPES.INT: "INTEGER",
    _TYPES.BIGINT: "BIGINT",
    _TYPES.FLOAT: "DOUBLE",
    _TYPES.DOUBLE: "DOUBLE",
    _TYPES.VARCHAR: "VARCHAR",
    _TYPES.TEXT: "VARCHAR",
    _TYPES.BOOLEAN: "BOOLEAN",
    _TYPES.DATE: "DATE",
    _TYPES.TIMESTAMP: "TIMESTAMP",
    _TYPES.TIMESTAMPNTZ: "TIMESTAMP",
}


def _type(at: Expressions, node: exp.Expr) -> str:
    if isinstance(node, exp.DataType) and node.this is _TYPES.DECIMAL and len(node.expressions) == 2:
        whole, scale = (at.whole(item.this, 0, 38) for item in node.expressions)
        if whole >= 1 and scale <= whole:
            return f"DECIMAL({whole}, {scale})"
    elif isinstance(node, exp.DataType) and node.this in SIMPLE_TYPES and not node.expressions:
        return SIMPLE_TYPES[node.this]
    raise refused("cast-type", at.place, node)


def _cast(at: Expressions, node: exp.Expr) -> Text:
    inner, name = at.text(node.this), _type(at, node.args["to"])
    boolean = name == "BOOLEAN"
    return Text(f"TRY_CAST({inner.sql} AS {name})", short(f"cast({inner.canonical},{name})"), boolean=boolean)


Handler = tuple[frozenset[str], Callable[[Expressions, exp.Expr], Text]]
_ONE, _TWO, _LIST = frozenset({"this"}), frozenset({"this", "expression"}), frozenset({"this", "expressions"})

HANDLERS: dict[type[exp.Expr], Handler] = {
    exp.Column: (frozenset({"this", "table"}), Expressions.column),
    exp.Literal: (frozenset({"this", "is_string"}), _literal),
    exp.Boolean: (_ONE, _constant),
    exp.Null: (frozenset(), _constant),
    exp.Paren: (_ONE, lambda at, node: at.text(node.this)),
    exp.Add: (_TWO, _arithmetic("+", commutes=True)),
    exp.Sub: (_TWO, _arithmetic("-")),
    exp.Mul: (_TWO, _arithmetic("*", commutes=True)),
    exp.Div: (_TWO | {"typed", "safe"}, _arithmetic("/", divides=True)),
    exp.IntDiv: (_TWO, _arithmetic("//", divides=True)),
    exp.Mod: (_TWO, _arithmetic("%", divides=True)),
    exp.Neg: (_ONE, _negative),
    exp.EQ: (_TWO, _comparison("=", commutes=True)),
    exp.NEQ: (_TWO, _comparison("<>", commutes=True)),
    exp.LT: (_TWO, _comparison("<")),
    exp.LTE: (_TWO, _comparison("<=")),
    exp.GT: (_TWO, _comparison(">", mirrored="<")),
    exp.GTE: (_TWO, _comparison(">=", mirrored="<=")),
    exp.NullSafeEQ: (_TWO, _comparison("IS NOT DISTINCT FROM", commutes=True)),
    exp.NullSafeNEQ: (_TWO, _comparison("IS DISTINCT FROM", commutes=True)),
    exp.And: (_TWO, _logic("AND")),
    exp.Or: (_TWO, _logic("OR")),
    exp.Not: (_ONE, _not),
    exp.Is: (_TWO, _is),
    exp.Between: (frozenset({"this", "low", "high"}), _between),
    exp.In: (_LIST, _in),
    exp.Like: (_TWO, _like),
    exp.Case: (frozenset({"this", "ifs", "default"}), _case),
    exp.If: (frozenset({"this", "true", "false"}), _if),
    exp.Cast: (frozenset({"this", "to"}), _cast),
    exp.TryCast: (frozenset({"this", "to", "safe"}), _cast),
    exp.Coalesce: (_LIST, _function("coalesce")),
    exp.Nullif: (_TWO, _function("nullif")),
    exp.Round: (frozenset({"this", "decimals"}), _round),
    exp.Floor: (_ONE, _function("floor")),
    exp.Ceil: (_ONE, _function("ceil")),
    exp.Abs: (_ONE, _function("abs")),
    exp.Least: (_LIST | {"ignore_nulls"}, _function("least")),
    exp.Greatest: (_LIST | {"ignore_nulls"}, _function("greatest")),
    exp.Substring: (frozenset({"this", "start", "length"}), _substring),
    exp.Left: (_TWO, _side("left")),
    exp.Right: (_TWO, _side("right")),
    exp.Upper: (_ONE, _function("upper")),
    exp.Lower: (_ONE, _function("lower")),
    exp.Length: (_ONE, _function("length")),
    exp.Trim: (_ONE, _function("trim")),
    exp.Concat: (frozenset({"expressions", "safe", "coalesce"}), _shortened(_function("concat"))),
    exp.DPipe: (_TWO | {"safe"}, _shortened(_arithmetic("||"))),
    exp.Year: (_ONE, _date_part),
    exp.Quarter: (_ONE, _date_part),
    exp.Month: (_ONE, _date_part),
    exp.Day: (_ONE, _date_part),
    exp.Extract: (_TWO, _date_part),
    exp.TimestampTrunc: (frozenset({"this", "unit"}), _date_trunc),
    exp.DateTrunc: (frozenset({"this", "unit"}), _date_trunc),
}
