"""A backup becomes a domain again, in an empty folder and all at once (D10).

Whoever restores holds the recovery key and the key copies: that is the authority's consent, for there is no domain yet that could ask
for a login. What the restored domain cannot know is treated as lost: every token is revoked, and whatever has no key any more is ended
(law 10). The log goes on from where the backup stood, its first new entry says so, and a later checkpoint of the lost part will not fit.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from lineage.canonical import Json
from lineage.clock import Clock, system_clock
from lineage.errors import DataFileError, DefinitionError, GateRefusedError, MissingPartError
from lineage.kinds import Kind
from lineage.log import PLATFORM, Change
from lineage.note import Checkpoint, Verifier
from lineage.verify import verify
from sandbox import migrating
from sandbox.access import issue_token, join_halves, new_half, revoke_tokens
from sandbox.backup_age import Identity, decrypting
from sandbox.backup_checking import read_index
from sandbox.backup_ending import end_without_keys
from sandbox.backup_files import unpack
from sandbox.backup_manifest import Manifest, damaged_parts, read_manifest, verify_signature
from sandbox.backup_snapshot import NAMES, POSTGRES, check_empty, empty_again, load_dump
from sandbox.backup_staging import staged
from sandbox.backup_vault import ENDS, SUBJECT, Vault, known_vaults
from sandbox.backup_vault import Index as KeyIndex
from sandbox.domain import Domain, open_domain
from sandbox.keys_files import write_new
from sandbox.parties import Person, list_persons
from sandbox.roles import Role
from sandbox.schema import grant, token
from sandbox.states import GrantState, PersonState


FIRST = (Role.AUTHORITY_OFFICER, Role.REGISTRAR)
"""The two who get a new token, as at the founding: they issue everybody else's (law 6)."""
_SETTINGS = "domain.toml"


@dataclass(frozen=True)
class Sources:
    """What a domain is restored from.

    Attributes:
        backup: folder of the backup.
        keys: folder of the key copies.
        identity: the recovery key.
        verifier: public key of the domain's log where somebody kept it; without it the key copies are taken at their word.
        newest: the newest checkpoint that anybody kept, as a note; it says how much is lost.
    """

    backup: Path
    keys: Path
    identity: Identity
    verifier: Verifier | None = None
    newest: str | None = None


@dataclass(frozen=True)
class Restored:
    """What came of it.

    Attributes:
        manifest: of the backup.
        home: the restored domain.
        lost: entries of the log that are known to be lost, or None when no newer checkpoint was given.
        ended: tenants and grants that were ended because their keys are destroyed.
        without_key: grants that run and whose key is not in the key copies; their tables must be provisioned again.
        tokens: login → new token.
    """

    manifest: Manifest
    home: Path
    lost: int | None
    ended: tuple[str, ...]
    without_key: tuple[str, ...]
    tokens: dict[str, str]


def restore(
    sources: Sources, home: Path, *, database: str | None = None, first: Sequence[str] = (), clock: Clock = system_clock
) -> Restored:
    """Restore a domain.

    Args:
        sources: what from.
        home: the new home folder; not there, or empty.
        database: URL of an empty database, for a domain on PostgreSQL.
        first: logins of the officer and the registrar who get a token, where there are several.
        clock: of the restored domain.

    Raises:
        DefinitionError: the home folder or the database is not empty, or it is open who gets the first tokens.
        MissingPartError: backup, key copies or a program are missing, or of another format.
        GateRefusedError: something is damaged, another domain's, or does not open with this recovery key.
        DataFileError: the disk is full.
    """
    home = home.resolve()
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise DefinitionError("backup.home-not-empty", home=str(home))
    manifest, data = read_manifest(sources.backup)
    keys, verifier = _signed_keys(sources, manifest)
    verify_signature(sources.backup, manifest, data, verifier)
    lost = _lost(manifest, verifier, sources.newest)
    _check_database(manifest, database)
    with _staging(home) as staging:
        _unpack_all(sources, manifest, staging)
        _unpack_keys(sources, keys, staging)
        with _database(manifest, staging, home, database) as (present, final):
            _write_settings(staging, present, keys)
            (staging / "checkpoint").write_text(manifest.position.checkpoint, encoding="utf-8")
            domain = open_domain(staging, clock=clock)
            _check_log(domain, manifest, verifier)
            begun = _begin(domain, sources, manifest, keys, lost, first)
            _write_settings(staging, final, keys)
            staging.rename(home)
    return Restored(manifest, home, lost, begun.ended, begun.without_key, begun.tokens)


