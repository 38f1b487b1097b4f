"""Promotion: the reviewed step by which exactly this code, by digest, may be carried out in production (D3, P2, law 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from jobs.runs import Job, get_job, of_own_jobs
from jobs.schema import job, promotion
from jobs.states import PROMOTION, PromotionState
from lineage.errors import DefinitionError, NotPermittedError
from lineage.kinds import Kind
from sandbox.access import Session, check_still_active
from sandbox.domain import Domain, new_id
from sandbox.grants import check_named, live_grant
from sandbox.roles import Permission


@dataclass(frozen=True)
class Promotion:
    """A promotion as read."""

    id: str
    job: str
    state: PromotionState
    requested_by: str
    decided_by: str | None
    reason: str | None


def request(domain: Domain, session: Session, job_id: str) -> str:
    """Ask that a job may run in production; gives the promotion's id.

    Raises:
        NotPermittedError: the person may not, or the scenario may not work now.
        DefinitionError: it was asked already.
    """
    session.check(Permission.PROMOTION_REQUEST)
    identity = new_id("M")
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_job(change.connection, job_id, session)
        check_named(session, live_grant(change.connection, found.scenario, change.at))
        if change.connection.execute(select(promotion.c.id).where(promotion.c.job == job_id)).scalar():
            raise DefinitionError("promotion.exists", job=job_id)
        change.connection.execute(
            insert(promotion).values(
                id=identity,
                job=job_id,
                state=PromotionState.REQUESTED.value,
                requested_by=session.person,
                requested=change.at,
            )
        )
        subjects = [identity, job_id, found.scenario, f"job:{found.digest}"]
        change.record(Kind.PROMOTION_REQUESTED, subjects, {"digest": found.digest})
    return identity


def decide(domain: Domain, session: Session, identity: str, *, approve: bool, reason: str) -> None:
    """Approve or refuse a promotion, with a reason.

    Raises:
        NotPermittedError: the person may not, asked for it, or belongs to the tenant (law 6).
        DefinitionError: it is decided, or no reason is given.
    """
    session.check(Permission.PROMOTION_DECIDE)
    if not reason.strip():
        raise DefinitionError("reason.missing")
    to = PromotionState.APPROVED if approve else PromotionState.REFUSED
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_promotion(change.connection, identity)
        owner = get_job(change.connection, found.job)
        if session.person == found.requested_by or session.organisation == owner.tenant:
            raise NotPermittedError("law.own-matter")
        PROMOTION.check_move(found.state, to)
        values = {"state": to.value, "decided_by": session.person, "decided": change.at, "reason": reason}
        change.connection.execute(update(promotion).where(promotion.c.id == identity).values(**values))
        kind = Kind.PROMOTION_APPROVED if approve else Kind.PROMOTION_REFUSED
        subjects = [identity, found.job, owner.scenario, f"job:{owner.digest}"]
        change.record(kind, subjects, {"digest": owner.digest, "reason": reason})


def check_promoted(connection: Connection, found: Job) -> None:
    """Check that a job's digest was promoted.

    Raises:
        NotPermittedError: it was not (D3).
    """
    query = select(promotion.c.state).where(promotion.c.job == found.id)
    if connection.execute(query).scalar() != PromotionState.APPROVED:
        raise NotPermittedError("promotion.missing", job=found.id)


def get_promotion(connection: Connection, identity: str, session: Session | None = None) -> Promotion:
    """Read a promotion; with a tenant's session only its own.

    Raises:
        NotPermittedError: there is none, or it is another tenant's.
    """
    query = select(promotion).where(promotion.c.id == identity)
    if session is not None:
        query = of_own_jobs(query.join(job, job.c.id == promotion.c.job), session)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotPermittedError("access.not-found")
    return _promotion(row)


def previous_digest(connection: Connection, found: Job) -> str | None:
    """Give the digest of the scenario's last promoted job of the same name, which a reviewer compares with."""
    query = (
        select(job.c.digest)
        .join(promotion, promotion.c.job == job.c.id)
        .where(
            job.c.scenario == found.scenario,
            job.c.name == found.name,
            job.c.id != found.id,
            promotion.c.state == PromotionState.APPROVED.value,
        )
        .order_by(promotion.c.decided.desc())
        .limit(1)
    )
    return connection.execute(query).scalar()


def list_promotions(connection: Connection, session: Session) -> list[Promotion]:
    """Read the promotions a session may see, newest first."""
    query = select(promotion).join(job, job.c.id == promotion.c.job).order_by(promotion.c.requested.desc())
    return [_promotion(row) for row in connection.execute(of_own_jobs(query, session))]


def _promotion(row: Row[Any]) -> Promotion:
    return Promotion(row.id, row.job, PromotionState(row.state), row.requested_by, row.decided_by, row.reason)
