"""The attacks on a table that the gate has just made, or is about to release (E2, law 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection

from export_gate.attacks.headers import sheet_of
from export_gate.attacks.released import union_of_export, union_of_new
from export_gate.checks import Subject, overtaken, run_checks
from export_gate.finding import Finding
from export_gate.table.check import CellPolicy
from jobs.query import Query


if TYPE_CHECKING:
    from export_gate.exports import Export
    from sandbox.domain import Domain
    from sandbox.grants import Provisioned


class Asked(Protocol):
    """What is known of an export that is being checked."""

    @property
    def export(self) -> Export:
        """The export."""

    @property
    def tables(self) -> Mapping[str, Provisioned]:
        """The provisioned table of each input."""


def attack_table(
    domain: Domain, case: Asked, query: Query, result: Mapping[str, Any], before: Sequence[Finding]
) -> tuple[Finding, ...]:
    """Attack a table as the worker made it, unless it stays in already by what was found ``before``."""
    tables = {name: one.id for name, one in case.tables.items()}
    union = partial(union_of_new, domain, case.export.id, query, tables, result)
    sheet = sheet_of(result["table"]["columns"], result["table"]["rows"])
    return run_checks(Subject("table", sheet, union), before)


def attack_again(
    domain: Domain, connection: Connection, export: str, evidence: Mapping[str, Any]
) -> tuple[Finding, ...]:
    """Attack an approved table once more where others were released since; gives what does not let it out."""
    return overtaken(partial(union_of_export, domain, connection, export), evidence, CellPolicy())
