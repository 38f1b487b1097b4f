"""Treatments: what is done to the values of a column, one frozen value each, checked when it is made (P4).

A treatment keeps the type of its column, so that a job developed on a view runs unchanged on the inputs. None here can be undone
(E3). GB/T 37964-2019 names the techniques; hashing without a key is left out on purpose, because it hides nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from desensitize.entities import Entity
from lineage.canonical import encode
from sandbox.columns import Family


if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn

_ALL = frozenset(Family)
_WIDEST = 10**15
_CODE_DIGITS = 6


@dataclass(frozen=True)
class Treatment(ABC):
    """A rule for one column; ``families`` are the types of column that it is defined for."""

    name: ClassVar[str]
    reversible: ClassVar[bool] = False
    families: ClassVar[frozenset[Family]] = _ALL

    def parameters(self) -> dict[str, int | str]:
        """The parameters for the record: whole numbers and text only."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: _plain(value) for name, value in values}


@dataclass(frozen=True)
class Token(Treatment):
    """Replace by a keyed token; the expression needs the scenario's keys and is made by ``pseudonym``."""

    name: ClassVar[str] = "token"
    families: ClassVar[frozenset[Family]] = frozenset({Family.TEXT, Family.WHOLE})

    entity: Entity


@dataclass(frozen=True)
class ValueTreatment(Treatment):
    """A treatment that looks at nothing but the value."""

    @abstractmethod
    def expression(self, value: SparkColumn) -> SparkColumn:
        """Give the treated value; NULL stays NULL, and a value that the rule cannot read becomes NULL."""


@dataclass(frozen=True)
class Keep(ValueTreatment):
    """Leave the value as it is."""

    name: ClassVar[str] = "keep"

    def expression(self, value: SparkColumn) -> SparkColumn:
        """Give the value."""
        return value


@dataclass(frozen=True)
class Drop(ValueTreatment):
    """Drop every value; the column stays and holds NULL, so that the schema is the one of the inputs."""

    name: ClassVar[str] = "drop"

    def expression(self, value: SparkColumn) -> SparkColumn:
        """Give NULL of the value's type."""
        from pyspark.sql import functions as F  # noqa: N812

        return F.when(F.lit(False), value)


@dataclass(frozen=True)
class Constant(ValueTreatment):
    """Replace every value, NULL too, by one text."""

    name: ClassVar[str] = "constant"
    families: ClassVar[frozenset[Family]] = frozenset({Family.TEXT})

    text: str

    def expression(self, value: SparkColumn) -> SparkColumn:  # noqa: ARG002
        """Give the text."""
        from pyspark.sql import functions as F  # noqa: N812

        return F.lit(self.text)


@dataclass(frozen=True)
class Mask(ValueTreatment):
    """Keep the first and last characters and star the rest; a value too short to hide anything is starred whole."""

    name: ClassVar[str] = "mask"
    families: ClassVar[frozenset[Family]] = frozenset({Family.TEXT})

    keep_first: int
    keep_last: int

    def __post_init__(self) -> None:
        _check(0 <= self.keep_first <= 16 and 0 <= self.keep_last <= 16)

    def expression(self, value: SparkColumn) -> SparkColumn:
        """Give the masked value, of the same length."""
        from pyspark.sql import functions as F  # noqa: N812

        length, shown = F.length(value), self.keep_first + self.keep_last
        masked = F.concat(
            F.left(value, F.lit(self.keep_first)),
            F.repeat(F.lit("*"), length - shown),
            F.right(value, F.lit(self.keep_last)),
        )
        return F.when(length > shown, masked).otherwise(F.repeat(F.lit("*"), length))


@dataclass(frozen=True)
class GeneraliseNumber(ValueTreatment):
    """Replace a number by the lower end of its band of ``width``."""

    name: ClassVar[str] = "generalise-number"
    families: ClassVar[frozenset[Family]] = frozenset({Family.WHOLE, Family.NUMBER})

    width: int

    def __post_init__(self) -> None:
        _check(1 < self.width <= _WIDEST)

    def expression(self, value: SparkColumn) -> SparkColumn:
        """Give the lower end; NULL where it would leave the range of the type."""
        from pyspark.sql import functions as F  # noqa: N812

        return F.try_subtract(value, F.pmod(value, F.lit(self.width)))


@dataclass(frozen=True)
class RoundSignificant(ValueTreatment):
    """Round a number to so many significant digits; fits any scale, from cents to millions."""

    name: ClassVar[str] = "round-significant"
    families: ClassVar[frozenset[Family]] = frozenset({Family.WHOLE, Family.NUMBER})

    digits: int

    def __post_init__(self) -> None:
        _check(1 <= self.digits <= 6)

    def expression(self, value: SparkColumn) -> SparkColumn:
        """Give the rounded number; by way of its decimal form, since multiplying by powers of ten leaves crumbs."""
        from pyspark.sql import functions as F  # noqa: N812

        number = value.cast("double")
        return F.when(number.isNotNull(), F.format_string(f"%.{self.digits - 1}e", number).try_cast("double"))


