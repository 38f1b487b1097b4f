"""Spark SQL for a schema: how each raw cell becomes a value, and which condition each rule breaks on.

Cells are the columns ``c0``, ``c1`` …, the same without blanks ``u0``, ``u1`` …, values ``t0``, ``t1`` …: no name and no text of a
definition reaches the SQL except as an escaped literal.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import assert_never

from sandbox.ingest.checksums import (
    CREDIT_ALPHABET,
    CREDIT_CODE,
    CREDIT_WEIGHTS,
    ID_CHECKS,
    ID_WEIGHTS,
    MOBILE,
    RESIDENT_ID,
)
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
from sandbox.ingest.schema import ColumnSchema, ColumnType, Kind, TableSchema


BLANKS = " \t\u3000"
"""What surrounds a value without being part of it; the last is the ideographic space."""

TRUE_WORDS = ("true", "t", "yes", "y", "1", "是")
FALSE_WORDS = ("false", "f", "no", "n", "0", "否")

INTEGER_TEXT = "[+-]?[0-9]{1,19}"
DOUBLE_TEXT = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?"
_YEAR = "(?!0000)[0-9]{4}"
DATE_DASHED = f"{_YEAR}-[0-9]{{1,2}}-[0-9]{{1,2}}"
DATE_PARTED = rf"{_YEAR}([/.])[0-9]{{1,2}}\1[0-9]{{1,2}}"
DATE_COMPACT = f"{_YEAR}[0-9]{{4}}"
DATE_CHINESE = f"{_YEAR}年[0-9]{{1,2}}月[0-9]{{1,2}}日"
TIMESTAMP_TEXT = (
    rf"{DATE_DASHED}(?:[T ][0-9]{{1,2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]{{1,6}})?)?(?:Z|[+-][0-9]{{2}}:[0-9]{{2}})?)?"
)
"""Forms of values, in the common ground of Java's and Python's regular expressions. Anything else does not parse: Spark's own
casts accept a bare year as a date, round decimals and read ``1d`` as a number, all without a word."""


def literal(text: str) -> str:
    """Quote a text for Spark SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def cell_text(index: int) -> str:
    """Give the cell without surrounding blanks; NULL when nothing is left, which is what a missing value is."""
    return f"nullif(btrim(c{index}, {literal(BLANKS)}), '')"


def value(column: ColumnSchema, index: int) -> str:
    """Give the value of the column's type; NULL when it is missing or does not parse."""
    text = f"u{index}"
    if isinstance(column.rule, (ResidentId, CreditCode)):
        return f"upper({text})"
    match column.type.kind:
        case Kind.STRING:
            return f"if({text} is null, null, c{index})"
        case Kind.BOOLEAN:
            yes, no = (f"lower({text}) in ({_words(words)})" for words in (TRUE_WORDS, FALSE_WORDS))
            return f"case when {yes} then true when {no} then false end"
        case Kind.DATE:
            return _date(text)
        case Kind.DOUBLE:
            number = _guarded(text, DOUBLE_TEXT, "double")
            return f"if(abs({number}) < double('Infinity'), {number}, null)"
        case Kind.INTEGER:
            return _guarded(text, INTEGER_TEXT, "bigint")
        case Kind.DECIMAL:
            return _guarded(text, decimal_text(column.type), column.type.spark)
        case Kind.TIMESTAMP:
            return _guarded(text, TIMESTAMP_TEXT, "timestamp")
        case _:
            assert_never(column.type.kind)


def decimal_text(column_type: ColumnType) -> str:
    """Give the form of a decimal that fits without rounding."""
    scale = column_type.scale or 0
    whole = (column_type.precision or 0) - scale
    return rf"[+-]?0*[0-9]{{0,{whole}}}(?:\.[0-9]{{0,{scale}}}0*)?"