def _check_database(manifest: Manifest, database: str | None) -> None:
    if manifest.revision > migrating.HEAD:
        raise MissingPartError("database.other-version", found=manifest.revision, known=migrating.HEAD)
    if (manifest.database == POSTGRES) != (database is not None):
        raise DefinitionError("backup.other-database", wanted=manifest.database)
    if database is not None:
        check_empty(database)


@contextmanager
def _staging(home: Path) -> Iterator[Path]:
    """Make the domain beside its place: it stands there whole, or nothing does."""
    if not home.parent.is_dir():
        raise MissingPartError("backup.no-place", folder=str(home.parent))
    try:
        with staged(home, "restoring") as staging:
            yield staging
    except OSError as error:
        code = "backup.disk-full" if error.errno == errno.ENOSPC else "backup.cannot-write"
        raise DataFileError(code, place=str(home.parent)) from error


def _signed_keys(sources: Sources, manifest: Manifest) -> tuple[KeyIndex, Verifier]:
    """Read the index of the key copies and the public key that is to have signed it and the backup.

    Where somebody kept the domain's public key it must be that one; else backup and key copies must at least agree on it.
    """
    vault = Vault(sources.keys)
    claimed = vault.unverified(vault.note())
    verifier = Verifier.decode(claimed.log_key)
    if claimed.domain != manifest.domain or sources.verifier not in {None, verifier}:
        raise GateRefusedError("backup.foreign", domain=manifest.domain, key=verifier.name)
    if manifest.vault not in {None, claimed.id}:
        raise GateRefusedError("backup.other-keys", backup=manifest.id, found=claimed.id)
    return vault.index(verifier), verifier


def _lost(manifest: Manifest, verifier: Verifier, newest: str | None) -> int | None:
    """Count the entries after the backup that a kept checkpoint proves."""
    return None if newest is None else max(0, Checkpoint.open(newest, verifier).size - manifest.position.size)


def _unpack_keys(sources: Sources, keys: KeyIndex, staging: Path) -> None:
    if not keys.files:
        raise MissingPartError("backup.keys-missing", folder=str(sources.keys))
    for place, copy in keys.files.items():
        path = staging / place
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_new(path, Vault(sources.keys).open_file(copy, sources.identity))


def _unpack_all(sources: Sources, manifest: Manifest, staging: Path) -> None:
    damaged = damaged_parts(sources.backup, manifest.parts)
    if damaged:
        raise GateRefusedError("backup.damaged", part=", ".join(damaged[:5]))
    index = read_index(sources.backup, sources.identity)
    for part in sorted({one.part for one in index.files}):
        files = [one for one in index.files if one.part == part]
        with decrypting(sources.backup / part, sources.identity) as stream:
            bad = unpack(stream, files, staging)
        if bad:
            raise GateRefusedError("backup.damaged", part=", ".join(bad[:5]))
    for name in ("run", "tokens"):
        (staging / name).mkdir(mode=0o700)


@contextmanager
def _database(manifest: Manifest, staging: Path, home: Path, url: str | None) -> Iterator[tuple[str, str]]:
    """Bring the database back; gives its URL for now, and the one from the moment on at which the folder has its name."""
    file = staging / NAMES[manifest.database]
    if url is None:
        present, final = (f"sqlite:///{folder / file.name}" for folder in (staging, home))
        migrating.upgrade(present)
        yield present, final
        return
    load_dump(file, url, staging)
    try:
        file.unlink()
        migrating.upgrade(url)
        yield url, url
    except BaseException:
        empty_again(url)
        raise


