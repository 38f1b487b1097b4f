"""Asking the gate's worker to search a product for what stands behind it: the step between making and policy (E2, law 2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from export_gate.finding import worst
from export_gate.findings import findings_from_json
from export_gate.gatekeeper import Gatekeeper
from export_gate.rawmatch.carrying import RECORDS
from export_gate.rawmatch.gathering import laid_ready
from jobs.spec import FileProduct
from sandbox.grants import zone_opened


if TYPE_CHECKING:
    from export_gate.checking import Case, Made


def search_made(gate: Gatekeeper, case: Case, made: Made, seed: int) -> Made:
    """Search what would leave, and the texts of the job that asked for it, for identifiers of the grant's tables.

    Whatever lane made the files: a described product is searched like a run's own. What does not leave anyway is not.

    Args:
        gate: starts the worker, which sees nothing but the files, the identifiers and the job.
        case: the export.
        made: its canonical files, and what was found so far.
        seed: the gate's, for the decoys (law 9).

    Raises:
        MissingPartError: RAW, a key or the jail is missing (law 7).
        WorkerFailedError: the search died, which the export's check reports as ``cannot check``.
    """
    if not made.files or not worst(made.findings).lets_out:
        return made
    opaque = isinstance(case.product, FileProduct)
    request = {"lane": "match", "seed": seed, "opaque": opaque}
    with laid_ready(gate.domain, case.grant, made.files) as folders, _records(gate, case, opaque=opaque) as records:
        result = gate.work(request, case.folder, {**folders, **records}, case.scenario, case.export.requested_by)
    return replace(made, findings=(*made.findings, *findings_from_json(result["findings"])))


@contextmanager
def _records(gate: Gatekeeper, case: Case, *, opaque: bool) -> Iterator[dict[str, Path]]:
    """Open the tables that a run read, where what it made may be their rows: what the gate makes itself it made of groups (B4)."""
    if not opaque:
        yield {}
        return
    with zone_opened(gate.domain, case.grant, case.zone) as folder:
        yield {f"{RECORDS}{name}": folder / table.id for name, table in case.tables.items()}
