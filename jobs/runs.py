"""Runs in the database: queued, moved along their machine, ended, each with a reason a person can read (P8).

Whoever reads with a tenant's session reads a production run as it is told (``jobs.told``, law 8); so no door has to remember it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, insert, select, update

from jobs import bell, bits, told
from jobs.jail.backends import name_of
from jobs.schema import job, run
from jobs.selftest_held import check_held
from jobs.shares import check_share, share_of
from jobs.spec import Run as RunSpec
from jobs.spec import load_job
from jobs.states import LIVE, RUN, RunState
from lineage.canonical import Json
from lineage.clock import stamp
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


@dataclass(frozen=True, order=True)
class Lane:
    """Where runs stand in one line: those of one tenant and one stage, and nobody else's (D1, D3)."""

    tenant: str
    stage: Stage


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
    started: str | None
    ended: str | None

    @property
    def over(self) -> bool:
        """Whether nothing follows any more."""
        return not RUN.following[self.state]


def queue(domain: Domain, session: Session, job_id: str, position: int, stage: Stage) -> str:
    """Put one ``[[run]]`` of a job in the queue; gives the run's id. A production run is charged what its end may tell (law 8).

    Raises:
        NotPermittedError: the person may not, is not named in the grant, or the scenario may not work now.
        DefinitionError: the job has no ``[[run]]`` at this position, or it asks for more than a tenant's share.
        BudgetError: the scenario's or the tenant's bits do not suffice.
        MissingPartError: production, and the jail was not tried since this machine started, or did not hold (law 7).
    """
    session.check(Permission.JOB_SUBMIT)
    identity = new_id(RUN_PREFIX)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_job(change.connection, job_id, session)
        check_named(session, live_grant(change.connection, found.scenario, change.at))
        # The supervisor takes what is queued at its word: what cannot run must not come to it.
        chosen = _chosen(domain, found, position)
        check_share(share_of(domain), chosen)
        if stage is Stage.PRODUCTION:
            check_held(change.connection, name_of(domain.settings))
            cost = told.capacity(chosen.minutes * 60)
            claim = bits.BitClaim(bits.Purpose.RUN, identity, found.scenario, found.tenant, cost)
            bits.charge_bits(change, claim, bits.caps_of(domain))
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
    bell.ring(domain)
    return identity


def _chosen(domain: Domain, found: Job, position: int) -> RunSpec:
    runs = load_job(domain.home / "jobs" / found.digest).runs
    if not 0 <= position < len(runs):
        raise DefinitionError("run.no-such-position", position=position, runs=len(runs))
    return runs[position]


def ask_cancel(domain: Domain, session: Session, identity: str) -> None:
    """Ask that a run be stopped; a queued one is stopped here, a running one by its supervisor within a second.

    A production run whose end is not told yet is cancelled like one that still runs: its fruit is void, whatever it was (law 8).

    Raises:
        DefinitionError: it is over already, as far as its tenant may know.
    """
    session.check(Permission.JOB_SUBMIT)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        if get_run(change.connection, identity, session).over:
            raise DefinitionError("run.over", run=identity)
        found = get_run(change.connection, identity)
        change.connection.execute(update(run).where(run.c.id == identity).values(cancel_asked=change.at))
        change.record(Kind.RUN_CANCEL_ASKED, [identity, found.job], {})
        if found.state is RunState.QUEUED:
            _move(change, found, RunState.CANCELLED, "reason.cancelled", None)
    bell.ring(domain)


def move(domain: Domain, identity: str, to: RunState, reason: str, outcome: Mapping[str, Json] | None = None) -> None:
    """Move a run to its next state, as the platform."""
    with domain.change(PLATFORM) as change:
        _move(change, get_run(change.connection, identity), to, reason, outcome)


def settle(
    domain: Domain,
    identity: str,
    to: RunState,
    reason: str,
    outcome: Mapping[str, Json] | None = None,
    ended: datetime | None = None,
) -> RunState:
    """End a run from whatever live state it is in, as the platform; gives how it ended. ``ended`` is what stands as its end, or now.

    Whoever asked to cancel it was told that it is cancelled, so that is what it becomes: decided where nobody else writes. A run
    that is over stays as it is.
    """
    with domain.change(PLATFORM) as change:
        found = get_run(change.connection, identity)
        if found.over:
            return found.state
        if found.cancel_asked is not None:
            to, reason = RunState.CANCELLED, "reason.cancelled"
        if to is RunState.SUCCEEDED and found.state is RunState.RUNNING:
            _move(change, found, RunState.COLLECTING, "reason.collecting", None)
            found = get_run(change.connection, identity)
        _move(change, found, to, reason, outcome, None if ended is None else stamp(ended))
        return to


