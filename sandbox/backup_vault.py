"""The key copies: a folder apart from every backup, in which each key file lies by itself, encrypted to the recovery key.

A backup is never changed, so it may hold no key of a tenant: the end of an agreement could not take it back. The key copies can be
changed: one small file a key, and an index that the domain signs. The log says where they are, so the end of an agreement reaches them
and its record names them (law 10, D11). A copy that somebody made of this folder is out of reach; it opens with the recovery key alone.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, select

from lineage.audit import Question, find
from lineage.canonical import Json, decode, encode
from lineage.errors import DefinitionError, GateRefusedError, MissingPartError, ShuzhaError
from lineage.kinds import Kind
from lineage.log import Change, Entry, entries
from lineage.note import Verifier
from lineage.schema import log_subject
from sandbox.backup_age import Identity, Recipient, decrypting, encrypting
from sandbox.domain import Domain, new_id
from sandbox.keys_files import destroy, sync_folder


SUBJECT = "backups"
"""The subject under which the log keeps what concerns backups."""
ROOTS, ENDS = "keys/roots", "ends"
"""Where the keys of a key service that keeps files lie in a home folder."""
_INDEX, _COPIES = "index.note", "copies"
_HEAD = "shuzha key copies\n"
_FORMAT = 1


@dataclass(frozen=True)
class KeyCopy:
    """One copied key file: where its encrypted copy lies, and the SHA-256 of what is in it."""

    file: str
    sha256: str

    def __post_init__(self) -> None:
        if not self.file.startswith("K-") or "/" in self.file:
            raise ValueError("not a key copy")


@dataclass(frozen=True)
class Index:
    """What a folder of key copies holds.

    Attributes:
        id: of the folder, so that it is known again wherever it is mounted.
        domain: whose it is.
        log_key: public key of the domain's log.
        recipient: recovery key it is encrypted to.
        files: by their place in the home folder.
        destroyed: names of the keys that were destroyed here, ``grant:…`` and ``tenant:…``.
    """

    id: str
    domain: str
    log_key: str
    recipient: str
    files: Mapping[str, KeyCopy]
    destroyed: tuple[str, ...]

    def __post_init__(self) -> None:
        if any(name.startswith("/") or ".." in name.split("/") for name in self.files):
            raise ValueError("a key's place lies in the home folder")

    @property
    def text(self) -> str:
        """The text that the domain signs."""
        return f"{_HEAD}{encode({'format': _FORMAT, **cast('Mapping[str, Json]', asdict(self))}).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Index:
        """Read the text.

        Raises:
            MissingPartError: it is of another format.
            GateRefusedError: it is no such text.
        """
        try:
            found = dict(cast("Mapping[str, Any]", decode(text.removeprefix(_HEAD).removesuffix("\n").encode())))
            version = found.pop("format")
            if version != _FORMAT:
                raise MissingPartError("backup.other-format", found=str(version), known=_FORMAT)
            files = {name: KeyCopy(**one) for name, one in found.pop("files").items()}
            return cls(**{**found, "files": files, "destroyed": tuple(found["destroyed"])})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise GateRefusedError("backup.keys-damaged", file=_INDEX) from error


@dataclass(frozen=True)
class Vault:
    """A folder of key copies."""

    folder: Path

    @property
    def copies(self) -> Path:
        """Where the encrypted copies lie."""
        return self.folder / _COPIES

    def note(self) -> str:
        """Give the signed index as it lies there.

        Raises:
            MissingPartError: there are no key copies.
        """
        try:
            return (self.folder / _INDEX).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise MissingPartError("backup.keys-missing", folder=str(self.folder)) from error

    def index(self, verifier: Verifier) -> Index:
        """Give the index, signed by the domain.

        Raises:
            MissingPartError: there are no key copies.
            GateRefusedError: they are another domain's, or damaged.
        """
        note = self.note()
        claimed = self.unverified(note)
        if f"{claimed.domain}/log" != verifier.name:
            raise GateRefusedError("backup.foreign", domain=claimed.domain, key=verifier.name)
        try:
            return Index.parse(verifier.open(note))
        except GateRefusedError as error:
            raise GateRefusedError("backup.keys-damaged", file=_INDEX) from error

    def unverified(self, note: str) -> Index:
        """Read an index before the key that signed it is known: only to find that key in it."""
        return Index.parse(note.rpartition("\n\n")[0] + "\n")

    def write(self, domain: Domain, index: Index) -> None:
        """Put a new index in the place of the old in one step, then destroy every copy that it does not name."""
        fresh = self.folder / f"{_INDEX}.new"
        with fresh.open("w", encoding="utf-8") as stream:
            stream.write(domain.log.signer.sign(index.text))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(self.folder / _INDEX)
        named = {one.file for one in index.files.values()}
        for path in self.copies.iterdir():
            if path.name not in named:
                destroy(path)
        for folder in (self.copies, self.folder):
            sync_folder(folder)

    def open_file(self, copy: KeyCopy, identity: Identity) -> bytes:
        """Give the bytes of a key file.

        Raises:
            GateRefusedError: the copy is damaged, gone, or encrypted to another recovery key.
        """
        path = self.copies / copy.file
        if not path.is_file():
            raise GateRefusedError("backup.keys-damaged", file=copy.file)
        with decrypting(path, identity) as stream:
            data = stream.read()
        if hashlib.sha256(data).hexdigest() != copy.sha256:
            raise GateRefusedError("backup.keys-damaged", file=copy.file)
        return data


def open_vault(folder: Path, domain: Domain, recipient: Recipient) -> tuple[Vault, Index]:
    """Open a domain's key copies, or begin them in an empty folder.

    Raises:
        DefinitionError: the folder holds something else.
        GateRefusedError: it holds another domain's key copies, or damaged ones.
    """
    vault = Vault(folder)
    if (folder / _INDEX).exists():
        return vault, vault.index(domain.log.signer.verifier)
    if folder.exists() and any(path.name not in {_COPIES, f"{_INDEX}.new"} for path in folder.iterdir()):
        raise DefinitionError("backup.keys-not-empty", folder=str(folder))
    vault.copies.mkdir(mode=0o700, parents=True, exist_ok=True)
    return vault, Index(new_id("V"), domain.name, domain.log.signer.verifier.encoded, recipient.text, {}, ())


def update_copies(
    vault: Vault, index: Index, domain: Domain, change: Change, files: Mapping[str, bytes], recipient: Recipient
) -> Index:
    """Make the key copies equal to the keys of now, inside the transaction that keeps keys from being destroyed meanwhile.

    What is new or changed is added, then the index is moved, then what it does not name any more is destroyed: a crash at any point
    leaves one index whose copies are all there.
    """
    same = index.files if index.recipient == recipient.text else {}
    kept: dict[str, KeyCopy] = {}
    for name, data in files.items():
        sha256 = hashlib.sha256(data).hexdigest()
        there = same.get(name)
        if there is None or there.sha256 != sha256:
            there = KeyCopy(f"K-{secrets.token_hex(16)}", sha256)
            with encrypting(vault.copies / there.file, recipient) as stream:
                stream.write(data)
        kept[name] = there
    ended = tuple(sorted({*index.destroyed, *destroyed_names(change.connection)}))
    updated = replace(index, recipient=recipient.text, files=kept, destroyed=ended)
    vault.write(domain, updated)
    return updated


def destroy_copies(domain: Domain, change: Change, names: Sequence[str]) -> list[Json]:
    """Destroy the copies of keys wherever the log says that there are key copies; call it after the keys themselves are gone.

    Args:
        domain: whose keys they are.
        change: the transaction that records the destruction.
        names: ``grant:<id>`` and ``tenant:<id>``.

    Returns:
        One object a folder of key copies, for the record: its id and place, which backups it belongs to, which names were destroyed,
        and whether it could be reached. What could not is destroyed when key copies are next made there, and is still owed until then.
    """
    return [_destroy_in(domain, one, names) for one in known_vaults(change.connection)]


def known_vaults(connection: Connection) -> list[dict[str, Any]]:
    """Give every place where the log knows of key copies: ``vault``, ``place``, and the ``backups`` made with them.

    A place is never forgotten: whether key copies were moved away or are only not mounted cannot be told from here (law 7).
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in about_backups(connection, Kind.KEY_COPIES_PLACED):
        vault, place = str(entry.payload["vault"]), str(entry.payload["place"])
        found[vault, place] = {"vault": vault, "place": place, "backups": []}
    for entry in about_backups(connection, Kind.BACKUP_MADE):
        for one in found.values():
            if one["vault"] == entry.payload["vault"]:
                one["backups"].append(entry.payload["backup"])
    return list(found.values())


