"""What a column is: its type, its role, its grade. The catalogue keeps it, and every later control reads it (I3, I4).

Grades follow the four levels of general data in GB/T 43697-2024, annex H; roles follow GB/T 37964-2019.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Role(StrEnum):
    """What a column can do to a subject; stored data, so a value never changes its text."""

    DIRECT_IDENTIFIER = "direct_identifier"
    QUASI_IDENTIFIER = "quasi_identifier"
    SENSITIVE = "sensitive"
    PLAIN = "plain"
    FREE_TEXT = "free_text"


class Grade(IntEnum):
    """How much harm a leak would do, from none to very serious."""

    OPEN = 1
    INTERNAL = 2
    RESTRICTED = 3
    MOST_SENSITIVE = 4


class SubjectKind(StrEnum):
    """Whom the rows of a table are about: natural persons by ID number, legal persons by credit code (I7)."""

    PERSON = "person"
    COMPANY = "company"


class Family(StrEnum):
    """What can be done to values of a type."""

    TEXT = "text"
    WHOLE = "whole"
    NUMBER = "number"
    DATE = "date"
    BOOLEAN = "boolean"


_FAMILIES = {
    Family.TEXT: ("string", "varchar", "char", "text"),
    Family.WHOLE: ("tinyint", "smallint", "int", "integer", "bigint", "long", "short", "byte"),
    Family.NUMBER: ("float", "double", "real", "decimal"),
    Family.DATE: ("date", "timestamp", "timestamp_ntz"),
    Family.BOOLEAN: ("boolean", "bool"),
}
_FAMILY_OF = {name: family for family, names in _FAMILIES.items() for name in names}

# Characters that Delta, Parquet or SQL would read as structure; a name with one of them could mean two columns.
_NAME = re.compile(r"[^\s`'\"\\.,;:(){}\[\]=<>\x00-\x1f\x7f]{1,128}")
_TYPE = re.compile(r"([a-z_]+)(\(\d+(,\s*\d+)?\))?")


@dataclass(frozen=True)
class Column:
    """One declared column.

    ``type`` is a Spark SQL type in its simple form, such as ``string`` or ``decimal(10,2)``. ``closed`` marks data that law
    closes: it can never be granted (I4). ``entity`` names what a value is (``resident_id``, ``mobile`` …); empty means that the
    name decides.

    Raises:
        ValueError: the name or the type cannot be a column's, or role or grade is not one of ours.
    """

    name: str
    type: str
    role: Role
    grade: Grade
    closed: bool
    entity: str = ""

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise ValueError(f"not a column name: {self.name!r}")
        Role(self.role)
        Grade(self.grade)
        family_of(self.type)

    @property
    def family(self) -> Family:
        """The family of the column's type."""
        return family_of(self.type)


def family_of(type_name: str) -> Family:
    """Find the family of a Spark SQL type.

    Raises:
        ValueError: the type is nested, binary or unknown; no treatment is defined for it (law 7).
    """
    match = _TYPE.fullmatch(type_name.strip().lower())
    if match is None or match.group(1) not in _FAMILY_OF:
        raise ValueError(f"no treatment is defined for values of type {type_name!r}")
    return _FAMILY_OF[match.group(1)]
