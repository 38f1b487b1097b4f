"""What a backup says of itself: the signed manifest outside, the index of every file inside.

The manifest is canonical JSON that names no table and no tenant: parts with their digests, the position of the log, who made it, when,
of which versions. The index lies encrypted among the parts, and the manifest holds its digest, so the one signature binds every file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from lineage.canonical import Json, decode, encode
from lineage.errors import GateRefusedError, MissingPartError
from lineage.note import Signer, Verifier


FORMAT = 1
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
INDEX_PART = "index.age"


@dataclass(frozen=True)
class Part:
    """One encrypted file of a backup: its name, bytes and SHA-256 in hex."""

    name: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        # The name becomes a path: one that somebody else chose must not lead out of the folder.
        if "/" in self.name or not self.name.endswith(".age") or self.name.startswith(".") or self.bytes < 0:
            raise ValueError("not a part of a backup")


@dataclass(frozen=True)
class Position:
    """Where the log stood: entries, root in hex, the signed checkpoint."""

    size: int
    root: str
    checkpoint: str


@dataclass(frozen=True)
class Manifest:
    """What a backup is.

    Attributes:
        id: of the backup, as the log names it.
        domain: name of the domain.
        made: moment, RFC 3339.
        by: person and organisation who made it.
        recipient: recovery key it is encrypted to.
        database: ``sqlite`` or ``postgresql``.
        revision: newest migration of the database.
        storage: storage provider of the sealed folders.
        sealed: whether the sealed folders are in it.
        vault: id of the key copies made with it, or None.
        position: where the log stood.
        software: versions of what made it.
        parts: every encrypted file, the index among them.
    """

    id: str
    domain: str
    made: str
    by: Mapping[str, str]
    recipient: str
    database: str
    revision: str
    storage: str
    sealed: bool
    vault: str | None
    position: Position
    software: Mapping[str, str]
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        if len(names) != len(set(names)) or INDEX_PART not in names:
            raise ValueError("a backup has an index, and each part once")

    @property
    def encoded(self) -> bytes:
        """The canonical bytes."""
        return encode({"format": FORMAT, **cast("Mapping[str, Json]", asdict(self))})


@dataclass(frozen=True)
class File:
    """One file or folder inside a part; ``sha256`` is None for a folder. ``mode`` has permission bits only."""

    part: str
    path: str
    bytes: int
    sha256: str | None
    mode: int
    uid: int
    gid: int
    mtime: int

    def __post_init__(self) -> None:
        steps = self.path.split("/")
        if self.path.startswith("/") or any(step in {"", ".", ".."} for step in steps) or self.mode & ~0o777:
            raise ValueError("not a file of a backup")


@dataclass(frozen=True)
class Index:
    """Everything a backup holds; ``left_out`` says of what was passed over why: path → reason."""

    files: tuple[File, ...]
    left_out: Mapping[str, str]

    @property
    def encoded(self) -> bytes:
        """The canonical bytes."""
        return encode({"files": [asdict(one) for one in self.files], "left_out": dict(self.left_out)})

    @classmethod
    def decode(cls, data: bytes) -> Index:
        """Read the bytes.

        Raises:
            GateRefusedError: they are not such an index.
        """
        try:
            found = cast("Mapping[str, Any]", decode(data))
            files = tuple(File(**one) for one in found["files"])
            index = cls(files, dict(found["left_out"]))
        except (ValueError, TypeError, KeyError) as error:
            raise GateRefusedError("backup.damaged", part=INDEX_PART) from error
        if len({one.path for one in files}) != len(files):
            raise GateRefusedError("backup.damaged", part=INDEX_PART)
        return index


def statement(manifest: bytes) -> str:
    """Give the text that the log's key signs and that nothing else could mean."""
    return f"shuzha backup\n{hashlib.sha256(manifest).hexdigest()}\n"


def write_manifest(folder: Path, manifest: Manifest, signer: Signer) -> str:
    """Write manifest and signature; gives the manifest's SHA-256 in hex."""
    data = manifest.encoded
    (folder / MANIFEST).write_bytes(data)
    (folder / SIGNATURE).write_text(signer.sign(statement(data)), encoding="utf-8")
    return hashlib.sha256(data).hexdigest()


def read_manifest(folder: Path) -> tuple[Manifest, bytes]:
    """Read a manifest and its bytes, whose signature is still to be verified.

    Raises:
        MissingPartError: there is no backup, or it is of another format.
        GateRefusedError: the manifest is damaged.
    """
    try:
        data = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise MissingPartError("backup.not-found", folder=str(folder)) from error
    try:
        found = dict(cast("Mapping[str, Any]", decode(data)))
        version = found.pop("format")
        if version != FORMAT:
            raise MissingPartError("backup.other-format", found=str(version), known=FORMAT)
        found["parts"] = tuple(Part(**one) for one in found["parts"])
        found["position"] = Position(**found["position"])
        return Manifest(**found), data
    except (ValueError, TypeError, KeyError) as error:
        raise GateRefusedError("backup.damaged", part=MANIFEST) from error


def verify_signature(folder: Path, manifest: Manifest, data: bytes, verifier: Verifier) -> None:
    """Verify that the domain's log key signed a manifest.

    Raises:
        GateRefusedError: it is another domain's, or the signature does not hold.
    """
    if verifier.name != f"{manifest.domain}/log":
        raise GateRefusedError("backup.foreign", domain=manifest.domain, key=verifier.name)
    try:
        signed = verifier.open((folder / SIGNATURE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, GateRefusedError) as error:
        raise GateRefusedError("backup.bad-signature", domain=manifest.domain) from error
    if signed != statement(data):
        raise GateRefusedError("backup.bad-signature", domain=manifest.domain)


def digest(path: Path) -> str:
    """Give the SHA-256 of a file in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def damaged_parts(folder: Path, parts: Sequence[Part]) -> list[str]:
    """Give the names of the parts that are not what the manifest says, in its order."""
    bad = []
    for part in parts:
        path = folder / part.name
        if not path.is_file() or path.stat().st_size != part.bytes or digest(path) != part.sha256:
            bad.append(part.name)
    return bad