def breaks(schema: TableSchema, as_of: date) -> Iterator[tuple[str, str]]:
    """Yield the name of each rule of the schema and the condition on which a row breaks it, in column order."""
    for index, column in enumerate(schema.columns):
        if schema.never_missing(column):
            yield f"{column.name}.required", f"u{index} is null"
        if column.type.kind is not Kind.STRING:
            yield f"{column.name}.type", f"u{index} is not null and t{index} is null"
        if column.rule is not None:
            kept = condition(column.rule, f"t{index}", as_of)
            yield f"{column.name}.{column.rule.name}", f"t{index} is not null and not coalesce({kept}, false)"


def condition(rule: Rule, of: str, as_of: date) -> str:
    """Give the condition under which the value ``of`` (a column) keeps the rule."""
    match rule:
        case ResidentId():
            return _resident_id(of, as_of)
        case CreditCode():
            return _credit_code(of)
        case Mobile():
            return _matches(of, MOBILE)
        case IntegerRange() | DecimalRange():
            return _between(of, _number(rule.low), _number(rule.high))
        case DateRange():
            return _days(rule, of, as_of)
        case OneOf():
            return f"{of} in ({_words(rule.values)})"
        case MaxLength():
            return f"char_length({of}) <= {rule.characters}"
        case _:
            assert_never(rule)


def _words(words: tuple[str, ...]) -> str:
    return ", ".join(literal(word) for word in words)


def _matches(text: str, form: str) -> str:
    # \z and not $, which in Java also matches before a final line end.
    whole = literal(rf"^(?:{form})\z")
    return f"{text} rlike {whole}"


def _guarded(text: str, form: str, spark_type: str) -> str:
    return f"if({_matches(text, form)}, try_cast({text} as {spark_type}), null)"


def _date(text: str) -> str:
    compact = f"concat_ws('-', substr({text}, 1, 4), substr({text}, 5, 2), substr({text}, 7, 2))"
    forms = {
        DATE_DASHED: text,
        DATE_COMPACT: compact,
        DATE_PARTED: f"translate({text}, '/.', '--')",
        DATE_CHINESE: f"translate({text}, '年月日', '--')",
    }
    cases = " ".join(f"when {_matches(text, form)} then try_cast({iso} as date)" for form, iso in forms.items())
    return f"case {cases} end"


def _resident_id(of: str, as_of: date) -> str:
    total = " + ".join(
        f"(ascii(substr({of}, {at}, 1)) - 48) * {weight}" for at, weight in enumerate(ID_WEIGHTS, start=1)
    )
    born = f"try_cast(concat_ws('-', substr({of}, 7, 4), substr({of}, 11, 2), substr({of}, 13, 2)) as date)"
    checked = f"substr('{ID_CHECKS}', pmod({total}, 11) + 1, 1) = substr({of}, 18, 1)"
    return f"({_matches(of, RESIDENT_ID)} and {born} <= date'{as_of.isoformat()}' and {checked})"


def _credit_code(of: str) -> str:
    alphabet = literal(CREDIT_ALPHABET)
    total = " + ".join(
        f"(instr({alphabet}, substr({of}, {at}, 1)) - 1) * {weight}"
        for at, weight in enumerate(CREDIT_WEIGHTS, start=1)
    )
    checked = f"substr({alphabet}, pmod(-({total}), 31) + 1, 1) = substr({of}, 18, 1)"
    return f"({_matches(of, CREDIT_CODE)} and {checked})"


def _number(end: object) -> str | None:
    # As a decimal: a literal such as 1E+3 would be a double and compare inexactly.
    return None if end is None else f"{end:f}" if not isinstance(end, int) else str(end)


def _between(of: str, low: str | None, high: str | None) -> str:
    ends = [f"{of} >= {low}" if low is not None else "", f"{of} <= {high}" if high is not None else ""]
    return "(" + " and ".join(filter(None, ends)) + ")"


def _days(rule: DateRange, of: str, as_of: date) -> str:
    latest = min(filter(None, (rule.latest, as_of))) if rule.not_future else rule.latest
    low = f"date'{rule.earliest.isoformat()}'" if rule.earliest else None
    high = f"date'{latest.isoformat()}'" if latest else None
    return _between(f"cast({of} as date)", low, high)
