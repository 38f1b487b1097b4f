"""Which treatment each column gets: one total table for views, one for inputs, over role and grade (P1, P2, I3, I4).

Privacy by default: what is not granted is absent, what is granted but not declared and graded is refused. The subject key is always
carried, as a token, because without it neither sampling nor k-anonymity nor the gate's bound per subject could be checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from desensitize.entities import Entity
from desensitize.hierarchies import coarsen, levels_for
from desensitize.names import entity_of_name
from desensitize.treatments import Drop, Keep, Token, Treatment, ValueTreatment
from lineage.canonical import Json, encode
from lineage.errors import DefinitionError, NotPermittedError
from sandbox.columns import Column, Grade, Role, SubjectKind
from sandbox.grants import Zone


RULES_VERSION = 1
"""Raised with every change of a table or a hierarchy, so that a record says under which rules a view was made."""

DEFAULT_K = 10
DEFAULT_TOLERANCE = 5
_LARGEST_TOLERANCE = 20


class Handling(StrEnum):
    """What a role and a grade ask for, before the type and the meaning of the column choose the treatment."""

    TOKEN = "token"  # noqa: S105
    DROP = "drop"
    GENERALISE = "generalise"
    COARSEN = "coarsen"
    KEEP = "keep"


_VIEW_BY_ROLE: Mapping[Role, tuple[Handling, Handling, Handling, Handling]] = {
    Role.DIRECT_IDENTIFIER: (Handling.TOKEN, Handling.TOKEN, Handling.TOKEN, Handling.TOKEN),
    Role.QUASI_IDENTIFIER: (Handling.GENERALISE, Handling.GENERALISE, Handling.GENERALISE, Handling.GENERALISE),
    Role.SENSITIVE: (Handling.KEEP, Handling.KEEP, Handling.KEEP, Handling.COARSEN),
    Role.PLAIN: (Handling.KEEP, Handling.KEEP, Handling.KEEP, Handling.COARSEN),
    Role.FREE_TEXT: (Handling.DROP, Handling.DROP, Handling.DROP, Handling.DROP),
}
"""Grades 1 to 4 from left to right. Sensitive values are what is studied, so they stay, linked to nobody; at grade 4 numbers keep
two digits, times the month, diagnoses their ICD-10 category."""

HANDLING: Mapping[tuple[Zone, Role, Grade], Handling] = {
    **{(Zone.VIEW, role, grade): row[grade - 1] for role, row in _VIEW_BY_ROLE.items() for grade in Grade},
    **{
        (Zone.INPUT, role, grade): Handling.TOKEN if role is Role.DIRECT_IDENTIFIER else Handling.KEEP
        for role in Role
        for grade in Grade
    },
}


@dataclass(frozen=True)
class ColumnPlan:
    """What happens to one column: one treatment, or for a quasi-identifier an ordered list of levels to choose from.

    Raises:
        DefinitionError: a treatment is not defined for values of the column's type.
        ValueError: there is no treatment, or a level cannot be computed from the value alone.
    """

    column: Column
    treatments: tuple[Treatment, ...]

    def __post_init__(self) -> None:
        if not self.treatments:
            raise ValueError("a column without a treatment would pass untreated")
        if len(self.treatments) > 1 and not all(isinstance(level, ValueTreatment) for level in self.treatments):
            raise ValueError("levels are computed from the value alone")
        for treatment in self.treatments:
            if self.column.family not in treatment.families:
                raise DefinitionError(
                    "desensitize.treatment-type",
                    column=self.column.name,
                    treatment=treatment.name,
                    type=self.column.type,
                )

    @property
    def generalised(self) -> bool:
        """Whether the column is a quasi-identifier whose level is still to be chosen."""
        return len(self.treatments) > 1


@dataclass(frozen=True)
class Plan:
    """How a granted table is made; ``tolerance`` is the per cent of subjects that may be suppressed to reach ``k``."""

    zone: Zone
    columns: tuple[ColumnPlan, ...]
    subject: str | None
    filterable: tuple[str, ...]
    k: int
    tolerance: int

    def __post_init__(self) -> None:
        if self.k < 2 or not 0 <= self.tolerance <= _LARGEST_TOLERANCE:
            raise DefinitionError(
                "desensitize.plan-bounds", k=self.k, tolerance=self.tolerance, highest=_LARGEST_TOLERANCE
            )

    @property
    def quasi_identifiers(self) -> tuple[ColumnPlan, ...]:
        """The columns whose combination may point at a subject."""
        return tuple(column for column in self.columns if column.generalised)

    @property
    def subject_token(self) -> Token | None:
        """The token of the subject key."""
        for planned in self.columns:
            if planned.column.name == self.subject and isinstance(planned.treatments[0], Token):
                return planned.treatments[0]
        return None

    @cached_property
    def description(self) -> Json:
        """The whole plan as plain values; its digest stands in every record made from it (P4)."""
        return {
            "rules": RULES_VERSION,
            "zone": self.zone.value,
            "subject": self.subject or "",
            "k": self.k,
            "tolerance": self.tolerance,
            "columns": [
                {
                    "name": planned.column.name,
                    "role": planned.column.role.value,
                    "grade": int(planned.column.grade),
                    "treatments": [{"name": rule.name, **rule.parameters()} for rule in planned.treatments],
                }
                for planned in self.columns
            ],
        }

    @property
    def digest(self) -> str:
        """SM3 of the plan's canonical form, in hex."""
        from cryptography.hazmat.primitives import hashes

        digest = hashes.Hash(hashes.SM3())
        digest.update(encode(self.description))
        return digest.finalize().hex()