def _move(
    change: Change,
    found: Run,
    to: RunState,
    reason: str,
    outcome: Mapping[str, Json] | None,
    ended: str | None = None,
) -> None:
    RUN.check_move(found.state, to)
    values: dict[str, Any] = {"state": to.value, "reason": reason}
    if outcome is not None:
        values["outcome"] = dict(outcome)
    if to is RunState.RUNNING:
        values["started"] = change.at
    if not RUN.following[to]:
        values["ended"] = ended or change.at
    # The condition on the old state makes the move safe against a second supervisor, whatever locks say.
    old = (run.c.id == found.id) & (run.c.state == found.state.value)
    if change.connection.execute(update(run).where(old).values(**values)).rowcount != 1:
        raise DefinitionError("run.moved-meanwhile", run=found.id)
    kind = Kind.RUN_ADVANCED if RUN.following[to] else Kind.RUN_ENDED
    payload: dict[str, Json] = {"from": found.state.value, "to": to.value, "reason": reason}
    change.record(kind, [found.id, found.job], payload | {"outcome": dict(outcome or {})})


def busy_lanes(connection: Connection) -> list[Lane]:
    """Give the lanes in which a run waits or was in somebody's hands, in order."""
    busy = [state.value for state in (RunState.QUEUED, *LIVE)]
    query = select(job.c.tenant, run.c.stage).join(job, job.c.id == run.c.job).where(run.c.state.in_(busy)).distinct()
    return sorted(Lane(row.tenant, Stage(row.stage)) for row in connection.execute(query))


def lane_of(connection: Connection, identity: str) -> Lane:
    """Give the lane of a run."""
    found = get_run(connection, identity)
    return Lane(get_job(connection, found.job).tenant, found.stage)


def next_queued(connection: Connection, lane: Lane) -> Run | None:
    """Give the run that has waited longest in a lane, or None."""
    query = _in_lane(lane, run.c.state == RunState.QUEUED.value).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else _run(row)


def interrupted(connection: Connection, lane: Lane) -> list[Run]:
    """Give the runs of a lane that a supervisor was in the middle of."""
    query = _in_lane(lane, run.c.state.in_([state.value for state in LIVE]))
    return [_run(row) for row in connection.execute(query)]


def _in_lane(lane: Lane, condition: ColumnElement[bool]) -> Select[Any]:
    query = select(run).join(job, job.c.id == run.c.job).where(job.c.tenant == lane.tenant, condition)
    return query.where(run.c.stage == lane.stage.value).order_by(run.c.queued, run.c.id)


def get_run(connection: Connection, identity: str, session: Session | None = None) -> Run:
    """Read a run; with a tenant's session only its own (D1), and a production run as it is told (law 8).

    Raises:
        NotPermittedError: there is none, or it is another tenant's.
    """
    query = select(run).where(run.c.id == identity)
    if session is not None:
        query = of_own_jobs(query.join(job, job.c.id == run.c.job), session)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotPermittedError("access.not-found")
    return _run(row) if session is None else as_heard(_run(row), session)


def of_own_jobs(query: Select[Any], session: Session) -> Select[Any]:
    """Narrow a query over jobs to what a session may see: another tenant's and none are then one and the same query (D1)."""
    session.check(Permission.JOB_READ)
    return query.where(job.c.tenant == session.organisation) if session.kind is OrganisationKind.TENANT else query


def as_heard(found: Run, session: Session) -> Run:
    """Give a run as a person may hear of it: the authority's exactly, a tenant's production run as it is told (law 8)."""
    if session.kind is not OrganisationKind.TENANT or found.stage is Stage.DEVELOPMENT:
        return found
    heard = told.tell(
        found.state,
        found.reason,
        found.outcome,
        began=found.started is not None,
        cancel_asked=found.cancel_asked is not None,
    )
    ended = found.cancel_asked or found.ended
    return replace(found, state=heard.state, reason=heard.reason, outcome=heard.outcome, ended=ended)


def get_job(connection: Connection, identity: str, session: Session | None = None) -> Job:
    """Read a job; with a tenant's session only its own (D1).

    Raises:
        NotPermittedError: there is none, or it is another tenant's.
    """
    query = select(job).where(job.c.id == identity)
    row = connection.execute(query if session is None else of_own_jobs(query, session)).one_or_none()
    if row is None:
        raise NotPermittedError("access.not-found")
    return _job(row)


def list_jobs(connection: Connection, session: Session) -> list[Job]:
    """Read the jobs a session may see, newest first."""
    query = of_own_jobs(select(job).order_by(job.c.submitted.desc()), session)
    return [_job(row) for row in connection.execute(query)]


def runs_of(connection: Connection, job_id: str, session: Session) -> list[Run]:
    """Read the runs of a job as a person may hear of them, oldest first.

    Raises:
        NotPermittedError: there is no such job, or it is another tenant's.
    """
    get_job(connection, job_id, session)
    query = select(run).where(run.c.job == job_id).order_by(run.c.queued, run.c.id)
    return [as_heard(_run(row), session) for row in connection.execute(query)]


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
        started=row.started,
        ended=row.ended,
    )
