"""What a table is declared to hold: columns with plain names, types and rules, and whom its rows are about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from lineage.errors import DefinitionError
from sandbox.ingest.names import is_plain
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


ROW_SUBJECT = "row_subject"
"""Subject key that an import makes for a table without one: the number of the row, so that each row counts as one subject."""


class Kind(StrEnum):
    """Kinds of value; each is stored as one type of Spark and Delta."""

    STRING = "string"
    INTEGER = "integer"
    DECIMAL = "decimal"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"


_SPARK_TYPES = {
    Kind.STRING: "string",
    Kind.INTEGER: "bigint",
    Kind.DOUBLE: "double",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.TIMESTAMP: "timestamp",
}

_RULE_KINDS: dict[type[Rule], frozenset[Kind]] = {
    ResidentId: frozenset({Kind.STRING}),
    CreditCode: frozenset({Kind.STRING}),
    Mobile: frozenset({Kind.STRING}),
    OneOf: frozenset({Kind.STRING}),
    MaxLength: frozenset({Kind.STRING}),
    IntegerRange: frozenset({Kind.INTEGER}),
    DecimalRange: frozenset({Kind.DECIMAL, Kind.DOUBLE}),
    DateRange: frozenset({Kind.DATE, Kind.TIMESTAMP}),
}

_TYPE_TEXT = re.compile(r"([a-z]+)(?:\(([0-9]{1,2}), ?([0-9]{1,2})\))?")
_DECIMAL_DIGITS = 38


@dataclass(frozen=True)
class ColumnType:
    """Type of a column; ``integer`` has 64 bits, ``decimal`` up to 38 digits, a timestamp is a moment.

    Raises:
        DefinitionError: a decimal without 1 ≤ precision ≤ 38 and 0 ≤ scale ≤ precision; another type with them.
    """

    kind: Kind
    precision: int | None = None
    scale: int | None = None

    def __post_init__(self) -> None:
        """Refuse digits where there are none, and decimals without."""
        if self.kind is not Kind.DECIMAL:
            valid = self.precision is None and self.scale is None
        else:
            valid = self.precision is not None and self.scale is not None
            valid = (
                valid and 0 <= (self.scale or 0) <= (self.precision or 0) <= _DECIMAL_DIGITS and bool(self.precision)
            )
        if not valid:
            raise DefinitionError("import.type-unknown", type=str(self))

    @classmethod
    def parse(cls, text: str) -> ColumnType:
        """Read ``integer``, ``decimal(10,2)`` and so on.

        Raises:
            DefinitionError: no such type.
        """
        found = _TYPE_TEXT.fullmatch(text)
        if not found or found[1] not in set(Kind):
            raise DefinitionError("import.type-unknown", type=text[:40])
        digits = [None if part is None else int(part) for part in found.groups()[1:]]
        return cls(Kind(found[1]), *digits)

    @property
    def spark(self) -> str:
        """Name of the type in Spark SQL."""
        return str(self) if self.kind is Kind.DECIMAL else _SPARK_TYPES[self.kind]

    def __str__(self) -> str:
        if self.precision is None and self.scale is None:
            return self.kind.value
        return f"{self.kind.value}({self.precision},{self.scale})"


STRING = ColumnType(Kind.STRING)
INTEGER = ColumnType(Kind.INTEGER)
DOUBLE = ColumnType(Kind.DOUBLE)
BOOLEAN = ColumnType(Kind.BOOLEAN)
DATE = ColumnType(Kind.DATE)
TIMESTAMP = ColumnType(Kind.TIMESTAMP)


def decimal(precision: int, scale: int) -> ColumnType:
    """Give the decimal type of so many digits, ``scale`` of them after the point."""
    return ColumnType(Kind.DECIMAL, precision, scale)


@dataclass(frozen=True)
class ColumnSchema:
    """One column.

    Attributes:
        name: plain identifier in the table (``[a-z_][a-z0-9_]*``).
        type: what its values are parsed to.
        required: whether a row without a value is quarantined.
        rule: what its values must be like besides.
        source_name: name in the source, where that differs (``婚姻状况``, ``marital-status``).

    Raises:
        DefinitionError: the name is not plain, or the rule does not fit the type.
    """

    name: str
    type: ColumnType
    required: bool = False
    rule: Rule | None = None
    source_name: str = ""

    def __post_init__(self) -> None:
        """Refuse names that SQL would have to quote, and rules that could never be checked."""
        if not is_plain(self.name):
            raise DefinitionError("import.name-not-plain", name=self.name[:60])
        if self.rule is not None and self.type.kind not in _RULE_KINDS[type(self.rule)]:
            raise DefinitionError("import.rule-misfit", column=self.name, rule=self.rule.name, type=str(self.type))
        if not self.source_name:
            object.__setattr__(self, "source_name", self.name)


@dataclass(frozen=True)
class TableSchema:
    """The columns of a table and the keys over them.

    Attributes:
        columns: in the order of the table.
        subject_key: the column that says whom a row is about; None when the table is about nobody. Its values are never missing.
        make_subject: make ``row_subject`` on import and take it as the subject key: each row is a subject of its own.
        unique_key: columns whose values together no two rows may share; empty when rows may repeat.

    Raises:
        DefinitionError: no column, a name or source name twice, a key that is no column, or two subject keys.
    """

    columns: tuple[ColumnSchema, ...]
    subject_key: str | None = None
    make_subject: bool = False
    unique_key: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse columns that hide each other and keys over nothing."""
        names = [column.name for column in self.columns]
        if not names:
            raise DefinitionError("import.no-column")
        if self.make_subject:
            if self.subject_key not in {None, ROW_SUBJECT} or ROW_SUBJECT in names:
                raise DefinitionError("import.two-subjects", made=ROW_SUBJECT)
            object.__setattr__(self, "subject_key", ROW_SUBJECT)
        elif self.subject_key is not None and self.subject_key not in names:
            raise DefinitionError("import.key-unknown", column=self.subject_key)
        for used in (names, [column.source_name for column in self.columns]):
            if twice := sorted({name for name in used if used.count(name) > 1}):
                raise DefinitionError("import.name-twice", name=twice[0])
        if unknown := [name for name in self.unique_key if name not in names]:
            raise DefinitionError("import.key-unknown", column=unknown[0])

    def never_missing(self, column: ColumnSchema) -> bool:
        """Tell whether the stored column may hold no missing value."""
        return column.required or column.name in {self.subject_key, *self.unique_key}
