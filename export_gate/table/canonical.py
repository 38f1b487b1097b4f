"""The one form in which a table leaves: rows sorted by key, each number with the digits its sample supports.

A mean over n subjects is uncertain by about 1/√n of its size, so ⌈log10 √n⌉ + 1 significant digits carry what can be known, and the
rest is room to write in: ``2904.220101944`` can spell an identifier. Counts are exact, and so are sums of a whole or decimal column
as it stands. A sum of an expression is rounded like a mean, because its author chose what stands in the low digits. The step of
rounding is taken from the size of what was summed, not of the result: sums that cancel do not gain digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from export_gate.table.facts import Cell, Column, KeyValue, Measure, Recomputed
from jobs.query import Function
from lineage.errors import GateRefusedError


Value = str | int | None


@dataclass(frozen=True)
class CanonicalTable:
    """A table ready to be written.

    Attributes:
        columns: names, keys first.
        kinds: for each column ``key`` (text, integer or empty), ``integer`` or ``decimal`` (text in plain notation).
        rows: the values.
    """

    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    def __post_init__(self) -> None:
        """Every row has a value for each column."""
        if len(self.kinds) != len(self.columns) or any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("rows and columns of a table do not fit")


def canonical_table(recomputed: Recomputed) -> CanonicalTable:
    """Give the canonical form of a table; whether it may leave is for the checks to say.

    Raises:
        GateRefusedError: ``cells.endpoint-value``; minima, maxima and medians have no form in which they leave.
    """
    for column in recomputed.columns:
        if column.function in {Function.MIN, Function.MAX, Function.MEDIAN}:
            raise GateRefusedError("cells.endpoint-value", column=column.name)
    whole = [_is_whole(column, number, recomputed.cells) for number, column in enumerate(recomputed.columns)]
    rows = []
    for cell in sorted(recomputed.cells, key=lambda cell: [_order(value) for value in cell.key]):
        values = [_value(column, cell, number, whole=whole[number]) for number, column in enumerate(recomputed.columns)]
        rows.append((*cell.key, *values))
    return CanonicalTable(
        columns=(*recomputed.keys, *(column.name for column in recomputed.columns)),
        kinds=(*("key" for _ in recomputed.keys), *("integer" if is_whole else "decimal" for is_whole in whole)),
        rows=tuple(rows),
    )


def significant_digits(subjects: int) -> int:
    """Give ⌈log10 √n⌉ + 1 for n ≥ 1, with integers alone: the smallest d with 10^(2(d - 1)) ≥ n."""
    digits = 1
    while 10 ** (2 * (digits - 1)) < subjects:
        digits += 1
    return digits


def _exact(column: Column) -> bool:
    """Whether the number leaves as it is."""
    if column.function in {Function.COUNT, Function.COUNT_DISTINCT}:
        return True
    return column.function is Function.SUM and column.exact_type and (column.plain or column.indicator)


def _is_whole(column: Column, number: int, cells: Sequence[Cell]) -> bool:
    values = [cell.values[number] for cell in cells]
    return _exact(column) and all(value is None or value.as_tuple().exponent == 0 for value in values)


def _value(column: Column, cell: Cell, number: int, *, whole: bool) -> Value:
    value, measure = cell.values[number], cell.measures[number]
    if value is None:
        return None
    if whole:
        return int(value)
    return format(value if _exact(column) else _rounded(column, value, measure), "f")


def _rounded(column: Column, value: Decimal, measure: Measure) -> Decimal:
    """Round to the digits the subjects support, measured against the size of what was summed."""
    size = measure.total if column.function is Function.SUM else measure.total / max(measure.values, 1)
    if size == 0:
        return Decimal(0)
    step = size.adjusted() - significant_digits(measure.contributors) + 1
    with localcontext(prec=100):
        rounded = value.quantize(Decimal(1).scaleb(step), rounding=ROUND_HALF_EVEN)
        # Plain notation without a sign on zero; a step above 1 must not leave an exponent.
        return (rounded if step <= 0 else rounded.quantize(Decimal(1))) + 0


def _order(value: KeyValue) -> tuple[int, int, str]:
    """Order keys: empty first, then integers, then text by code point."""
    if value is None:
        return (0, 0, "")
    return (1, value, "") if isinstance(value, int) else (2, 0, value)