def plan(
    columns: Sequence[Column],
    granted: Sequence[str],
    zone: Zone,
    subject_key: str | None,
    *,
    subject_kind: SubjectKind = SubjectKind.PERSON,
    levels: Mapping[str, tuple[ValueTreatment, ...]] | None = None,
    k: int = DEFAULT_K,
    tolerance: int = DEFAULT_TOLERANCE,
) -> Plan:
    """Choose the treatment of every granted column.

    Args:
        columns: the declared and graded columns of the table.
        granted: names of the columns that were granted; the subject key is added.
        zone: what the table is made for.
        subject_key: the column that says whom a row is about; None for a table about nobody.
        subject_kind: persons or companies.
        levels: other levels for a quasi-identifier than the rules have, from fine to coarse; dropping is added as the last.
        k: subjects that every combination of quasi-identifiers must have.
        tolerance: per cent of subjects that may be left out to reach ``k``.

    Raises:
        NotPermittedError: a granted column is closed by law (I4) or is not declared and graded (I3).
        DefinitionError: the subject key is missing or ambiguous, or a treatment does not fit a column.
    """
    declared = {column.name: column for column in columns}
    if len({name.lower() for name in declared}) != len(columns):
        # Spark reads names without regard to case: two such columns could stand in for each other.
        raise DefinitionError("desensitize.names-alike")
    wanted = list(dict.fromkeys([*([subject_key] if subject_key else []), *granted]))
    chosen = [_checked(declared, name) for name in wanted]
    if zone is Zone.VIEW and subject_key is None:
        _check_about_nobody(chosen)
    given = levels or {}
    stray = sorted(set(given) - {column.name for column in chosen if column.role is Role.QUASI_IDENTIFIER})
    if stray:
        raise DefinitionError("desensitize.levels-unused", column=stray[0])
    return Plan(
        zone=zone,
        columns=tuple(
            ColumnPlan(column, _treatments(column, zone, subject_kind if column.name == subject_key else None, given))
            for column in chosen
        ),
        subject=subject_key,
        filterable=tuple(column.name for column in columns if _may_filter(column, subject_key)),
        k=k,
        tolerance=tolerance,
    )


def entity_of(column: Column, subject_kind: SubjectKind | None = None) -> Entity:
    """What a column holds: as a person confirmed it, else as its name says, else by the kind of subject it is the key of."""
    if column.entity:
        return Entity(column.entity)
    by_kind = {None: Entity.OTHER, SubjectKind.PERSON: Entity.RESIDENT_ID, SubjectKind.COMPANY: Entity.CREDIT_CODE}
    return entity_of_name(column.name) or by_kind[subject_kind]


def _checked(declared: Mapping[str, Column], name: str) -> Column:
    column = declared.get(name)
    if column is None:
        raise NotPermittedError("desensitize.column-ungraded", column=name)
    if column.closed:
        raise NotPermittedError("desensitize.column-closed", column=name)
    return column


def _check_about_nobody(chosen: Sequence[Column]) -> None:
    for column in chosen:
        if column.role in {Role.DIRECT_IDENTIFIER, Role.QUASI_IDENTIFIER}:
            # An identifier identifies somebody: without a subject key the table could be neither sampled nor counted.
            raise DefinitionError("desensitize.subject-missing", column=column.name)


def _treatments(
    column: Column, zone: Zone, subject_kind: SubjectKind | None, given: Mapping[str, tuple[ValueTreatment, ...]]
) -> tuple[Treatment, ...]:
    entity = entity_of(column, subject_kind)
    if subject_kind is not None:
        return (Token(entity),)
    match HANDLING[zone, column.role, column.grade]:
        case Handling.TOKEN:
            return (Token(entity),)
        case Handling.DROP:
            return (Drop(),)
        case Handling.GENERALISE:
            return (*(given.get(column.name) or levels_for(column, entity)), Drop())
        case Handling.COARSEN:
            return (coarsen(column, entity),)
        case Handling.KEEP:
            return (Keep(),)


def _may_filter(column: Column, subject_key: str | None) -> bool:
    # Choosing rows by an identifier would single somebody out before any rule is applied.
    hidden = {Role.DIRECT_IDENTIFIER, Role.FREE_TEXT}
    return not column.closed and column.role not in hidden and column.name != subject_key
