"""Quality rules a column can declare (I8): what a value must be like to enter the table. A row that breaks one is quarantined."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

from lineage.errors import DefinitionError


@dataclass(frozen=True)
class ResidentId:
    """A citizen's identity number with the right check character and a possible date of birth (GB 11643; I7).

    Cleaning: surrounding blanks go and a final ``x`` becomes ``X``, because both forms name one person and must join.
    """

    name = "resident-id"


@dataclass(frozen=True)
class CreditCode:
    """A unified social credit code with the right check character (GB 32100; I7). Cleaning: blanks go, letters become capitals."""

    name = "credit-code"


@dataclass(frozen=True)
class Mobile:
    """A mainland mobile number: eleven digits, no country code."""

    name = "mobile"


@dataclass(frozen=True)
class IntegerRange:
    """A whole number from ``low`` to ``high``, both included; None is open.

    Raises:
        DefinitionError: both ends are open, or in the wrong order.
    """

    low: int | None = None
    high: int | None = None
    name = "range"

    def __post_init__(self) -> None:
        """Refuse a range that holds everything or nothing."""
        _check_ends(int, self.low, self.high)


@dataclass(frozen=True)
class DecimalRange:
    """A decimal or floating number from ``low`` to ``high``, both included; None is open.

    Raises:
        DefinitionError: both ends are open, not finite, or in the wrong order.
    """

    low: Decimal | None = None
    high: Decimal | None = None
    name = "range"

    def __post_init__(self) -> None:
        """Refuse a range that holds everything or nothing."""
        _check_ends(Decimal, self.low, self.high)


@dataclass(frozen=True)
class DateRange:
    """A day (of a date, or of a timestamp in the domain's zone) from ``earliest`` to ``latest``, both included; None is open.

    Attributes:
        not_future: the day is at most the as-of date of the import as well.

    Raises:
        DefinitionError: nothing is demanded, or the ends are in the wrong order.
    """

    earliest: date | None = None
    latest: date | None = None
    not_future: bool = False
    name = "date-range"

    def __post_init__(self) -> None:
        """Refuse a range that holds everything or nothing."""
        if type(self.not_future) is not bool:
            raise DefinitionError("import.rule-range")
        if not self.not_future or self.earliest is not None or self.latest is not None:
            _check_ends(date, self.earliest, self.latest)


@dataclass(frozen=True)
class OneOf:
    """One of a list of texts, compared exactly.

    Raises:
        DefinitionError: the list is empty, has an empty text (which is a missing value) or one twice.
    """

    values: tuple[str, ...]
    name = "one-of"

    def __post_init__(self) -> None:
        """Refuse a list that says nothing."""
        values: Any = self.values
        texts = isinstance(values, tuple) and all(isinstance(value, str) and value for value in values)
        if not texts or not values or len(set(values)) != len(values):
            raise DefinitionError("import.rule-one-of")


@dataclass(frozen=True)
class MaxLength:
    """A text of at most so many characters (Unicode code points).

    Raises:
        DefinitionError: the number is not positive.
    """

    characters: int
    name = "max-length"

    def __post_init__(self) -> None:
        """Refuse a length that no value can have."""
        if type(self.characters) is not int or self.characters < 1:
            raise DefinitionError("import.rule-max-length")


Rule: TypeAlias = ResidentId | CreditCode | Mobile | IntegerRange | DecimalRange | DateRange | OneOf | MaxLength

RULES: dict[str, type[Rule]] = {
    "resident-id": ResidentId,
    "credit-code": CreditCode,
    "mobile": Mobile,
    "integer-range": IntegerRange,
    "decimal-range": DecimalRange,
    "date-range": DateRange,
    "one-of": OneOf,
    "max-length": MaxLength,
}
"""The rules by the word a definition uses."""


def _check_ends(kind: type[int | Decimal | date], low: Any, high: Any) -> None:
    # The exact class: these come from definition files, where a text or a truth value could stand and would reach a query.
    ends = [end for end in (low, high) if end is not None]
    proper = bool(ends) and all(type(end) is kind and not _endless(end) for end in ends)
    if not proper or (len(ends) == 2 and low > high):
        raise DefinitionError("import.rule-range")


def _endless(end: object) -> bool:
    return isinstance(end, Decimal) and not end.is_finite()
