"""Verification of a release by whoever holds it: offline, with the domain's public keys alone (L1, L5).

Checked in this order, each with its own message: the manifest's signature; that the folder holds exactly the files the manifest
names, with their digests; the log's signature; that the log entry is in the tree; that this entry is about this manifest; where a list of
revocations is given, that the manifest is not on it.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export_gate.release import DATA, MANIFEST, PROOF, SIGNATURE, statement, subject_of
from export_gate.revoking import Revocations
from lineage.errors import GateRefusedError
from lineage.kinds import Kind
from lineage.note import Verifier
from lineage.proof import Proof


_MOST_BYTES = 2 << 30


@dataclass(frozen=True)
class Verified:
    """A release that holds: its manifest, and the size of the log it is proved to be in."""

    manifest: Mapping[str, Any]
    log_size: int


def verify_release(
    path: Path, log_key: Verifier, release_key: Verifier, revocations: Revocations | None = None
) -> Verified:
    """Verify a release folder or zip; with the domain's list of revocations also that it is not on it.

    Raises:
        GateRefusedError: with the first thing that does not hold.
    """
    files = _from_zip(path) if path.is_file() else _from_folder(path)
    manifest = _need(files, MANIFEST)
    signed = release_key.open(_text(_need(files, SIGNATURE)))
    if signed != statement(manifest):
        raise GateRefusedError("release.manifest-changed")
    content = json.loads(manifest)
    _check_files(files, content["files"])
    proof = Proof.parse(_text(_need(files, PROOF)))
    checkpoint = proof.check(log_key)
    header = json.loads(proof.header)
    if header["kind"] != Kind.EXPORT_RELEASED.value or subject_of(manifest) not in header["subjects"]:
        raise GateRefusedError("release.proof-of-another")
    if revocations is not None:
        revocations.check(manifest, str(content["domain"]))
    return Verified(content, checkpoint.size)


def _check_files(files: Mapping[str, bytes], named: list[Mapping[str, Any]]) -> None:
    expected = {MANIFEST, SIGNATURE, PROOF, *(f"{DATA}/{file['name']}" for file in named)}
    for name in sorted(set(files) - expected):
        raise GateRefusedError("release.extra-file", file=name[:80])
    for file in named:
        data = _need(files, f"{DATA}/{file['name']}")
        if hashlib.sha256(data).hexdigest() != file["sha256"]:
            raise GateRefusedError("release.file-changed", file=file["name"])


def _need(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise GateRefusedError("release.file-missing", file=name)
    return files[name]


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GateRefusedError("log.bad-note") from error


def _from_folder(path: Path) -> dict[str, bytes]:
    if not path.is_dir():
        raise GateRefusedError("release.not-found", path=str(path))
    files: dict[str, bytes] = {}
    for item in sorted(path.rglob("*")):
        mode = item.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode) or item.stat().st_size > _MOST_BYTES:
            raise GateRefusedError("release.extra-file", file=item.name[:80])
        files[item.relative_to(path).as_posix()] = item.read_bytes()
    return files


def _from_zip(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if sum(info.file_size for info in infos) > _MOST_BYTES or len({i.filename for i in infos}) != len(infos):
                raise GateRefusedError("release.not-found", path=str(path))
            return {info.filename: archive.read(info) for info in infos if not info.is_dir()}
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError) as error:
        # What a hostile archive makes the reader raise: damaged, encrypted, of an unknown method, or names that are no names.
        raise GateRefusedError("release.not-found", path=str(path)) from error
