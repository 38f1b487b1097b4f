"""The release: canonical bytes, manifest, evidence for outsiders, signature and log proof, as a folder and a zip (E1, E4, E6, L5).

The manifest is fixed and logged in the transaction that releases; the folder is built from it afterwards and can be built again
after a crash, byte for byte but for the proof's checkpoint.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import zipfile
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from export_gate.attacks.asking import attack_again
from export_gate.evidence import read_evidence, read_file, write_refusal
from export_gate.exports import Export, folder_of, get_export, move
from export_gate.finding import worst
from export_gate.findings import plain_reasons
from export_gate.records.remembering import overtaken, tell_all
from export_gate.report.making import check_sources_stand
from export_gate.resuming import check_resumed
from export_gate.review import record_subjects, reviews_of
from export_gate.rounds import agreed
from export_gate.schema import charge
from export_gate.states import ExportState
from export_gate.table.check import CellPolicy
from jobs.runs import get_job
from lineage.canonical import Json, encode
from lineage.errors import DefinitionError, GateRefusedError
from lineage.kinds import Kind
from lineage.log import PLATFORM, Change
from lineage.proof import prove
from sandbox.access import Session, check_still_active
from sandbox.agreements import get_scenario
from sandbox.domain import Domain
from sandbox.parties import get_organisation
from sandbox.requests import check_working
from sandbox.roles import Permission


MANIFEST, SIGNATURE, PROOF, DATA = "manifest.json", "manifest.sig", "manifest.tlog-proof", "data"
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def statement(manifest: bytes) -> str:
    """Give the text that the release key signs and that nothing else could mean."""
    return f"shuzha release\n{hashlib.sha256(manifest).hexdigest()}\n"


def subject_of(manifest: bytes) -> str:
    """Give the id under which the log's header names a manifest, so that a proof of the header is a proof of the release."""
    return f"manifest:{hashlib.sha256(manifest).hexdigest()}"


def release(domain: Domain, identity: str) -> Path:
    """Release an approved export; gives its folder. Safe to repeat after a crash at any point.

    Raises:
        DefinitionError: it is not approved.
        NotPermittedError: the tenant may not work any more: nothing leaves for it (A8).
        GateRefusedError: evidence or files are not those that were approved; or another release, of whomever, came first, and
            the two together would tell of too few: then the export is refused and its approvals are void (law 4).
    """
    with domain.read() as connection:
        found = get_export(connection, identity)
    if found.state is not ExportState.RELEASED:
        found = _fix(domain, identity)
    if found.state is ExportState.REFUSED:
        raise GateRefusedError("records.overtaken", export=identity)
    target = domain.home / "releases" / identity
    with (target.parent / f".{identity}.lock").open("w") as lock:
        # The officer's approval and the tenant's fetch may both come here: one builds, the other finds it whole.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / MANIFEST).exists() or not target.with_suffix(".zip").exists():
            _build(domain, found, target)
    return target


def _fix(domain: Domain, identity: str) -> Export:
    """Fix the manifest and log it, in one transaction (laws 4 and 5)."""
    with domain.change(PLATFORM) as change:
        found = get_export(change.connection, identity)
        if found.state is ExportState.RELEASED:
            return found
        check_resumed(change.connection)
        if found.state is not ExportState.APPROVED or found.evidence_digest is None:
            raise DefinitionError("export.not-approved", export=found.id)
        job = get_job(change.connection, found.job)
        check_working(change, job.scenario)
        evidence = read_evidence(folder_of(domain, found.id), found.evidence_digest)
        _check_approvals(change.connection, found)
        check_sources_stand(change.connection, evidence)
        told = _tell(change, domain, found, job.tenant, evidence)
        if told is None:
            return get_export(change.connection, found.id)
        manifest = encode(_manifest(domain, change.connection, found, evidence, change.at))
        move(change, found, ExportState.RELEASED, manifest=manifest.decode())
        node, product = f"release:{found.id}", f"product:{found.id}/{found.product}"
        change.record(
            Kind.EXPORT_RELEASED,
            [*record_subjects(change, found), subject_of(manifest), *told],
            {
                "product": found.product,
                "lineage": {
                    "from": [product],
                    "to": [node],
                    "nodes": {node: {"title": found.product, "date": change.at}},
                },
            },
        )
        return get_export(change.connection, found.id)


def _tell(change: Change, domain: Domain, found: Export, tenant: str, evidence: Mapping[str, Any]) -> list[str] | None:
    """Compare an exact table with what was told since its check, then enter it as told; None when it was refused instead.

    Nobody else writes meanwhile, so of two tables that tell something only together one leaves (law 4).

    Raises:
        GateRefusedError: it was never compared: it was checked before the gate remembered.
    """
    if found.kind != "table":
        return []
    if not any(str(one["check"]).startswith("records.") for one in evidence["findings"]):
        raise GateRefusedError("records.not-compared", export=found.id)
    against = overtaken(change, domain, found.id, tenant, CellPolicy())
    if not against:
        against = attack_again(domain, change.connection, found.id, evidence)
    if not against:
        return tell_all(change, found.id)
    digest = write_refusal(folder_of(domain, found.id), found.id, against)
    reasons = [*found.reasons, *plain_reasons(against)]
    move(change, found, ExportState.REFUSED, verdict=worst(against).value, reasons=reasons)
    reason = {"check": against[0].check, "reason": against[0].reason, "evidence": digest}
    change.record(
        Kind.EXPORT_REFUSED, record_subjects(change, found), {"reason": "records.overtaken", "finding": reason}
    )
    return None


