"""Exports in the database: requested, read, moved along their machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from export_gate.schema import export
from export_gate.states import EXPORT, ExportState
from jobs.promotion import check_promoted
from jobs.runs import Stage, get_job, get_run, of_own_jobs
from jobs.schema import job
from jobs.spec import (
    ChartProduct,
    ModelProduct,
    OpaqueProduct,
    Product,
    ReportProduct,
    StatisticProduct,
    TableProduct,
    load_job,
)
from jobs.spec import Job as JobSpec
from jobs.states import RunState
from jobs.supervisor import frozen_folder
from lineage.errors import DefinitionError, NotPermittedError
from lineage.kinds import Kind
from lineage.log import Change
from sandbox.access import Session, check_still_active
from sandbox.domain import Domain, new_id
from sandbox.grants import check_named, live_grant
from sandbox.roles import Permission


@dataclass(frozen=True)
class Export:
    """An export as read; ``reasons`` are the findings that a tenant may see."""

    id: str
    job: str
    run: str | None
    product: str
    kind: str
    state: ExportState
    requested_by: str
    requested: str
    verdict: str | None
    reasons: tuple[Mapping[str, Any], ...]
    evidence_digest: str | None
    approved_by: str | None
    approval_reason: str | None
    manifest: str | None
    round: int
    moved: str | None


def request(domain: Domain, session: Session, job_id: str, product: str, run_id: str | None = None) -> str:
    """Ask to let one product of a promoted job out; gives the export's id.

    An opaque product is handed over by a production run, which is then named; a described product needs none (law 2).

    Raises:
        NotPermittedError: the person may not, the job is not promoted (D3), or the scenario may not work now.
        DefinitionError: the job has no such product, or the run is not a finished production run of it.
    """
    session.check(Permission.EXPORT_REQUEST)
    identity = new_id("E")
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = get_job(change.connection, job_id, session)
        check_named(session, live_grant(change.connection, found.scenario, change.at))
        check_promoted(change.connection, found)
        described = find_product(load_job(frozen_folder(domain, found)), product)
        kind = kind_of(described)
        _check_run(change.connection, session, job_id, run_id, needed=isinstance(described, OpaqueProduct))
        change.connection.execute(
            insert(export).values(
                id=identity,
                job=job_id,
                run=run_id,
                product=product,
                kind=kind,
                state=ExportState.REQUESTED.value,
                requested_by=session.person,
                requested=change.at,
            )
        )
        subjects = [identity, job_id, found.scenario, f"job:{found.digest}"]
        change.record(Kind.EXPORT_REQUESTED, subjects, {"product": product, "kind": kind})
    return identity


KINDS: Mapping[type[Product], str] = {
    StatisticProduct: "statistic",
    TableProduct: "table",
    ModelProduct: "model",
    ChartProduct: "chart",
    ReportProduct: "report",
}


def kind_of(product: Product) -> str:
    """Give the kind of a product in the words of the job format; an opaque one says itself whether it is a model or a file."""
    return product.form if isinstance(product, OpaqueProduct) else KINDS[type(product)]


def find_product(spec: JobSpec, name: str) -> Product:
    """Find a job's product by name.

    Raises:
        DefinitionError: the job describes no such product.
    """
    for described in spec.products:
        if described.name == name:
            return described
    names = ", ".join(described.name for described in spec.products)
    raise DefinitionError("export.no-such-product", product=name, products=names)


def folder_of(domain: Domain, identity: str) -> Path:
    """Where the gate keeps the evidence and the made product of an export: root-only, inside the domain."""
    return domain.home / "exports" / identity


def move(change: Change, found: Export, to: ExportState, **values: object) -> None:
    """Move an export to its next state inside a transaction; whoever calls records the entry that says why."""
    EXPORT.check_move(found.state, to)
    # The old state in the condition decides between two approvals at the same instant, whatever was read before.
    old = (export.c.id == found.id) & (export.c.state == found.state.value)
    fresh = {"state": to.value, "moved": change.at, **values}
    if change.connection.execute(update(export).where(old).values(fresh)).rowcount != 1:
        raise DefinitionError("export.moved-meanwhile", export=found.id)


def get_export(connection: Connection, identity: str, session: Session | None = None) -> Export:
    """Read an export; with a tenant's session only its own (D1).

    Raises:
        NotPermittedError: there is none, or it is another tenant's.
    """
    query = select(export).where(export.c.id == identity)
    if session is not None:
        session.check(Permission.EXPORT_READ)
        query = of_own_jobs(query.join(job, job.c.id == export.c.job), session)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotPermittedError("access.not-found")
    return _export(row)


def list_exports(connection: Connection, session: Session) -> list[Export]:
    """Read the exports a session may see, newest first."""
    session.check(Permission.EXPORT_READ)
    query = select(export).join(job, job.c.id == export.c.job).order_by(export.c.requested.desc())
    return [_export(row) for row in connection.execute(of_own_jobs(query, session))]


def waiting(connection: Connection, state: ExportState) -> Sequence[Export]:
    """Read the exports that are in a state, oldest first."""
    query = select(export).where(export.c.state == state.value).order_by(export.c.requested)
    return [_export(row) for row in connection.execute(query)]


def _check_run(connection: Connection, session: Session, job_id: str, run_id: str | None, *, needed: bool) -> None:
    """Check the run as its tenant hears of it: an answer here must tell no more of it than showing it does (D1, law 8)."""
    if not needed and run_id is None:
        return
    if not needed or run_id is None:
        raise DefinitionError("export.run-only-for-opaque" if run_id else "export.run-missing")
    found = get_run(connection, run_id, session)
    if found.job != job_id or found.stage is not Stage.PRODUCTION or found.state is not RunState.SUCCEEDED:
        raise DefinitionError("export.run-not-usable", run=run_id)


def _export(row: Row[Any]) -> Export:
    return Export(
        id=row.id,
        job=row.job,
        run=row.run,
        product=row.product,
        kind=row.kind,
        state=ExportState(row.state),
        requested_by=row.requested_by,
        requested=row.requested,
        verdict=row.verdict,
        reasons=tuple(row.reasons or ()),
        evidence_digest=row.evidence_digest,
        approved_by=row.approved_by,
        approval_reason=row.approval_reason,
        manifest=row.manifest,
        round=row.round,
        moved=row.moved,
    )
