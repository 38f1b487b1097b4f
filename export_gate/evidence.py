"""Evidence: one canonical JSON an export, and the files that would leave, bound together by one digest (SATRE 3.3.09, E6)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export_gate.artefact import File
from export_gate.finding import Finding
from export_gate.findings import findings_to_json
from lineage.canonical import Json, encode
from lineage.errors import GateRefusedError


_FILE, _REFUSAL = "evidence.json", "refusal.json"


@dataclass(frozen=True)
class Source:
    """A table the product was made from: the input's name, the dataset's version and date, the provisioned table."""

    name: str
    dataset: str
    version: int
    as_of: str
    table: str
    rows: int


@dataclass(frozen=True)
class Evidence:
    """What was checked, on what, with which result."""

    export: str
    job: str
    product: str
    kind: str
    label: str
    verdict: str
    sources: tuple[Source, ...]
    findings: tuple[Finding, ...]
    files: tuple[File, ...]

    @property
    def json(self) -> Mapping[str, Json]:
        """The canonical form; findings carry their private part, so it stays inside the domain."""
        return {
            "format": 1,
            "export": self.export,
            "job": self.job,
            "product": self.product,
            "kind": self.kind,
            "label": self.label,
            "verdict": self.verdict,
            "sources": [
                {"input": s.name, "dataset": s.dataset, "version": s.version, "as_of": s.as_of, "table": s.table}
                for s in self.sources
            ],
            "findings": findings_to_json(self.findings),
            "files": [{"name": file.name, "sha256": file.sha256, "size": len(file.data)} for file in self.files],
        }


def write_evidence(folder: Path, evidence: Evidence) -> str:
    """Write evidence and files into an export's folder, anew; gives the digest that reviewers approve."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "product").mkdir(mode=0o700, parents=True)
    for file in evidence.files:
        _write(folder / "product" / file.name, file.data)
    data = encode(evidence.json)
    _write(folder / _FILE, data)
    return hashlib.sha256(data).hexdigest()


def write_refusal(folder: Path, export: str, findings: Iterable[Finding]) -> str:
    """Write why an approved export was not released, beside its evidence, which stays what people voted on; gives its digest."""
    data = encode({"format": 1, "export": export, "findings": findings_to_json(findings)})
    _write(folder / _REFUSAL, data)
    return hashlib.sha256(data).hexdigest()


def read_evidence(folder: Path, digest: str) -> Mapping[str, Any]:
    """Read evidence that a digest was recorded for, with every file it names.

    Raises:
        GateRefusedError: evidence or a file is not what was recorded: somebody changed it behind the gate's back.
    """
    try:
        data = (folder / _FILE).read_bytes()
    except OSError as error:
        raise GateRefusedError("export.evidence-changed", file=_FILE) from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise GateRefusedError("export.evidence-changed", file=_FILE)
    evidence: Mapping[str, Any] = json.loads(data)
    for file in evidence["files"]:
        read_file(folder, file)
    return evidence


def read_file(folder: Path, file: Mapping[str, Any]) -> bytes:
    """Read one file of the product and hold it against its digest.

    Raises:
        GateRefusedError: it is missing or changed.
    """
    try:
        data = Path(folder / "product" / str(file["name"])).read_bytes()
    except OSError as error:
        raise GateRefusedError("export.evidence-changed", file=file["name"]) from error
    if hashlib.sha256(data).hexdigest() != file["sha256"]:
        raise GateRefusedError("export.evidence-changed", file=file["name"])
    return data


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
