"""Charts and reports as exports of their own: made only from products that are released, in a jail that holds no row (laws 1 and 2).

A chart tells nothing that its table did not tell; so it waits until the table is out, carries the table's label, and its lineage
begins there.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from export_gate.artefact import File
from export_gate.chart.fonts import font_folder
from export_gate.chart.numbers import Numbers
from export_gate.evidence import Source, read_evidence, read_file
from export_gate.exports import Export, folder_of
from export_gate.finding import Finding, Verdict
from export_gate.findings import findings_from_json
from export_gate.gatekeeper import Gatekeeper, WorkerFailedError
from export_gate.policy import Label
from export_gate.report.columns import shown_columns
from export_gate.report.filling import Material
from export_gate.report.lane import Drawn, materials_to_json, sources_of
from export_gate.schema import export
from export_gate.states import ExportState
from jobs.schema import job
from jobs.spec import load_job
from lineage.errors import DefinitionError, GateRefusedError, WaitingError
from sandbox.domain import Domain


_TRUST = (Label.MEASURED, Label.RECOMPUTED, Label.GATE_TRAINED, Label.OPAQUE)
_NUMBERS, _PICTURE = "data.csv", "chart.png"


@dataclass(frozen=True)
class Origin:
    """Where a drawn product comes from: the weakest label of its sources, their tables, and their nodes of the lineage."""

    label: Label
    sources: tuple[Source, ...]
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Released:
    """One released product that others are drawn from."""

    export: str
    product: str
    evidence: Mapping[str, Any]
    material: Material

    @property
    def node(self) -> str:
        """Its node of the lineage, which holds its columns."""
        return f"product:{self.export}/{self.product}"


@dataclass(frozen=True)
class DrawnProduct:
    """What was drawn: files, findings, origin, and which column of which product each shown column is."""

    files: tuple[File, ...]
    findings: tuple[Finding, ...]
    origin: Origin
    columns: Mapping[str, list[str]]


def make_drawn(gate: Gatekeeper, found: Export, product: Drawn, folder: Path, scenario: str) -> DrawnProduct:
    """Draw a chart or fill a report.

    Raises:
        WaitingError: a product that it is drawn from is not released; the export may be checked again then.
        MissingPartError: the font is missing, here where it is said and not only inside the jail.
        DefinitionError: a source gives neither numbers nor a picture.
    """
    font_folder()
    names = sources_of(product)
    with gate.domain.read() as connection:
        released = [find_released(gate.domain, connection, found, scenario, name) for name in names]
    materials = {one.product: one.material for one in released}
    request = {"product": product.name, "subjects": {}, "preview": False, "released": materials_to_json(materials)}
    try:
        result = gate.work(request, folder, {}, scenario, found.requested_by)
    except WorkerFailedError as error:
        # Made from a promoted text and released numbers alone: what was wrong is no answer from the data, and may be told (law 8).
        raise DefinitionError(error.code, **error.params) from error
    files = tuple(File(str(one["name"]), base64.b64decode(one["data"], validate=True)) for one in result["files"])
    numbers = {one.product: one.material.numbers for one in released if one.material.numbers is not None}
    nodes = {one.product: one.node for one in released}
    columns = shown_columns(product, load_job(folder).products, numbers, nodes)
    return DrawnProduct(files, (_told(released), *findings_from_json(result["findings"])), _origin(released), columns)


def find_released(domain: Domain, connection: Connection, found: Export, scenario: str, product: str) -> Released:
    """Find the newest release of a product of exactly this job (by digest) in its scenario.

    Raises:
        WaitingError: there is none.
        DefinitionError: it is of a kind that nothing can be drawn from.
        GateRefusedError: its files are not what was released.
    """
    digest = select(job.c.digest).where(job.c.id == found.job).scalar_subquery()
    query = (
        select(export.c.id, export.c.evidence_digest)
        .join(job, job.c.id == export.c.job)
        .where(job.c.digest == digest, job.c.scenario == scenario, export.c.product == product)
        .where(export.c.state == ExportState.RELEASED.value)
        .order_by(export.c.requested.desc(), export.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise WaitingError("chart.waits", export=found.id, product=product)
    folder = folder_of(domain, row.id)
    evidence = read_evidence(folder, row.evidence_digest)
    return Released(row.id, product, evidence, _material(folder, product, evidence))


def _material(folder: Path, product: str, evidence: Mapping[str, Any]) -> Material:
    files = {str(one["name"]): one for one in evidence["files"]}
    # A file that a run handed over has the same name and is no product of the gate's own numbers.
    if evidence["kind"] in {"statistic", "table"} and _NUMBERS in files:
        return Material(Numbers.from_csv(read_file(folder, files[_NUMBERS])))
    if evidence["kind"] == "chart" and _PICTURE in files:
        return Material(picture=read_file(folder, files[_PICTURE]))
    raise DefinitionError("chart.not-drawable", product=product)


def _told(released: Iterable[Released]) -> Finding:
    """Name the releases: the manifest carries a check's parameters, so the recipient learns which numbers these are."""
    parameters = {one.product: one.export for one in released}
    shown = ", ".join(f"{product} ({identity})" for product, identity in parameters.items())
    return Finding(SOURCES, 1, Verdict.NO_ATTACK_SUCCEEDED, "chart.drawn-from", {"products": shown}, parameters)


SOURCES = "drawn.sources"


def check_sources_stand(connection: Connection, evidence: Mapping[str, Any]) -> None:
    """Check, in the transaction that releases, that what a chart or report was drawn from has not been revoked meanwhile.

    Raises:
        GateRefusedError: it has.
    """
    named = [
        identity for one in evidence["findings"] if one["check"] == SOURCES for identity in one["parameters"].values()
    ]
    for identity in named:
        state = connection.execute(select(export.c.state).where(export.c.id == identity)).scalar_one_or_none()
        if state != ExportState.RELEASED.value:
            raise GateRefusedError("chart.source-revoked", export=identity)


def _origin(released: Iterable[Released]) -> Origin:
    found = list(released)
    label = max((Label(one.evidence["label"]) for one in found), key=_TRUST.index)
    sources = {
        (one["input"], one["dataset"], one["version"], one["table"]): Source(
            one["input"], one["dataset"], one["version"], one["as_of"], one["table"], 0
        )
        for each in found
        for one in each.evidence["sources"]
    }
    return Origin(label, tuple(sources.values()), tuple(one.node for one in found))