@dataclass(frozen=True)
class TopCode(ValueTreatment):
    """Hold a number between ``bottom`` and ``top``: the extremes are the ones that everybody knows."""

    name: ClassVar[str] = "top-code"
    families: ClassVar[frozenset[Family]] = frozenset({Family.WHOLE, Family.NUMBER})

    bottom: int
    top: int

    def __post_init__(self) -> None:
        _check(-_WIDEST <= self.bottom < self.top <= _WIDEST)

    def expression(self, value: SparkColumn) -> SparkColumn:
        """Give the held number; NULL stays NULL, not-a-number becomes the top."""
        from pyspark.sql import functions as F  # noqa: N812

        # least() and greatest() skip NULL, so NULL needs its own branch.
        return F.when(value.isNotNull(), F.greatest(F.lit(self.bottom), F.least(F.lit(self.top), value)))


class DateUnit(StrEnum):
    """To what a date is truncated."""

    YEAR = "year"
    MONTH = "month"


@dataclass(frozen=True)
class TruncateDate(ValueTreatment):
    """Replace a date or time by the first day of its month or year."""

    name: ClassVar[str] = "truncate-date"
    families: ClassVar[frozenset[Family]] = frozenset({Family.DATE})

    unit: DateUnit

    def expression(self, value: SparkColumn) -> SparkColumn:
        """Give the first day."""
        from pyspark.sql import functions as F  # noqa: N812

        return F.trunc(value, self.unit.value)


@dataclass(frozen=True)
class YearBand(ValueTreatment):
    """Replace a date by the first day of its band of years; of text or a number, the year at its beginning counts."""

    name: ClassVar[str] = "year-band"
    families: ClassVar[frozenset[Family]] = frozenset({Family.DATE, Family.TEXT, Family.WHOLE})

    years: int
    written: bool = False

    def __post_init__(self) -> None:
        _check(1 <= self.years <= 100)

    def expression(self, value: SparkColumn) -> SparkColumn:
        """Give the first day of the band as a date, or the band's first year where the date is ``written`` as text or number."""
        from pyspark.sql import functions as F  # noqa: N812

        if self.written:
            found = F.regexp_extract(
                value.cast("string"), r"^\s*((?:18|19|20)[0-9][0-9])(?:[^0-9]|[0-9]{4}(?:[^0-9]|$)|$)", 1
            )
            year = found.try_cast("int")
            return (year - F.pmod(year, F.lit(self.years))).cast("string")
        year = F.year(value)
        return F.make_date(year - F.pmod(year, F.lit(self.years)), F.lit(1), F.lit(1))


@dataclass(frozen=True)
class GeneraliseRegion(ValueTreatment):
    """Replace an administrative division code (GB/T 2260) by the county (6), city (4) or province (2) that holds it.

    A name of a region has no levels that a rule could read: it is kept as a county and dropped above.
    """

    name: ClassVar[str] = "generalise-region"
    families: ClassVar[frozenset[Family]] = frozenset({Family.TEXT, Family.WHOLE})

    digits: int

    def __post_init__(self) -> None:
        _check(self.digits in {2, 4, _CODE_DIGITS})

    def expression(self, value: SparkColumn) -> SparkColumn:
        """Give the division's code, filled with zeros to six digits."""
        from pyspark.sql import functions as F  # noqa: N812

        text = F.trim(value.cast("string"))
        code = F.rpad(F.left(text, F.lit(self.digits)), _CODE_DIGITS, "0")
        has_digit = text.rlike("[0-9]")
        coarse = F.when(text.rlike("^[1-9][0-9]{5,11}$"), code)
        # A county's name has no digit; what has one and is no code may be an address.
        return coarse.when(~has_digit, text) if self.digits == _CODE_DIGITS else coarse


@dataclass(frozen=True)
class GeneraliseCategory(ValueTreatment):
    """Replace a category by the group it belongs to; ``groups`` are pairs, ``other`` is for all that is not named."""

    name: ClassVar[str] = "generalise-category"
    families: ClassVar[frozenset[Family]] = frozenset({Family.TEXT})

    groups: tuple[tuple[str, str], ...]
    other: str

    def __post_init__(self) -> None:
        _check(bool(self.groups) and len(dict(self.groups)) == len(self.groups))

    def expression(self, value: SparkColumn) -> SparkColumn:
        """Give the group."""
        from pyspark.sql import functions as F  # noqa: N812

        pairs = [F.lit(text) for pair in self.groups for text in pair]
        group = F.element_at(F.create_map(*pairs), F.trim(value))
        return F.when(value.isNotNull(), F.coalesce(group, F.lit(self.other)))


@dataclass(frozen=True)
class Prefix(ValueTreatment):
    """Keep the first characters of a code whose beginning is its coarser class, such as a postcode or an ICD-10 code."""

    name: ClassVar[str] = "prefix"
    families: ClassVar[frozenset[Family]] = frozenset({Family.TEXT})

    length: int

    def __post_init__(self) -> None:
        _check(1 <= self.length <= 16)

    def expression(self, value: SparkColumn) -> SparkColumn:
        """Give the beginning."""
        from pyspark.sql import functions as F  # noqa: N812

        return F.left(F.trim(value), F.lit(self.length))


def _plain(value: object) -> int | str:
    match value:
        case int():
            return int(value)
        case str():
            return str(value)
        case tuple():
            return encode(value).decode()
        case _:
            raise TypeError("a parameter is a number, a text or a list of texts")


def _check(holds: bool) -> None:
    if not holds:
        raise ValueError("a treatment's parameters are out of range")
