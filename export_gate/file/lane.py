"""The lane of files: charge, have one file of the outbox parsed in a jail, write it anew, say what was found (E2, laws 1–3 and 8).

The order closes the channels: nothing of the file is looked at before its bits are charged by what its description reserves, and after
that whatever is answered is paid for (``capacity``). What the parser says is taken for a stranger's word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from export_gate.artefact import File, card_file
from export_gate.attacks.precision import Sheet
from export_gate.checks import Subject, run_checks
from export_gate.file.canonical import Canonical, Picture, Table, from_wire
from export_gate.file.capacity import capacity
from export_gate.file.cells import Column
from export_gate.file.limits import JAIL_LIMITS, MOST_BYTES, MOST_READ
from export_gate.file.personal import look_for_persons
from export_gate.file.problem import HIGHEST_LINE, PROBLEMS
from export_gate.finding import Finding, Verdict
from export_gate.gatekeeper import Gatekeeper, WorkerFailedError
from export_gate.policy import Label
from jobs.bits import BitClaim, Purpose, caps_of, charge_bits
from jobs.runs import get_run
from jobs.spec import FileProduct, Job
from jobs.supervisor import outbox_opened
from lineage.errors import Param
from lineage.log import PLATFORM
from sandbox.columns import Grade


_VERSION = 1


@dataclass(frozen=True)
class Handed:
    """What the gate knows of a file before it looks.

    Attributes:
        product, spec, run: its description, the job that holds it, and the run that left it.
        export, tenant, scenario, person: for whom.
        grade: the highest grade that the run could read.
        subjects: the most rows of a table that it could read.
    """

    product: FileProduct
    spec: Job
    run: str
    export: str
    tenant: str
    scenario: str
    person: str
    grade: Grade
    subjects: int


@dataclass(frozen=True)
class Taken:
    """What came of it: the gate's own files, and findings."""

    files: tuple[File, ...]
    findings: tuple[Finding, ...]
    found: Canonical | None = None


def take_file(gate: Gatekeeper, handed: Handed) -> Taken:
    """Charge a file's bits, then read it and judge it.

    Raises:
        BudgetError: the scenario's or the tenant's bits do not suffice; nothing was looked at.
        WorkStoppedError: the tenant may not work any more.
        MissingPartError: the jail or the tenant's key is missing (law 7).
    """
    refused = _refused_unseen(gate, handed)
    if refused:
        return Taken((), refused)
    bits = capacity(handed.product.size)
    claim = BitClaim(Purpose.FILE, handed.export, handed.scenario, handed.tenant, bits)
    with gate.domain.change(PLATFORM) as change:
        # Committed before the file is opened; a crash after this line leaves a charge, never an unpaid look (laws 3 and 8).
        # A check that is asked for again after a crash was charged already: the same file gives the same answer.
        charge_bits(change, claim, caps_of(gate.domain))
    taken = read_file(gate, handed.product, handed.run, handed.scenario, handed.person, handed.subjects)
    params: dict[str, Param] = {"bits": bits, "bytes": handed.product.size}
    charged = Finding("file.bits", _VERSION, Verdict.REVIEW, "file.bits-charged", params, params)
    if taken.found is None:
        return Taken((), (charged, *taken.findings))
    card = card_file({**_card(handed.product, taken.found), "bits": bits, "run": handed.run})
    return Taken((*taken.files, card), (charged, *taken.findings), taken.found)


def read_file(
    gate: Gatekeeper, product: FileProduct, run: str, scenario: str, person: str, subjects: int | None = None
) -> Taken:
    """Read a file that a run left and judge it; without a charge, so of a development run alone (or after ``take_file`` charged it).

    ``subjects`` is from how many rows a number in it was made at most, where that is known.

    Raises:
        WorkStoppedError, MissingPartError: as ``take_file``.
    """
    request = {
        "lane": "file",
        "format": product.format,
        "bytes": product.size,
        "columns": list(product.columns.items()),
    }
    with outbox_opened(gate.domain, run) as outbox:
        path = outbox / product.path
        refused = _refused_outside(path)
        if refused:
            return Taken((), refused)
        try:
            answer = replace(gate, limits=JAIL_LIMITS).work(request, path, {}, scenario, person)
        except WorkerFailedError:
            return Taken((), _cannot_check("file.no-answer"))
    return _judged(product, answer, subjects)


