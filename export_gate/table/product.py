"""A described table, from the query to the verdict: the whole way in one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from export_gate.finding import Finding, Verdict, worst
from export_gate.records.vectors import Number
from export_gate.table.behind import vectors
from export_gate.table.canonical import CanonicalTable, canonical_table
from export_gate.table.check import CellPolicy, check_cells
from export_gate.table.facts import Recomputed
from export_gate.table.recompute import recomputing
from jobs.query import Query, subject_columns
from lineage.errors import GateRefusedError


@dataclass(frozen=True)
class JudgedTable:
    """A table and what the checks say of it.

    Attributes:
        findings: one finding a rule and kind of subject.
        table: what may be released; None when a finding does not let it out, or a value has no canonical form.
        recomputed: the private facts, one set for each kind of subject.
        records: for each subject column the vectors behind the numbers, where numbers were given and the cells let it out.
    """

    findings: tuple[Finding, ...]
    table: CanonicalTable | None
    recomputed: tuple[Recomputed, ...]
    records: tuple[tuple[Number, ...], ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Give the worst verdict."""
        return worst(self.findings)


def judge_table(
    connection: Any,
    query: Query,
    subjects: Mapping[str, str],
    policy: CellPolicy,
    numbers: Mapping[str, str] | None = None,
) -> JudgedTable:
    """Recompute a table and judge it for every kind of subject it is about.

    Args:
        connection: DuckDB connection with the job's inputs.
        query: the checked query.
        subjects: the subject key of each input that is about subjects, from the catalogue, never from the tenant.
        policy: the thresholds.
        numbers: for each of these inputs the name of the table with its subjects' numbers; None for a preview, which tells nobody.

    Raises:
        DefinitionError: ``query.subject-lost``.
        GateRefusedError: the table could not be computed.
    """
    columns: tuple[str | None, ...] = subject_columns(query, subjects) or (None,)
    findings: list[Finding] = []
    recomputed: list[Recomputed] = []
    records: list[tuple[Number, ...]] = []
    for column in columns:
        with recomputing(connection, query, column) as facts:
            found = check_cells(facts, policy)
            if numbers is not None and column is not None and worst(found).lets_out:
                records.append(tuple(vectors(connection, facts, _numbers(numbers, query, column))))
        findings += found
        recomputed.append(facts)
    table = canonical_table(recomputed[0]) if worst(findings).lets_out else None
    return JudgedTable(tuple(findings), table, tuple(recomputed), tuple(records))


def _numbers(numbers: Mapping[str, str], query: Query, column: str) -> str:
    name = query.lineage.origins[column].table
    if name not in numbers:
        raise GateRefusedError("records.subject-without-number")
    return numbers[name]
