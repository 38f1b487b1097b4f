"""Previews: the promoted lanes carried out on VIEWS, which their reader may see anyway; nothing is charged, nothing leaves (P2)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from export_gate.exports import find_product, kind_of
from export_gate.file.canonical import Table
from export_gate.file.capacity import capacity
from export_gate.file.lane import read_file
from export_gate.findings import findings_from_json
from export_gate.gatekeeper import Gatekeeper
from jobs.runs import Stage, get_job, runs_of
from jobs.spec import (
    ChartProduct,
    FileProduct,
    ModelProduct,
    Product,
    ReportProduct,
    StatisticProduct,
    TableProduct,
    load_job,
)
from jobs.spec import Job as JobSpec
from jobs.states import RunState
from jobs.supervisor import frozen_folder
from lineage.clock import stamp
from lineage.errors import DefinitionError, Param
from lineage.kinds import Kind
from sandbox.access import Session
from sandbox.agreements import get_scenario
from sandbox.catalogue import get_dataset
from sandbox.grants import Zone, check_named, live_grant, tables_of, zone_opened
from sandbox.roles import Permission


@dataclass(frozen=True)
class Preview:
    """What a product would look like, made from the view; ``remarks`` are what the checks said, as message codes."""

    product: str
    kind: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    card: Mapping[str, Any]
    remarks: Sequence[tuple[str, Mapping[str, Param]]]
    files: Mapping[str, bytes] = field(default_factory=dict)


def preview(gate: Gatekeeper, session: Session, job_id: str, product: str | None = None) -> Iterator[Preview]:
    """Preview one product of a job, or every described one, as a named processor.

    A file is previewed where it is asked for by name: as the newest development run that left one left it.

    Raises:
        NotPermittedError: the person may not, or the scenario may not work now.
        DefinitionError: the description cannot be carried out.
    """
    session.check(Permission.JOB_SUBMIT)
    domain = gate.domain
    with domain.read() as connection:
        job = get_job(connection, job_id, session)
        grant = live_grant(connection, job.scenario, stamp(domain.now()))
        check_named(session, grant)
        spec = load_job(frozen_folder(domain, job))
        granted = tables_of(connection, grant, Zone.VIEW)
        datasets = {name: get_dataset(connection, dataset) for name, dataset in spec.inputs.items()}
        purpose = get_scenario(connection, job.scenario).purpose
    chosen = [find_product(spec, product)] if product else [one for one in spec.products if _described(one)]
    for one in chosen:
        if isinstance(one, FileProduct):
            run = _newest_run(gate, session, job_id, spec, one)
            yield _preview_file(gate, one, run, job.scenario, session.person)
    request = {"subjects": {n: d.subject_column for n, d in datasets.items() if d.subject_column}, "preview": True}
    with zone_opened(domain, grant, Zone.VIEW) as folder:
        tables = {name: folder / granted[dataset].id for name, dataset in spec.inputs.items()}
        for one in (each for each in chosen if not isinstance(each, FileProduct)):
            asked = {**request, "product": one.name, "seed": secrets.randbelow(2**32), "purpose": purpose}
            yield _preview(one, gate.work(asked, frozen_folder(domain, job), tables, job.scenario, session.person))
    with domain.change(session.actor) as change:
        change.record(Kind.PREVIEW_MADE, [job.id, job.scenario], {"products": [one.name for one in chosen]})


def _described(product: Product) -> bool:
    return isinstance(product, StatisticProduct | TableProduct | ModelProduct | ChartProduct | ReportProduct)


def _newest_run(gate: Gatekeeper, session: Session, job_id: str, spec: JobSpec, product: FileProduct) -> str:
    """Give the newest finished development run of the ``[[run]]`` that leaves a file: its tenant may see what it left (law 8).

    Raises:
        DefinitionError: the file is not described, or there is no such run.
    """
    if not product.path:
        raise DefinitionError("file.preview-not-described", product=product.name)
    position = [one.name for one in spec.runs].index(product.run)
    with gate.domain.read() as connection:
        found = [
            one.id
            for one in runs_of(connection, job_id, session)
            if one.stage is Stage.DEVELOPMENT and one.state is RunState.SUCCEEDED and one.position == position
        ]
    if not found:
        raise DefinitionError("file.preview-no-run", product=product.name, run=product.run)
    return found[-1]


def _preview_file(gate: Gatekeeper, product: FileProduct, run: str, scenario: str, person: str) -> Preview:
    taken = read_file(gate, product, run, scenario, person)
    table = taken.found if isinstance(taken.found, Table) else None
    size = len(taken.found.data) if taken.found else 0
    return Preview(
        product=product.name,
        kind=kind_of(product),
        columns=[column.name for column in table.columns] if table else [],
        rows=table.rows if table else [],
        card={"run": run, "bytes": size, "bytes_reserved": product.size, "bits": capacity(product.size)},
        remarks=[(one.reason, one.params) for one in taken.findings if not one.verdict.lets_out],
        files={file.name: file.data for file in taken.files},
    )


def _preview(product: Product, result: Mapping[str, Any]) -> Preview:
    table = result.get("table", {"columns": [], "rows": []})
    findings = findings_from_json(result.get("findings", ()))
    return Preview(
        product=product.name,
        kind=kind_of(product),
        columns=table["columns"],
        rows=table["rows"],
        card=result.get("card", {}),
        remarks=[(one.reason, one.params) for one in findings if not one.verdict.lets_out],
        files={one["name"]: base64.b64decode(one["data"], validate=True) for one in result.get("files", ())},
    )
