"""Runs in the database: queued, moved along their machine, ended, each with a reason a person can read (P8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from jobs.schema import job, run
from jobs.spec import load_job
from jobs.states import LIVE, RUN, RunState
from lineage.canonical import Json
from lineage.errors import DefinitionError, NotPermittedError
from lineage.kinds import Kind
from lineage.log import PLATFORM, Change
from sandbox.access import Session, check_still_active
from sandbox.domain import Domain, new_id
from sandbox.grants import check_named, live_grant
from sandbox.roles import OrganisationKind, Permission


RUN_PREFIX = "x"
"""What the id of a run begins with; in small letters, because it names control groups and folders too."""


class Stage(StrEnum):
    """Where a run runs: development sees views, production reads inputs (D3)."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


@dataclass(frozen=True)
class Job:
    """A submitted job as read: a frozen folder under a scenario."""

    id: str
    scenario: str
    tenant: str
    name: str
    digest: str
    submitted_by: str


@dataclass(frozen=True)
class Run:
    """A run as read; ``outcome`` holds metered resources once it is over (P7)."""

    id: str
    job: str
    position: int
    stage: Stage
    state: RunState
    reason: str
    queued_by: str
    queued: str
    cancel_asked: str | None
    outcome: Mapping[str, Any] | None


def queue(domain: Domain, session: Session, job_id: str, position: int, stage: Stage) -> str:
    """Put one ``[[run]]`` of a job in the queue; gives the run's id.

    Raises:
        NotPermittedError: the person may not, is not named in the grant, or the scenario may not work now.
        DefinitionError: the job has no ``[[run]]`` at this position.
    """
    session.check(Permission.JOB_SUBMIT)
    identity = new_id(RUN_PREFIX)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_job(change.connection, job_id, session)
        check_named(session, live_grant(change.connection, found.scenario, change.at))
        # The supervisor takes what is queued at its word: what cannot run must not come to it.
        runs = len(load_job(domain.home / "jobs" / found.digest).runs)
        if not 0 <= position < runs:
            raise DefinitionError("run.no-such-position", position=position, runs=runs)
        change.connection.execute(
            insert(run).values(
                id=identity,
                job=job_id,
                position=position,
                stage=stage.value,
                state=RunState.QUEUED.value,
                reason="reason.waiting-for-supervisor",
                queued_by=session.person,
                queued=change.at,
            )
        )
        payload: dict[str, Json] = {"stage": stage.value, "position": position}
        change.record(Kind.RUN_QUEUED, [identity, job_id, found.scenario], payload)
    return identity


def ask_cancel(domain: Domain, session: Session, identity: str) -> None:
    """Ask that a run be stopped; a queued one is stopped here, a running one by its supervisor within a second.

    Raises:
        DefinitionError: it is over already.
    """
    session.check(Permission.JOB_SUBMIT)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_run(change.connection, identity, session)
        if not RUN.following[found.state]:
            raise DefinitionError("run.over", run=identity)
        change.connection.execute(update(run).where(run.c.id == identity).values(cancel_asked=change.at))
        change.record(Kind.RUN_CANCEL_ASKED, [identity, found.job], {})
        if found.state is RunState.QUEUED:
            _move(change, found, RunState.CANCELLED, "reason.cancelled", None)


def move(domain: Domain, identity: str, to: RunState, reason: str, outcome: Mapping[str, Json] | None = None) -> None:
    """Move a run to its next state, as the platform."""
    with domain.change(PLATFORM) as change:
        _move(change, get_run(change.connection, identity), to, reason, outcome)


def _move(change: Change, found: Run, to: RunState, reason: str, outcome: Mapping[str, Json] | None) -> None:
    RUN.check_move(found.state, to)
    values: dict[str, Any] = {"state": to.value, "reason": reason}
    if outcome is not None:
        values["outcome"] = dict(outcome)
    # The condition on the old state makes the move safe against a second supervisor, whatever locks say.
    old = (run.c.id == found.id) & (run.c.state == found.state.value)
    if change.connection.execute(update(run).where(old).values(**values)).rowcount != 1:
        raise DefinitionError("run.moved-meanwhile", run=found.id)
    kind = Kind.RUN_ADVANCED if RUN.following[to] else Kind.RUN_ENDED
    payload: dict[str, Json] = {"from": found.state.value, "to": to.value, "reason": reason}
    change.record(kind, [found.id, found.job], payload | {"outcome": dict(outcome or {})})


def next_queued(connection: Connection) -> Run | None:
    """Give the run that has waited longest, or None."""
    query = select(run).where(run.c.state == RunState.QUEUED.value).order_by(run.c.queued, run.c.id).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else _run(row)


def interrupted(connection: Connection) -> list[Run]:
    """Give the runs that a supervisor was in the middle of."""
    query = select(run).where(run.c.state.in_([state.value for state in LIVE])).order_by(run.c.queued)
    return [_run(row) for row in connection.execute(query)]


def get_run(connection: Connection, identity: str, session: Session | None = None) -> Run:
    """Read a run; with a tenant's session only its own (D1).

    Raises:
        NotPermittedError: there is none, or it is another tenant's.
    """
    row = connection.execute(select(run).where(run.c.id == identity)).one_or_none()
    if row is None:
        raise NotPermittedError("access.not-found")
    found = _run(row)
    if session is not None:
        get_job(connection, found.job, session)
    return found


def get_job(connection: Connection, identity: str, session: Session | None = None) -> Job:
    """Read a job; with a tenant's session only its own (D1).

    Raises:
        NotPermittedError: there is none, or it is another tenant's.
    """
    row = connection.execute(select(job).where(job.c.id == identity)).one_or_none()
    if row is None:
        raise NotPermittedError("access.not-found")
    if session is not None:
        session.check(Permission.JOB_READ)
        if session.kind is OrganisationKind.TENANT:
            session.check_own(row.tenant)
    return _job(row)


def list_jobs(connection: Connection, session: Session) -> list[Job]:
    """Read the jobs a session may see, newest first."""
    session.check(Permission.JOB_READ)
    query = select(job).order_by(job.c.submitted.desc())
    if session.kind is OrganisationKind.TENANT:
        query = query.where(job.c.tenant == session.organisation)
    return [_job(row) for row in connection.execute(query)]


def runs_of(connection: Connection, job_id: str) -> list[Run]:
    """Read the runs of a job, oldest first."""
    query = select(run).where(run.c.job == job_id).order_by(run.c.queued, run.c.id)
    return [_run(row) for row in connection.execute(query)]


def _job(row: Row[Any]) -> Job:
    return Job(row.id, row.scenario, row.tenant, row.name, row.digest, row.submitted_by)


def _run(row: Row[Any]) -> Run:
    return Run(
        id=row.id,
        job=row.job,
        position=row.position,
        stage=Stage(row.stage),
        state=RunState(row.state),
        reason=row.reason,
        queued_by=row.queued_by,
        queued=row.queued,
        cancel_asked=row.cancel_asked,
        outcome=row.outcome,
    )
