"""Reading a file's columns for what they say they are: summaries of groups, coefficients of a regression (B9, B10).

A file has no description that the gate carried out, so its headings are all there is; a heading that lies is the reviewers' to see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

from export_gate.attacks.precision import Sheet
from export_gate.attacks.regression import Coefficients
from export_gate.attacks.summary import Summary


_WORDS: Mapping[str, frozenset[str]] = {
    "count": frozenset({"n", "count", "cnt", "size", "nobs", "人数", "例数", "样本量", "数量", "户数"}),
    "mean": frozenset({"mean", "avg", "average", "均值", "平均", "平均值", "平均数"}),
    "deviation": frozenset({"sd", "std", "stdev", "stddev", "标准差"}),
    "minimum": frozenset({"min", "minimum", "最小", "最小值"}),
    "median": frozenset({"median", "med", "p50", "中位数"}),
    "maximum": frozenset({"max", "maximum", "最大", "最大值"}),
}
_COEFFICIENT = frozenset({"coef", "coefficient", "estimate", "beta", "系数", "回归系数"})
_TERM = frozenset({"term", "variable", "name", "parameter", "变量", "项"})
_OBSERVATIONS = frozenset({"nobs", "observations", "观测数", "样本量"})


def summaries_in(sheet: Sheet) -> tuple[Summary, ...]:
    """Give the groups that rows with a count and a mean or median describe; empty when the headings are others."""
    places = {what: _place(sheet, words) for what, words in _WORDS.items()}
    count = places.pop("count")
    if count is None or (places["mean"] is None and places["median"] is None):
        return ()
    found = []
    for number, row in enumerate(sheet.rows):
        size = _decimal(row[count])
        if size is None or size != size.to_integral_value() or size < 1:
            continue
        values = {what: _decimal(row[place]) for what, place in places.items() if place is not None}
        found.append(Summary(f"row {number + 1}", int(size), **values))
    return tuple(found)


def coefficients_in(sheet: Sheet) -> tuple[Coefficients, ...]:
    """Give the regression that a table of coefficients describes; empty when it is none."""
    if _place(sheet, _COEFFICIENT) is None:
        return ()
    term, size = _place(sheet, _TERM), _place(sheet, _OBSERVATIONS)
    names = tuple(row[term] if term is not None else f"row {at + 1}" for at, row in enumerate(sheet.rows))
    behind = _place(sheet, _WORDS["count"] - _OBSERVATIONS)
    levels = {} if behind is None else {n: _whole(row[behind]) for n, row in zip(names, sheet.rows, strict=True)}
    sizes = [] if size is None else [_whole(row[size]) for row in sheet.rows]
    known = [one for one in sizes if one is not None]
    return (Coefficients(names, min(known, default=None), {n: one for n, one in levels.items() if one is not None}),)


def _place(sheet: Sheet, words: frozenset[str]) -> int | None:
    for place, name in enumerate(sheet.columns):
        if name.strip().lower().replace(" ", "").replace("_", "") in words:
            return place
    return None


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def _whole(text: str) -> int | None:
    value = _decimal(text)
    return int(value) if value is not None and value == value.to_integral_value() else None


def sheet_of(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Sheet:
    """Write plain values as a sheet holds them; None is the empty text."""
    return Sheet(tuple(columns), tuple(tuple("" if one is None else str(one) for one in row) for row in rows))
