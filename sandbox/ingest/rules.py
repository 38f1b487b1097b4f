"""Quality rules a column can declare (I8): what a value must be like to enter the table. A row that breaks one is quarantined."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TypeAlias

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
        _check_ends(self.low, self.high)


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
        if any(end is not None and not end.is_finite() for end in (self.low, self.high)):
            raise DefinitionError("import.rule-range")
        _check_ends(self.low, self.high)


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
        if not self.not_future or (self.earliest and self.latest):
            _check_ends(self.earliest, self.latest)


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
        if not self.values or not all(self.values) or len(set(self.values)) != len(self.values):
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
        if self.characters < 1:
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


def _check_ends(low: int | Decimal | date | None, high: int | Decimal | date | None) -> None:
    open_both = low is None and high is None
    if open_both or (low is not None and high is not None and low > high):  # type: ignore[operator]  # both of one class
        raise DefinitionError("import.rule-range")