def destroyed_names(connection: Connection) -> set[str]:
    """Give the names of all keys that the log says were destroyed."""
    names: set[str] = set()
    start: int | None = 0
    while start is not None:
        page = find(connection, Question(kinds=frozenset({Kind.KEY_DESTROYED})), start=start, limit=1000)
        names |= {str(name) for entry in page.entries for name in entry.payload.get("keys", ())}
        start = page.next
    return names


def belongs_to(place: str, names: Iterable[str]) -> bool:
    """Tell whether a key file is one of the named tenants' or grants': its folder, its file or its end key is called after them."""
    ids = {name.partition(":")[2] for name in names}
    path = Path(place)
    return bool({path.stem.removeprefix("end-"), *path.parts} & ids)


def owed(index: Index, names: Iterable[str]) -> list[str]:
    """Give the destroyed keys whose copies are still there, by their places."""
    ended = set(names)
    return sorted(place for place in index.files if belongs_to(place, ended))


def _destroy_in(domain: Domain, known: Mapping[str, Any], names: Sequence[str]) -> Json:
    told: dict[str, Json] = {**known, "destroyed": [], "reached": False}
    vault = Vault(Path(known["place"]))
    try:
        index = vault.index(domain.log.signer.verifier)
        if index.id != known["vault"]:
            return told
        gone = owed(index, names)
        ended = tuple(sorted({*index.destroyed, *names}))
        kept = {place: one for place, one in index.files.items() if place not in gone}
        vault.write(domain, replace(index, files=kept, destroyed=ended))
        copies = [vault.copies / index.files[place].file for place in gone]
    except (ShuzhaError, OSError):
        # A folder that is not mounted must not keep the keys themselves alive: the record says so instead.
        return told
    return {**told, "destroyed": list(names), "reached": not any(path.exists() for path in copies)}


def about_backups(connection: Connection, kind: Kind) -> list[Entry]:
    """Give the entries of one kind that concern backups, oldest first."""
    chosen = select(log_subject.c.seq).where(log_subject.c.subject == SUBJECT)
    return [entry for entry in entries(connection, chosen) if entry.kind is kind]
