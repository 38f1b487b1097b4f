"""Backups of a domain, made while it works (D10): one folder that opens with the authority's recovery key alone.

Two people are in it: the authority keeps the recovery key and names its public half, the maintainer makes the copies and can read
none of them. Keys go apart, into the key copies (``sandbox.backup_vault``), so that the end of an agreement reaches them (law 10).
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from lineage.clock import stamp
from lineage.errors import DataFileError, DefinitionError, MissingPartError
from lineage.kinds import Kind
from lineage.log import Change
from sandbox.access import Session, check_still_active
from sandbox.backup_age import Recipient, encrypting, program_version
from sandbox.backup_files import Packed, Section, pack, sections
from sandbox.backup_manifest import INDEX_PART, Index, Manifest, Part, digest, write_manifest
from sandbox.backup_snapshot import position, revision_of, snapshot
from sandbox.backup_staging import staged
from sandbox.backup_vault import ENDS, ROOTS, SUBJECT, Vault, about_backups, known_vaults, open_vault, update_copies
from sandbox.domain import Domain, new_id
from sandbox.keys_files import sync_folder
from sandbox.keys_service import FileKeys
from sandbox.roles import OrganisationKind, Permission
from sandbox.schema import grant, organisation, provisioned
from sandbox.states import GrantState, OrganisationState


PORTABLE = frozenset({"gocryptfs", "none"})
"""Storage providers whose sealed folders are files that stay sealed when they are copied."""


@dataclass(frozen=True)
class Made:
    """A backup as it was made: ``left_out`` counts what was passed over, by the index inside for which reason."""

    manifest: Manifest
    folder: Path
    files: int
    left_out: int


@dataclass(frozen=True)
class _Plan:
    """What is being made, of what, by whom, for which recovery key."""

    domain: Domain
    session: Session
    id: str
    recipient: Recipient
    vault: str | None
    sealed: bool


def set_recovery_key(domain: Domain, session: Session, text: str) -> Recipient:
    """Name the recovery key to which backups are encrypted from now on; its private half never comes near the domain.

    Raises:
        NotPermittedError: the person may not.
        DefinitionError: the text is no public recovery key.
    """
    session.check(Permission.BACKUP_SET_KEY)
    recipient = Recipient(text)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        change.record(Kind.RECOVERY_KEY_SET, [SUBJECT], {"recovery_key": recipient.text})
    return recipient


def recovery_key(connection: Connection) -> Recipient:
    """Give the recovery key that the authority named last.

    Raises:
        MissingPartError: it has named none (law 7).
    """
    named = about_backups(connection, Kind.RECOVERY_KEY_SET)
    if not named:
        raise MissingPartError("backup.no-recipient")
    return Recipient(str(named[-1].payload["recovery_key"]))


def create(domain: Domain, session: Session, target: Path, *, keys: Path | None = None, sealed: bool = True) -> Made:
    """Back a domain up into a new folder; runs and imports go on meanwhile.

    Args:
        domain: the domain.
        session: a maintainer.
        target: the folder to make.
        keys: folder of the key copies, brought up to date with it; without it no key is copied.
        sealed: whether the sealed folders go along; a storage provider that is not files of its own cannot give them.

    Raises:
        NotPermittedError: the person may not.
        DefinitionError: a folder is in the way, or lies in the home folder or in the other.
        MissingPartError: no recovery key is set, a program is missing, a key does not open, a version's files are not there.
        DataFileError: the place is full.
        GateRefusedError: the log does not hold.
    """
    session.check(Permission.BACKUP_MAKE)
    target = target.resolve()
    _check_places(domain.home.resolve(), target, keys.resolve() if keys else None)
    with domain.read() as connection:
        recipient = recovery_key(connection)
    if sealed and domain.storage.name not in PORTABLE:
        raise MissingPartError("backup.storage-not-portable", storage=domain.storage.name)
    vault, vault_id = _place_keys(domain, session, keys.resolve(), recipient) if keys else (None, None)
    plan = _Plan(domain, session, new_id("B"), recipient, vault_id, sealed)
    with _folders(plan, target) as (staging, scratch):
        manifest, packed = _write(plan, staging, scratch)
        sha256 = write_manifest(staging, manifest, domain.log.signer)
        with domain.change(session.actor) as change:
            check_still_active(change, session)
            if vault:
                _copy_keys(plan, change, vault, scratch)
            _record(plan, change, manifest, target, sha256)
            _publish(staging, target)
    return Made(manifest, target, len(packed.files), len(packed.left_out))


def _check_places(home: Path, target: Path, keys: Path | None) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DefinitionError("backup.target-not-empty", folder=str(target))
    for one, other in ((target, home), (keys, home), (keys, target), (target, keys)):
        # Together they would be lost together, or carried away together.
        if one is not None and other is not None and one.is_relative_to(other):
            raise DefinitionError("backup.places-not-apart", one=str(one), other=str(other))
    for place in (target, keys):
        if place is not None and not place.parent.is_dir():
            raise MissingPartError("backup.no-place", folder=str(place.parent))


def _place_keys(domain: Domain, session: Session, folder: Path, recipient: Recipient) -> tuple[Vault, str]:
    """Open or begin the key copies, and have the log know of them before the first key is there: no copy may be out of its sight."""
    vault, index = open_vault(folder, domain, recipient)
    with domain.read() as connection:
        known = {(one["vault"], one["place"]) for one in known_vaults(connection)}
    if not index.files:
        vault.write(domain, index)
    if (index.id, str(folder)) not in known:
        with domain.change(session.actor) as change:
            check_still_active(change, session)
            change.record(Kind.KEY_COPIES_PLACED, [SUBJECT, index.id], {"vault": index.id, "place": str(folder)})
    return vault, index.id


@contextmanager
def _folders(plan: _Plan, target: Path) -> Iterator[tuple[Path, Path]]:
    """Make the two folders that a backup is made in; whatever ends it early, neither they nor the target are left."""
    existed = target.exists()
    try:
        with staged(target, "partial") as staging, staged(plan.domain.home / "run" / "backup", "scratch") as scratch:
            try:
                yield staging, scratch
            except BaseException:
                if not staging.exists():
                    # It was moved already when the log refused it.
                    shutil.rmtree(target, ignore_errors=True)
                    if existed:
                        target.mkdir(mode=0o700)
                raise
    except OSError as error:
        code = "backup.disk-full" if error.errno == errno.ENOSPC else "backup.cannot-write"
        raise DataFileError(code, place=str(target.parent)) from error


def _write(plan: _Plan, staging: Path, scratch: Path) -> tuple[Manifest, Packed]:
    """Write every part and say what they are."""
    domain, whole = plan.domain, Packed()
    names: list[str] = []

    def add(section: Section) -> None:
        names.append(f"part-{len(names) + 1:04}.age")
        found = pack(section, staging / names[-1], plan.recipient)
        whole.files += found.files
        whole.left_out |= found.left_out

    # The database first, the files after it: whatever it names is on the disk already, and nothing is ever taken from there.
    with snapshot(domain.database, scratch) as taken:
        stands = position(taken.connection, domain.log.signer.verifier)
        _check_keys(domain, taken.connection)
        revision, zones = revision_of(taken.connection), _sealed_zones(taken.connection)
        for section in sections(domain.home, taken.connection, sealed=plan.sealed):
            add(section)
    _check_whole(domain, whole, zones if plan.sealed else {})
    add(Section({taken.file.name: taken.file}))
    with encrypting(staging / INDEX_PART, plan.recipient) as stream:
        stream.write(Index(tuple(whole.files), whole.left_out).encoded)
    listed = [(name, staging / name) for name in (*names, INDEX_PART)]
    manifest = Manifest(
        id=plan.id,
        domain=domain.name,
        made=stamp(domain.now()),
        by={"person": plan.session.person, "organisation": plan.session.organisation},
        recipient=plan.recipient.text,
        database=taken.kind,
        revision=revision,
        storage=domain.storage.name,
        sealed=plan.sealed,
        vault=plan.vault,
        position=stands,
        software={"python": platform.python_version(), "age": program_version()},
        parts=tuple(Part(name, path.stat().st_size, digest(path)) for name, path in listed),
    )
    return manifest, whole


def _check_keys(domain: Domain, connection: Connection) -> None:
    """Check that the key tree opens wherever it must: a copy of a broken one would take the place of a good one (law 7)."""
    query = select(organisation.c.id).where(
        organisation.c.kind == OrganisationKind.TENANT.value, organisation.c.state != OrganisationState.ENDED.value
    )
    living = set(connection.execute(query).scalars())
    for tenant in sorted(living):
        domain.keys.tenant_key(tenant)
    given = select(grant.c.id, grant.c.tenant).where(grant.c.state == GrantState.ACTIVE.value)
    for identity, tenant in connection.execute(given):
        if tenant in living and any(one.kind is Kind.KEY_CREATED for one in domain.log.about(connection, identity)):
            domain.keys.zone_key(tenant, identity, "view")


def _sealed_zones(connection: Connection) -> dict[str, str]:
    """Give the sealed folders that a database names, and the grant of each."""
    query = select(provisioned.c.grant, provisioned.c.zone).distinct()
    return {f"sealed/{row.grant}/{row.zone}": row.grant for row in connection.execute(query)}


def _check_whole(domain: Domain, whole: Packed, zones: Mapping[str, str]) -> None:
    """Check that every file of a named version was there, and every sealed folder of a grant that still runs (law 7).

    Only a quarantine may lose what an import just undone had added.
    """
    gone = [name for name in whole.left_out if name.startswith("raw/") and "/table/" in name]
    copied = {one.path for one in whole.files}
    with domain.read() as connection:
        running = set(connection.execute(select(grant.c.id).where(grant.c.state == GrantState.ACTIVE.value)).scalars())
    gone += [name for name, owner in zones.items() if owner in running and name not in copied]
    if gone:
        raise MissingPartError("backup.file-missing", file=gone[0])


def _copy_keys(plan: _Plan, change: Change, vault: Vault, scratch: Path) -> None:
    """Bring the key copies up to date, while nobody else can make, rotate or destroy a key of this domain."""
    domain = plan.domain
    domain.keys.tree.copy_to(scratch / "keys")
    files = {path.relative_to(scratch).as_posix(): path for path in (scratch / "keys").rglob("*") if path.is_file()}
    service = domain.keys.service
    if isinstance(service, FileKeys):
        # A token or a KMS keeps its keys itself. Files are copied one by one, because the end must reach each of them.
        files |= {f"{ROOTS}/{path.name}": path for path in service.roots.glob("*.key")}
        files |= {f"{ENDS}/{path.name}": path for path in service.ends.glob("*.key")}
    index = vault.index(domain.log.signer.verifier)
    update_copies(
        vault, index, domain, change, {name: path.read_bytes() for name, path in files.items()}, plan.recipient
    )


def _record(plan: _Plan, change: Change, manifest: Manifest, target: Path, sha256: str) -> None:
    change.record(
        Kind.BACKUP_MADE,
        [SUBJECT, manifest.id],
        {
            "backup": manifest.id,
            "place": str(target),
            "manifest": sha256,
            "size": manifest.position.size,
            "root": manifest.position.root,
            "sealed": plan.sealed,
            "vault": plan.vault,
        },
    )


def _publish(staging: Path, target: Path) -> None:
    """Have everything on the disk, then give it its name in one step."""
    for path in staging.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    sync_folder(staging)
    staging.rename(target)
    sync_folder(target.parent)