def _refused_unseen(gate: Gatekeeper, handed: Handed) -> tuple[Finding, ...]:
    """Refuse what needs no look: no description, another ``[[run]]``, a grade that opaque files may not come from, too much of it."""
    product = handed.product
    if not product.path:
        return _cannot_check("file.not-described", product=product.name)
    with gate.domain.read() as connection:
        position = get_run(connection, handed.run).position
    if handed.spec.runs[position].name != product.run:
        return _cannot_check("file.other-run", run=handed.run, needed=product.run)
    most = MOST_BYTES[handed.grade]
    if product.size > most:
        params: dict[str, Param] = {"bytes": product.size, "most": most, "grade": int(handed.grade)}
        return (Finding("file.size-by-grade", _VERSION, Verdict.BLOCK, "file.over-grade", params, params),)
    return ()


def _refused_outside(path: Path) -> tuple[Finding, ...]:
    """Refuse what is no file at all; the collector has left only plain files and folders of them."""
    if path.is_dir():
        return _cannot_check("file.folder")
    if path.is_symlink() or not path.is_file():
        return _cannot_check("file.not-left")
    return _cannot_check("file.too-large") if path.stat().st_size > MOST_READ else ()


def _judged(product: FileProduct, answer: Mapping[str, Any], subjects: int | None) -> Taken:
    """Judge what the parser answered; its words are a stranger's, so only known ones count."""
    problem, line = answer.get("problem"), answer.get("line", 0)
    if problem in PROBLEMS and type(line) is int and 0 <= line <= HIGHEST_LINE:
        return Taken((), _cannot_check(str(problem), line=line))
    columns = [Column.declared(name, kind) for name, kind in product.columns.items()]
    try:
        found = from_wire(product.format, columns, answer.get("canonical", {}))
    except ValueError:
        return Taken((), _cannot_check("file.no-answer"))
    if len(found.data) > product.size:
        return Taken((), _cannot_check("file.no-answer"))
    params: dict[str, Param] = {"format": f"label.file.{product.format}", "bytes": len(found.data)}
    made = Finding("file.form", _VERSION, Verdict.NO_ATTACK_SUCCEEDED, "file.written-anew", params, params)
    findings = (made, *look_for_persons(found), _eyes(found))
    return Taken(found.files, (*findings, *_attacks(found, findings, subjects)), found)


def _attacks(found: Canonical, before: tuple[Finding, ...], subjects: int | None) -> tuple[Finding, ...]:
    """Attack a table by what it says alone: summaries of small groups, coefficients, digits (B9–B11)."""
    if not isinstance(found, Table):
        return ()
    names = tuple(column.name for column in found.columns)
    sheet = Sheet(names, tuple(tuple(cell or "" for cell in row) for row in found.rows), subjects)
    return run_checks(Subject("file", sheet), before)


def _eyes(found: Canonical) -> Finding:
    """Say what only people can judge: no rule tells rows of persons from an honest result once their names are gone."""
    reason = "file.look-at-picture" if isinstance(found, Picture) else "file.look-at-contents"
    return Finding("file.eyes", _VERSION, Verdict.REVIEW, reason)


def _cannot_check(reason: str, **params: Param) -> tuple[Finding, ...]:
    return (Finding("file.form", _VERSION, Verdict.CANNOT_CHECK, reason, params),)


def _card(product: FileProduct, found: Canonical) -> dict[str, Any]:
    """What a recipient should know of an opaque file."""
    card: dict[str, Any] = {"product": product.name, "label": Label.OPAQUE.value, "format": product.format}
    card |= {"bytes": len(found.data), "bytes_reserved": product.size}
    if isinstance(found, Table):
        card |= {"rows": len(found.rows), "columns": dict(product.columns)}
    if isinstance(found, Picture):
        card |= {"width": found.width, "height": found.height}
    return card
