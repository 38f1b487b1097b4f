"""Suggest what a column is: its entity, role and grade, from its name and a sample of its values (I3).

It is a suggestion: a person of the provider confirms it. Values decide by the share that passes, never by one cell, because one
random number in eleven has a valid check character. Floors of the grades follow GB/T 43697-2024 and practice guide TC260-PG-20212A;
the ID number is held at the strictest grade although GB/T 45574-2025 no longer lists it, because it joins everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from desensitize.entities import Entity
from desensitize.names import entity_of_name
from desensitize.recognizers import CHECKED, RECOGNIZERS, share_holding_identifier
from sandbox.columns import Grade, Role


if TYPE_CHECKING:
    import pyarrow as pa

MOST_VALUES = 2_000
"""Distinct values looked at; more would not change a share by more than three per cent."""

_SURE = 0.9
_MIXED = 0.3
_LONG_TEXT = 12

DEFAULTS: Mapping[Entity, tuple[Role, Grade]] = {
    Entity.RESIDENT_ID: (Role.DIRECT_IDENTIFIER, Grade.MOST_SENSITIVE),
    Entity.CREDIT_CODE: (Role.DIRECT_IDENTIFIER, Grade.INTERNAL),
    Entity.MOBILE: (Role.DIRECT_IDENTIFIER, Grade.RESTRICTED),
    Entity.LANDLINE: (Role.DIRECT_IDENTIFIER, Grade.RESTRICTED),
    Entity.BANK_CARD: (Role.DIRECT_IDENTIFIER, Grade.MOST_SENSITIVE),
    Entity.PASSPORT: (Role.DIRECT_IDENTIFIER, Grade.MOST_SENSITIVE),
    Entity.PLATE: (Role.DIRECT_IDENTIFIER, Grade.RESTRICTED),
    Entity.EMAIL: (Role.DIRECT_IDENTIFIER, Grade.RESTRICTED),
    Entity.IP_ADDRESS: (Role.DIRECT_IDENTIFIER, Grade.RESTRICTED),
    Entity.NAME: (Role.DIRECT_IDENTIFIER, Grade.RESTRICTED),
    Entity.COMPANY_NAME: (Role.DIRECT_IDENTIFIER, Grade.INTERNAL),
    Entity.LOCAL_NUMBER: (Role.DIRECT_IDENTIFIER, Grade.RESTRICTED),
    Entity.ADDRESS: (Role.QUASI_IDENTIFIER, Grade.RESTRICTED),
    Entity.COORDINATE: (Role.QUASI_IDENTIFIER, Grade.MOST_SENSITIVE),
    Entity.REGION: (Role.QUASI_IDENTIFIER, Grade.INTERNAL),
    Entity.POSTCODE: (Role.QUASI_IDENTIFIER, Grade.INTERNAL),
    Entity.BIRTH_DATE: (Role.QUASI_IDENTIFIER, Grade.RESTRICTED),
    Entity.AGE: (Role.QUASI_IDENTIFIER, Grade.INTERNAL),
    Entity.SEX: (Role.QUASI_IDENTIFIER, Grade.INTERNAL),
    Entity.ETHNICITY: (Role.QUASI_IDENTIFIER, Grade.RESTRICTED),
    Entity.EDUCATION: (Role.QUASI_IDENTIFIER, Grade.INTERNAL),
    Entity.OCCUPATION: (Role.QUASI_IDENTIFIER, Grade.INTERNAL),
    Entity.MARITAL: (Role.QUASI_IDENTIFIER, Grade.INTERNAL),
    Entity.RELIGION: (Role.SENSITIVE, Grade.MOST_SENSITIVE),
    Entity.DIAGNOSIS: (Role.SENSITIVE, Grade.MOST_SENSITIVE),
    Entity.INCOME: (Role.SENSITIVE, Grade.RESTRICTED),
    Entity.REMARK: (Role.FREE_TEXT, Grade.RESTRICTED),
    Entity.OTHER: (Role.PLAIN, Grade.INTERNAL),
}


@dataclass(frozen=True)
class Suggestion:
    """What a column seems to be.

    ``confidence`` is in per cent; below 50 somebody should look at the values. ``evidence`` names what spoke for it, such as
    ``name:mobile`` or ``values:resident_id:98`` (98 % of the values pass); it never quotes a value.
    """

    role: Role
    grade: Grade
    entity: Entity
    confidence: int
    evidence: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 100:
            raise ValueError("confidence is in per cent")


def suggest(name: str, comment: str, values: Sequence[str]) -> Suggestion:
    """Suggest what a column is from its name, its comment and some of its distinct values as text (NULL left out)."""
    import pyarrow as pa

    sample = pa.array([value for value in values[:MOST_VALUES] if value and not value.isspace()], pa.string())
    named = entity_of_name(name, comment)
    evidence = [f"name:{named.value}"] if named else []
    seen, ratio = _best(sample, named)
    if seen is not None:
        evidence.append(f"values:{seen.value}:{int(ratio * 100)}")
    hidden = 0.0 if ratio >= _SURE else share_holding_identifier(sample)
    if hidden:
        # Numbers typed into a remark are the real leak: the column is treated as text whatever its name says.
        evidence.append(f"inside:{max(1, int(hidden * 100))}")
        if _mean_length(sample) > _LONG_TEXT or seen is None:
            return Suggestion(Role.FREE_TEXT, Grade.MOST_SENSITIVE, Entity.REMARK, 45, tuple(evidence))
    entity, confidence = _weigh(named, seen, ratio, sample)
    role, grade = DEFAULTS[entity]
    return Suggestion(role, grade, entity, confidence, tuple(evidence))


def _best(sample: pa.Array, named: Entity | None) -> tuple[Entity | None, float]:
    """The recogniser that most values pass, the named one first among equals; None below the share that counts as mixed."""
    ratios = [(recognizer.entity, recognizer.ratio(sample)) for recognizer in RECOGNIZERS]
    entity, ratio = max(ratios, key=lambda found: (found[1], found[0] is named, found[0] in CHECKED))
    return (entity, ratio) if ratio >= _MIXED else (None, 0.0)


def _weigh(named: Entity | None, seen: Entity | None, ratio: float, sample: pa.Array) -> tuple[Entity, int]:
    if seen is Entity.BIRTH_DATE and named is not Entity.BIRTH_DATE:
        # Any date looks like a birth date; only a name can say that it is one.
        return (named, 60) if named else (Entity.OTHER, 50)
    if seen is not None and ratio < _SURE:
        return (named or seen), 40
    if seen is not None and named in {seen, None}:
        return seen, 95 if named else 90 if seen in CHECKED else 70
    if seen in CHECKED and seen is not None:
        return seen, 80
    if named is not None:
        return named, 70 if seen is None else 45
    return _unknown(sample)


def _unknown(sample: pa.Array) -> tuple[Entity, int]:
    return (Entity.REMARK, 40) if _mean_length(sample) > _LONG_TEXT else (Entity.OTHER, 30)


def _mean_length(sample: pa.Array) -> float:
    import pyarrow.compute as pc

    return float(pc.mean(pc.utf8_length(sample)).as_py() or 0)
