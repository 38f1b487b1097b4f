"""A backup looked at without being restored: file by file, and the log in it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from lineage.database import Database
from lineage.errors import GateRefusedError
from lineage.note import Verifier
from lineage.verify import Verification, verify
from sandbox.backup_age import Identity, decrypting
from sandbox.backup_files import unpack
from sandbox.backup_manifest import (
    INDEX_PART,
    MANIFEST,
    SIGNATURE,
    Index,
    Manifest,
    damaged_parts,
    read_manifest,
    verify_signature,
)
from sandbox.backup_snapshot import NAMES, SQLITE
from sandbox.backup_vault import Vault, owed


@dataclass(frozen=True)
class Checked:
    """What a check of a backup found.

    Attributes:
        manifest: what it says of itself, its signature verified.
        damaged: parts, or inside whole parts files, that are not what they were; empty when everything is.
        unknown: files in the folder that the manifest does not know.
        opened: whether the recovery key was there and the inside was looked at too.
        log: what the log inside gave; None when it was not looked at: without the recovery key, or in a dump of PostgreSQL.
        owed: places of key copies that were to be destroyed and are still there.
    """

    manifest: Manifest
    damaged: tuple[str, ...]
    unknown: tuple[str, ...]
    opened: bool
    log: Verification | None
    owed: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong with what was looked at."""
        return not self.damaged and not self.owed and (self.log is None or self.log.holds)


def check(
    folder: Path, verifier: Verifier, *, identity: Identity | None = None, keys: tuple[Path, set[str]] | None = None
) -> Checked:
    """Check a backup without restoring it.

    Args:
        folder: the backup.
        verifier: public key of the domain's log, from elsewhere than the backup.
        identity: the recovery key; without it only the outside can be looked at.
        keys: folder of the key copies, and the names of the keys that are destroyed.

    Raises:
        MissingPartError: there is no backup, or it is of another format.
        GateRefusedError: the manifest is not signed by the domain; the recovery key is another one.
    """
    manifest, data = read_manifest(folder)
    verify_signature(folder, manifest, data, verifier)
    damaged = damaged_parts(folder, manifest.parts)
    names = {part.name for part in manifest.parts} | {MANIFEST, SIGNATURE}
    unknown = sorted(path.name for path in folder.iterdir() if path.name not in names)
    log = None
    if identity is not None and INDEX_PART not in damaged:
        bad, log = _look_inside(folder, manifest, verifier, identity, damaged)
        damaged += bad
    still = owed(Vault(keys[0]).index(verifier), keys[1]) if keys else []
    return Checked(manifest, tuple(damaged), tuple(unknown), identity is not None, log, tuple(still))


def read_index(folder: Path, identity: Identity) -> Index:
    """Read the index of a backup whose parts were verified.

    Raises:
        GateRefusedError: it does not open, or is damaged.
    """
    with decrypting(folder / INDEX_PART, identity) as stream:
        data = stream.read()
    return Index.decode(data)


def _look_inside(
    folder: Path, manifest: Manifest, verifier: Verifier, identity: Identity, damaged: list[str]
) -> tuple[list[str], Verification | None]:
    index, bad, log = read_index(folder, identity), [], None
    parts = sorted({one.part for one in index.files} - set(damaged))
    with tempfile.TemporaryDirectory(prefix="shuzha-check-") as scratch:
        for part in parts:
            files = [one for one in index.files if one.part == part]
            database = any(one.path == NAMES[SQLITE] for one in files)
            try:
                with decrypting(folder / part, identity) as stream:
                    bad += unpack(stream, files, Path(scratch) if database else None)
            except GateRefusedError:
                bad.append(part)
        copied = Path(scratch) / NAMES[SQLITE]
        if copied.is_file() and NAMES[SQLITE] not in bad:
            with Database(f"sqlite:///{copied}").read() as connection:
                log = verify(connection, verifier, [manifest.position.checkpoint])
    return bad, log