def _write_settings(staging: Path, database: str, keys: KeyIndex) -> None:
    """Name the database where it lies now; end keys that came back lie in the home folder, whatever place they had."""
    path = staging / _SETTINGS
    whole = path.read_text(encoding="utf-8")
    top, heading, tables = whole.partition("\n[")
    moved = {"database", *(["ends"] if any(place.startswith(f"{ENDS}/") for place in keys.files) else [])}
    kept = [line for line in top.splitlines() if line.partition("=")[0].strip() not in moved]
    lines = [f"database = {json.dumps(database)}", *kept]
    path.write_text("\n".join(lines).rstrip("\n") + "\n" + heading + tables, encoding="utf-8")


def _check_log(domain: Domain, manifest: Manifest, verifier: Verifier) -> None:
    if domain.log.signer.verifier != verifier:
        raise GateRefusedError("backup.foreign", domain=manifest.domain, key=verifier.name)
    with domain.read() as connection:
        found = verify(connection, verifier, [manifest.position.checkpoint])
    if not found.holds or (found.size, found.root) != (manifest.position.size, manifest.position.root):
        first = found.problems[0].code if found.problems else "log.tail-missing"
        raise GateRefusedError("backup.log-broken", first=first, problems=len(found.problems))


@dataclass(frozen=True)
class _Begun:
    ended: tuple[str, ...]
    without_key: tuple[str, ...]
    tokens: dict[str, str]


def _begin(
    domain: Domain, sources: Sources, manifest: Manifest, keys: KeyIndex, lost: int | None, first: Sequence[str]
) -> _Begun:
    """Write the first entries after a restore, in one transaction (law 5)."""
    with domain.change(PLATFORM) as change:
        payload: dict[str, Json] = {
            "backup": manifest.id,
            "made": manifest.made,
            "size": manifest.position.size,
            "root": manifest.position.root,
            "lost": lost,
        }
        change.record(Kind.DOMAIN_RESTORED, [SUBJECT, manifest.id], payload)
        # Ends to come must reach these key copies, wherever they lay when the backup was made.
        place = str(sources.keys.resolve())
        if place not in {one["place"] for one in known_vaults(change.connection) if one["vault"] == keys.id}:
            change.record(Kind.KEY_COPIES_PLACED, [SUBJECT, keys.id], {"vault": keys.id, "place": place})
        ended = end_without_keys(domain, change, keys.destroyed, manifest.id)
        # A token that was revoked since would open the domain again.
        holders = select(token.c.person).where(token.c.revoked.is_(None)).distinct().order_by(token.c.person)
        for holder in change.connection.execute(holders).scalars().all():
            revoke_tokens(change, holder)
        tokens = {one.login: _new_token(change, one) for one in _first(list_persons(change.connection), first)}
        running = select(grant.c.id).where(grant.c.state == GrantState.ACTIVE.value).order_by(grant.c.id)
        without = [
            one
            for one in change.connection.execute(running).scalars()
            if not domain.keys.has_grant(one)
            and any(entry.kind is Kind.KEY_CREATED for entry in domain.log.about(change.connection, one))
        ]
    return _Begun(ended, tuple(without), tokens)


def _first(people: Sequence[Person], named: Sequence[str]) -> list[Person]:
    """Choose who logs in first: one person of each role, by name where there are several."""
    found = []
    for role in FIRST:
        able = [one for one in people if role in one.roles and one.state is PersonState.ACTIVE]
        wanted = [one for one in able if one.login in named] or able
        if len(wanted) != 1:
            logins = ", ".join(one.login for one in able)
            raise DefinitionError("backup.who-first", role=f"label.role.{role}", logins=logins)
        found += wanted
    return found


def _new_token(change: Change, holder: Person) -> str:
    half, kept = new_half()
    return join_halves(half, issue_token(change, holder.id, kept, PLATFORM.person))
