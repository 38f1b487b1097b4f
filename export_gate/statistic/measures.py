"""What is measured for an aggregate: rows, subjects, or a sum of bounded values; each is one vector over the groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from jobs.query import Aggregate, Function
from lineage.errors import DefinitionError


T = TypeVar("T")

LOWEST_UNIT, HIGHEST_UNIT = -9, 9
WIDEST_BOUND = 2**31


class Kind(StrEnum):
    """The three kinds of vector that noise is added to."""

    ROWS = "rows"
    SUBJECTS = "subjects"
    SUM = "sum"


@dataclass(frozen=True)
class Measure:
    """One vector over the groups.

    Attributes:
        kind: what a component counts.
        argument: the summed expression; for ``ROWS`` the expression whose numbers are counted, None for all rows.
        low: lowest value of the argument, in its unit.
        high: highest value of the argument, in its unit.
        unit: power of ten that the argument is measured in.
    """

    kind: Kind
    argument: str | None = None
    low: int = 0
    high: int = 0
    unit: int = 0

    @property
    def weight(self) -> int:
        """Give the most that one row can move a component by, in its unit."""
        return max(abs(self.low), abs(self.high)) if self.kind is Kind.SUM else 1

    @property
    def name(self) -> str:
        """Give a name that is equal for equal measures."""
        if self.kind is Kind.SUM:
            return f"sum({(self.argument or '').casefold()}) in [{self.low}, {self.high}] * 10^{self.unit}"
        return f"{self.kind.value}({(self.argument or '').casefold()})"


SUBJECTS = Measure(Kind.SUBJECTS)
ROWS = Measure(Kind.ROWS)


def assign(
    aggregate: Aggregate, subject: str, bounds: Mapping[str, tuple[int, int]], units: Mapping[str, int]
) -> tuple[Measure, ...]:
    """Give the measures an aggregate is made from: one, or sum and number of values for an average.

    Raises:
        DefinitionError: the aggregate cannot be measured, or its argument has no usable bounds.
    """
    if aggregate.function is Function.COUNT and aggregate.argument is None:
        return (ROWS,)
    if aggregate.function is Function.COUNT_DISTINCT and _is_column(aggregate.argument, subject):
        return (SUBJECTS,)
    if aggregate.function in {Function.SUM, Function.AVG} and aggregate.argument is not None:
        total = _sum(aggregate.name, aggregate.argument, bounds, units)
        numbers = Measure(Kind.ROWS, total.argument, unit=total.unit)
        return (total,) if aggregate.function is Function.SUM else (total, numbers)
    raise DefinitionError(
        "statistic.aggregate-not-measured",
        aggregate=aggregate.name,
        function=aggregate.function.value,
        subject=subject,
    )


def plain_name(text: str) -> str:
    """Give the name by which bounds, units and the subject refer to a column: no quotes, letter case does not count."""
    return text.strip().strip('"').casefold()


def _is_column(argument: str | None, column: str) -> bool:
    return argument is not None and plain_name(argument) == plain_name(column)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _sum(name: str, argument: str, bounds: Mapping[str, tuple[int, int]], units: Mapping[str, int]) -> Measure:
    pair = _named(bounds, name, argument)
    if pair is None:
        raise DefinitionError("statistic.bounds-missing", aggregate=name)
    unit = _named(units, name, argument) or 0
    if not _whole(unit) or not LOWEST_UNIT <= unit <= HIGHEST_UNIT:
        raise DefinitionError("statistic.unit", aggregate=name, low=LOWEST_UNIT, high=HIGHEST_UNIT)
    if len(tuple(pair)) != 2 or not all(map(_whole, pair)) or pair[0] >= pair[1]:
        raise DefinitionError("statistic.bounds", aggregate=name)
    if max(abs(pair[0]), abs(pair[1])) > WIDEST_BOUND:
        raise DefinitionError("statistic.bounds-too-wide", aggregate=name)
    return Measure(Kind.SUM, argument, pair[0], pair[1], unit)


def _named(values: Mapping[str, T], name: str, argument: str) -> T | None:
    """Look up by the aggregate's name first: two aggregates of one column may need different bounds."""
    folded = {plain_name(key): value for key, value in values.items()}
    return folded.get(plain_name(name), folded.get(plain_name(argument)))
