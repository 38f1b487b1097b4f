"""A refusal is an answer too: how many exact tables of a scenario the gate may refuse before the authority looks (law 8).

Whether a table about a chosen set of people passes says something about them, and asking costs nothing. So refusals are counted by
scenario, whoever of its persons asks and whatever the job is called; after that many, only the authority opens more.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from export_gate.finding import Finding, Verdict
from export_gate.schema import export
from export_gate.states import ExportState
from jobs.schema import job
from lineage.errors import DefinitionError
from lineage.kinds import Kind
from sandbox.access import Session, check_still_active
from sandbox.agreements import get_scenario
from sandbox.domain import Domain
from sandbox.roles import Permission


CHECK = "records.too-many-refusals"
MOST_REFUSED = 10
"""Refused tables of one scenario, and as many again each time the authority opens more."""

_OF_THE_GATE = frozenset({Verdict.BLOCK.value, Verdict.CANNOT_CHECK.value})


def check_tries(domain: Domain, connection: Connection, scenario: str) -> Finding | None:
    """Give the finding that keeps a table in before it is looked at, or None while tries are left."""
    refused = _refused(connection, scenario)
    opened = sum(entry.kind is Kind.TRIES_OPENED for entry in domain.log.about(connection, scenario))
    if refused < MOST_REFUSED * (1 + opened):
        return None
    return Finding(CHECK, 1, Verdict.BLOCK, CHECK, {"refused": refused}, {"most": MOST_REFUSED}, {"opened": opened})


def open_tries(domain: Domain, session: Session, scenario: str, *, reason: str) -> None:
    """Let a scenario's tables be checked again, as many times as at first.

    Raises:
        NotPermittedError: the person may not decide on exports, or there is no such scenario.
        DefinitionError: no reason is given, or tries are left.
    """
    if not reason.strip():
        raise DefinitionError("reason.missing")
    session.check(Permission.EXPORT_APPROVE)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_scenario(change.connection, scenario)
        if check_tries(domain, change.connection, found.id) is None:
            raise DefinitionError("records.tries-left", scenario=found.id)
        change.record(Kind.TRIES_OPENED, [found.id, found.tenant], {"reason": reason})


def _refused(connection: Connection, scenario: str) -> int:
    """Count the tables of a scenario that the gate refused; one kept in for this very reason told nothing."""
    query = (
        select(export.c.verdict, export.c.reasons)
        .join(job, job.c.id == export.c.job)
        .where(job.c.scenario == scenario, export.c.kind == "table", export.c.state == ExportState.REFUSED.value)
    )
    return sum(
        row.verdict in _OF_THE_GATE and all(one["check"] != CHECK for one in row.reasons)
        for row in connection.execute(query)
    )
