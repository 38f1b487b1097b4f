"""Bring a summed value to a whole number of units within its bounds; total, so that no content of the tables raises an error (law 8)."""

from __future__ import annotations

from collections.abc import Collection

from export_gate.statistic.measures import Measure


Argument = tuple[str, int, int, int]
"""An expression with its lowest and highest value and its unit; equal bounds mark one whose numbers are only counted."""


def argument_of(measure: Measure) -> Argument | None:
    """Give the argument of a measure, None when it has none."""
    return None if measure.argument is None else (measure.argument, measure.low, measure.high, measure.unit)


def bounded_value(argument: Argument, whole: Collection[str]) -> str:
    """Write the value as a BIGINT: what is no number gives NULL, infinity the nearer bound, halves are rounded away from zero.

    Args:
        argument: what to bring within which bounds.
        whole: expressions whose type holds whole numbers only; they need no care.
    """
    expression, low, high, unit = argument
    if unit == 0 and expression in whole:
        return f"CAST({_cut(expression, low, high)} AS BIGINT)"
    number = f"TRY_CAST({expression} AS DOUBLE)"
    return (
        f"TRY(CASE WHEN {number} IS NULL OR isnan({number}) THEN NULL "
        f"WHEN {number} >= {_double(high + 1, unit)} THEN {high} WHEN {number} <= {_double(low - 1, unit)} THEN {low} "
        f"ELSE {_cut(_units(expression, unit), low, high)} END)"
    )


def _double(value: int, unit: int) -> str:
    """Write a bound one unit too wide: in doubles it only keeps out what is too large for decimals; the exact cut follows."""
    return f"CAST({value}e{unit} AS DOUBLE)"


def _cut(number: str, low: int, high: int) -> str:
    return f"CASE WHEN {number} > {high} THEN {high} WHEN {number} < {low} THEN {low} ELSE {number} END"


def _units(expression: str, unit: int) -> str:
    """Count an expression in its unit, exactly, by way of decimals with 28 digits."""
    if unit <= 0:
        decimal = f"TRY_CAST({expression} AS DECIMAL(28, {-unit}))"
        return f"TRY_CAST({decimal} * CAST({10**-unit} AS DECIMAL(10, 0)) AS BIGINT)"
    number = f"CAST(TRY_CAST({expression} AS DECIMAL(28, 0)) AS HUGEINT)"
    half = 5 * 10 ** (unit - 1)
    return f"TRY_CAST(({number} + CASE WHEN {number} < 0 THEN -{half} ELSE {half} END) // {10**unit} AS BIGINT)"