def _check_approvals(connection: Connection, found: Export) -> None:
    """Hold the votes once more against the evidence that leaves: what the state says must be what happened (law 6)."""
    votes = reviews_of(connection, found.id)
    deciders = {one.person for one in votes}
    people = deciders | {found.approved_by, found.requested_by}
    if not agreed(votes, found) or None in people or len(people) != len(deciders) + 2:
        raise GateRefusedError("export.approvals-incomplete", export=found.id)


def _manifest(
    domain: Domain, connection: Connection, found: Export, evidence: Mapping[str, Any], at: str
) -> Mapping[str, Json]:
    job = get_job(connection, found.job)
    scenario, tenant = get_scenario(connection, job.scenario), get_organisation(connection, job.tenant)
    votes = agreed(reviews_of(connection, found.id), found)
    shown = [
        {"check": one["check"], "version": one["version"], "verdict": one["verdict"], "parameters": one["parameters"]}
        for one in evidence["findings"]
    ]
    sources = [{"dataset": s["dataset"], "version": s["version"], "as_of": s["as_of"]} for s in evidence["sources"]]
    return {
        "format": 1,
        "domain": domain.name,
        "release": found.id,
        "product": found.product,
        "kind": found.kind,
        "label": evidence["label"],
        "scenario": {"id": scenario.id, "name": scenario.name, "purpose": scenario.purpose},
        "recipient": {"name": tenant.name, "title": tenant.title},
        "sources": sources,
        "released": at,
        "job": job.digest,
        "checks": shown,
        "evidence": found.evidence_digest,
        "approvals": [{"as": "reviewer", "at": one.at} for one in votes] + [{"as": "authority", "at": at}],
        "budget": _budget(connection, found.id),
        "files": [{"name": f["name"], "sha256": f["sha256"], "size": f["size"]} for f in evidence["files"]],
    }


def _budget(connection: Connection, identity: str) -> Mapping[str, Json] | None:
    """Sum what was charged for an export: more than once where a crash came before new tables; None for a stored answer."""
    rows = connection.execute(select(charge.c.rho, charge.c.delta).where(charge.c.export == identity)).all()
    if not rows:
        return None
    rho, delta = (sum((Fraction(one[place]) for one in rows), Fraction(0)) for place in (0, 1))
    return {"rho": str(rho), "delta": str(delta)}


def _build(domain: Domain, found: Export, target: Path) -> None:
    """Build folder and zip beside their place, then move them there: a half release is never seen."""
    if found.manifest is None or found.evidence_digest is None:
        raise DefinitionError("export.not-approved", export=found.id)
    source, manifest = folder_of(domain, found.id), found.manifest.encode()
    evidence = read_evidence(source, found.evidence_digest)
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / DATA).mkdir(mode=0o755, parents=True)
    for file in evidence["files"]:
        (fresh / DATA / file["name"]).write_bytes(read_file(source, file))
    (fresh / MANIFEST).write_bytes(manifest)
    (fresh / SIGNATURE).write_text(domain.release_signer.sign(statement(manifest)), encoding="utf-8")
    (fresh / PROOF).write_text(_proof(domain, manifest), encoding="utf-8")
    zip_folder(fresh, target.with_suffix(".zip"))
    os.sync()
    shutil.rmtree(target, ignore_errors=True)
    fresh.replace(target)


def _proof(domain: Domain, manifest: bytes) -> str:
    with domain.read() as connection:
        (entry,) = domain.log.about(connection, subject_of(manifest))
        return prove(connection, entry.seq).text


def zip_folder(folder: Path, target: Path) -> None:
    """Write a folder as a zip with fixed times, order and modes: equal folders are equal bytes."""
    temporary = target.with_suffix(".new")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _ZIP_TIME)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, path.read_bytes())
    temporary.replace(target)


def fetch(domain: Domain, session: Session, identity: str, into: Path) -> Path:
    """Hand a release to its recipient: a copy under ``into``, on the log (E4, L2).

    Raises:
        NotPermittedError: it is another tenant's.
        DefinitionError: it is not released, it was revoked, or the target exists.
        GateRefusedError: what lies there is not what was released: somebody changed it behind the gate's back.
    """
    session.check(Permission.EXPORT_READ)
    target = into / identity
    if os.path.lexists(target) or os.path.lexists(target.with_suffix(".zip")):
        raise DefinitionError("export.target-exists", path=str(target))
    with domain.read() as connection:
        found = get_export(connection, identity, session)
        # The recipient alone: staff who may read about an export look at it where that is logged (E4).
        session.check_own(get_job(connection, found.job).tenant)
    _check_released(found)
    source = release(domain, identity)
    _check_sound(domain, source)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        check_working(change, get_job(change.connection, found.job).scenario)
        # A revocation may have come between: what it is about is not handed over any more.
        _check_released(get_export(change.connection, identity))
        change.record(Kind.RELEASE_FETCHED, record_subjects(change, found), {"person": session.login})
    into.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target)
    # "x" refuses a link that somebody put there meanwhile.
    with target.with_suffix(".zip").open("xb") as copy:
        copy.write(source.with_suffix(".zip").read_bytes())
    os.sync()
    return target


def _check_released(found: Export) -> None:
    if found.state is not ExportState.RELEASED:
        code = "export.revoked" if found.state is ExportState.REVOKED else "export.not-released"
        raise DefinitionError(code, export=found.id)


def _check_sound(domain: Domain, source: Path) -> None:
    """Do before handing over what the recipient will do: verify folder and zip with the public keys alone."""
    from export_gate.verifying import verify_release

    for path in (source, source.with_suffix(".zip")):
        verify_release(path, domain.log.signer.verifier, domain.release_signer.verifier)
