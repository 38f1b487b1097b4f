"""What a run's jail must isolate, by the highest grade of the tables it is given and by its stage (D1, D2, law 7).

Grades 1 to 3 need the whole jail; there is no weaker one. Grade 4 needs it too, and a domain may ask for a kernel of its own as well:
``[own_kernel]`` in ``domain.toml``, with the grade from which each stage needs one::

    [own_kernel]
    production = 4
    development = 4

Without the table no stage does: with namespaces all runs of a machine share its kernel, which the threat model names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from jobs.jail.spec import Capability, Jail
from jobs.runs import Stage
from lineage.errors import MissingPartError
from sandbox.columns import Grade
from sandbox.grants import Provisioned


class Part(StrEnum):
    """What a jail can isolate: the fields of its capability record."""

    NETWORK = "network"
    FILES = "files"
    UID = "uid"
    LIMITS = "limits"
    KERNEL = "kernel"


WHOLE: Final = frozenset({Part.NETWORK, Part.FILES, Part.UID, Part.LIMITS})
NEEDED: Final[Mapping[tuple[Grade, Stage], frozenset[Part]]] = MappingProxyType(
    {(grade, stage): WHOLE for grade in Grade for stage in Stage}
)
"""Total over grades and stages; settings only add to it."""


@dataclass(frozen=True)
class OwnKernel:
    """From which grade on a run of each stage needs a kernel of its own; None for no grade."""

    production: int | None = None
    development: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is no grade: a misspelt demand must not become none."""
        for value in (self.production, self.development):
            if value is not None and (type(value) is not int or value not in set(Grade)):
                raise MissingPartError("jail.bad-policy", lowest=int(min(Grade)), highest=int(max(Grade)))

    def asks(self, grade: Grade, stage: Stage) -> bool:
        """Whether a run of this grade and stage needs one."""
        bound = self.production if stage is Stage.PRODUCTION else self.development
        return bound is not None and grade >= bound


def own_kernel_of(settings: Mapping[str, Any]) -> OwnKernel:
    """Read the demand from a domain's settings.

    Raises:
        MissingPartError: the table is malformed or has an unknown key (law 7).
    """
    given = settings.get("own_kernel", {})
    known = {field.name for field in fields(OwnKernel)}
    if not isinstance(given, dict) or not set(given) <= known:
        raise MissingPartError("jail.bad-policy", lowest=int(min(Grade)), highest=int(max(Grade)))
    return OwnKernel(**given)


def needed(grade: Grade, stage: Stage, own_kernel: OwnKernel) -> frozenset[Part]:
    """Give what the jail of a run must isolate."""
    return NEEDED[grade, stage] | ({Part.KERNEL} if own_kernel.asks(grade, stage) else frozenset())


def highest_grade(tables: Iterable[Provisioned]) -> Grade:
    """Give the highest grade of what a run is given, as it was after treatment; of a table that does not say, the highest there is."""
    return max((Grade(int(table.record.get("grade", max(Grade)))) for table in tables), default=Grade.OPEN)


def lacking(capability: Capability, parts: Iterable[Part]) -> tuple[Part, ...]:
    """Give what is needed and not isolated, in the order of the record."""
    return tuple(part for part in Part if part in set(parts) and not getattr(capability, part.value))


def check_isolation(capability: Capability, grade: Grade, stage: Stage, own_kernel: OwnKernel) -> None:
    """Check, before a run starts, that its jail isolates what its tables need.

    Raises:
        MissingPartError: ``jail.too-weak``, naming what is lacking and why.
    """
    absent = lacking(capability, needed(grade, stage, own_kernel))
    if absent:
        raise MissingPartError(
            "jail.too-weak",
            grade=int(grade),
            stage=f"label.stage.{stage}",
            lacking=", ".join(absent),
            missing=", ".join(capability.missing) or "-",
        )


def check_jail(jail: Jail, settings: Mapping[str, Any], tables: Iterable[Provisioned], stage: Stage) -> None:
    """Check the jail of a domain against what one run is given.

    Raises:
        MissingPartError: ``jail.too-weak``, or the domain's demand is malformed.
    """
    check_isolation(jail.capability(), highest_grade(tables), stage, own_kernel_of(settings))


def can_isolate(capability: Capability, grade: Grade, stage: Stage, own_kernel: OwnKernel) -> bool:
    """Whether ``check_isolation`` would let the run start."""
    try:
        check_isolation(capability, grade, stage, own_kernel)
    except MissingPartError:
        return False
    return True
