"""A described table, from the query to the verdict: the whole way in one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from export_gate.finding import Finding, Verdict, worst
from export_gate.table.canonical import CanonicalTable, canonical_table
from export_gate.table.check import CellPolicy, check_cells
from export_gate.table.facts import Recomputed
from export_gate.table.recompute import recompute
from jobs.query import Query, subject_columns


@dataclass(frozen=True)
class JudgedTable:
    """A table and what the checks say of it.

    Attributes:
        findings: one finding a rule and kind of subject.
        table: what may be released; None when a finding does not let it out, or a value has no canonical form.
        recomputed: the private facts, one set for each kind of subject.
    """

    findings: tuple[Finding, ...]
    table: CanonicalTable | None
    recomputed: tuple[Recomputed, ...]

    @property
    def verdict(self) -> Verdict:
        """Give the worst verdict."""
        return worst(self.findings)


def judge_table(connection: Any, query: Query, subjects: Mapping[str, str], policy: CellPolicy) -> JudgedTable:
    """Recompute a table and judge it for every kind of subject it is about.

    Args:
        connection: DuckDB connection with the job's inputs.
        query: the checked query.
        subjects: the subject key of each input that is about subjects, from the catalogue, never from the tenant.
        policy: the thresholds.

    Raises:
        DefinitionError: ``query.subject-lost``.
        GateRefusedError: the table could not be computed.
    """
    columns: tuple[str | None, ...] = subject_columns(query, subjects) or (None,)
    recomputed = tuple(recompute(connection, query, column) for column in columns)
    findings = tuple(finding for facts in recomputed for finding in check_cells(facts, policy))
    table = canonical_table(recomputed[0]) if worst(findings).lets_out else None
    return JudgedTable(findings, table, recomputed)
