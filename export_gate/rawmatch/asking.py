"""Asking the gate's worker to search a product for what stands behind it: the step between making and policy (E2, law 2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from export_gate.finding import worst
from export_gate.findings import findings_from_json
from export_gate.gatekeeper import Gatekeeper
from export_gate.rawmatch.gathering import laid_ready
from jobs.spec import FileProduct


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
    request = {"lane": "match", "seed": seed, "opaque": isinstance(case.product, FileProduct)}
    with laid_ready(gate.domain, case.grant, made.files) as folders:
        result = gate.work(request, case.folder, folders, case.scenario, case.export.requested_by)
    return replace(made, findings=(*made.findings, *findings_from_json(result["findings"])))
