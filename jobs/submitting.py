"""Submitting a job folder: validated, frozen by digest, entered under its scenario (D3, P8)."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import insert, select

from jobs.query import parse_query, parse_rows
from jobs.runs import Job, get_job
from jobs.schema import job
from jobs.shares import check_share, share_of
from jobs.spec import Job as JobSpec
from jobs.spec import ModelProduct, Product, StatisticProduct, TableProduct, freeze, load_job
from lineage.errors import DefinitionError
from lineage.kinds import Kind
from sandbox.access import Session, check_still_active
from sandbox.agreements import get_scenario
from sandbox.domain import Domain, new_id
from sandbox.grants import Provisioned, Zone, check_named, live_grant, tables_of
from sandbox.roles import Permission


def submit(domain: Domain, session: Session, folder: Path) -> Job:
    """Submit a job folder; the same folder under the same scenario is the same job.

    Raises:
        InvalidJobError: the folder or its manifest is wrong; every problem with file and line.
        NotPermittedError: the scenario is another's or may not work now, or the person is not named in its grant.
        DefinitionError: an input is not granted, or a query asks for what is not there.
    """
    session.check(Permission.JOB_SUBMIT)
    load_job(folder)
    digest = freeze(folder, domain.home / "jobs")
    # Only the frozen copy counts from here on: the folder is still its author's to change.
    spec = load_job(domain.home / "jobs" / digest)
    for one in spec.runs:
        check_share(share_of(domain), one)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        scenario = get_scenario(change.connection, spec.scenario, session)
        grant = live_grant(change.connection, scenario.id, change.at)
        check_named(session, grant)
        _check_queries(spec, tables_of(change.connection, grant, Zone.VIEW))
        known = select(job.c.id).where(job.c.scenario == scenario.id, job.c.digest == digest)
        identity = change.connection.execute(known).scalar()
        if identity is None:
            identity = new_id("J")
            change.connection.execute(
                insert(job).values(
                    id=identity,
                    scenario=scenario.id,
                    tenant=scenario.tenant,
                    name=spec.name,
                    digest=digest,
                    submitted_by=session.person,
                    submitted=change.at,
                )
            )
            change.record(
                Kind.JOB_SUBMITTED, [identity, scenario.id, f"job:{digest}"], {"name": spec.name, "digest": digest}
            )
        return get_job(change.connection, identity)


def _check_queries(spec: JobSpec, tables: dict[str, Provisioned]) -> None:
    """Hold every described product against the granted columns now, so that its author hears of it before a reviewer does."""
    absent = sorted(set(spec.inputs.values()) - set(tables))
    if absent:
        raise DefinitionError("job.table-not-granted", tables=", ".join(absent))
    columns = {name: tables[dataset].columns for name, dataset in spec.inputs.items()}
    for product in spec.products:
        _check_query(product, columns, spec)


def _check_query(product: Product, columns: dict[str, tuple[str, ...]], spec: JobSpec) -> None:
    match product:
        case StatisticProduct() | TableProduct():
            parse_query(product.sql, columns, spec.steps)
        case ModelProduct():
            parse_rows(product.features, columns, spec.steps)
        case _:
            return
