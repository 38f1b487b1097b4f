"""The log: every change of the domain and its entry in one transaction (law 5), under a Merkle tree with signed checkpoints.

An entry is a small canonical header, the leaf, and a payload beside it that the header commits to by a salted hash. Later forms
(sub-logs, witnesses, tiles) read the same leaves.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, func, insert, select

from lineage import merkle
from lineage.canonical import Json, decode, encode
from lineage.clock import Clock, stamp
from lineage.database import Database, changes
from lineage.errors import GateRefusedError, MissingPartError
from lineage.kinds import Kind
from lineage.note import Checkpoint, Signer
from lineage.schema import log_checkpoint, log_entry, log_node, log_payload, log_subject


class UnloggedChangeError(AssertionError):
    """A transaction changed data without an entry; it was rolled back (law 5). Always a programming error."""


@dataclass(frozen=True)
class Actor:
    """Who acts: ids of a person and of the organisation they act for. The platform itself acts as ``platform``."""

    person: str
    organisation: str


PLATFORM = Actor("platform", "platform")

_HEADER = frozenset({"v", "seq", "kind", "time", "actor", "organisation", "subjects", "payload"})


@dataclass(frozen=True)
class Entry:
    """An entry as read back. ``payload_kept`` is false when only the header is left; the payload is then empty (L3)."""

    seq: int
    kind: Kind
    time: str
    actor: Actor
    subjects: tuple[str, ...]
    payload: Mapping[str, Any]
    payload_kept: bool = True


class Change:
    """A running write transaction: the connection, the one moment it happens at, and who acts."""

    def __init__(self, connection: Connection, actor: Actor, moment: datetime) -> None:
        self.connection = connection
        self.actor = actor
        self.moment = moment
        self.at = stamp(moment)
        self.first = next_seq(connection)
        self.next = self.first

    def record(self, kind: Kind, subjects: Sequence[str], payload: Mapping[str, Json]) -> int:
        """Append an entry; gives its number. Subjects are the ids the entry is about, found again by ``Log.about``."""
        seq, salt, body = self.next, secrets.token_bytes(16), encode(payload)
        header = encode(
            {
                "v": 1,
                "seq": seq,
                "kind": kind.value,
                "time": self.at,
                "actor": self.actor.person,
                "organisation": self.actor.organisation,
                "subjects": sorted(set(subjects)),
                "payload": commitment(salt, body),
            }
        )
        self.connection.execute(insert(log_entry).values(seq=seq, header=header))
        self.connection.execute(insert(log_payload).values(seq=seq, salt=salt, body=body))
        for subject in sorted(set(subjects)):
            self.connection.execute(insert(log_subject).values(seq=seq, subject=subject))
        node = stored_nodes(self.connection)
        for level, position, value in merkle.completed(seq, merkle.leaf_hash(header), node):
            self.connection.execute(insert(log_node).values(level=level, position=position, hash=value))
        self.next = seq + 1
        return seq


class Log:
    """The log of one domain. ``checkpoint_file`` lies outside the database, so that a cut tail is seen (L5).

    The key signs only what extends that file: whoever may write to the database cannot rewrite it and then wait for an honest
    change to have the rewritten history signed (law 5).
    """

    def __init__(self, database: Database, signer: Signer, clock: Clock, checkpoint_file: Path) -> None:
        self.database = database
        self.signer = signer
        self.clock = clock
        self.checkpoint_file = checkpoint_file

    @contextmanager
    def change(self, actor: Actor) -> Iterator[Change]:
        """Open a write transaction that must record what it changes (law 5); the checkpoint over it is part of it.

        Raises:
            UnloggedChangeError: data changed and nothing was recorded; nothing is kept.
            GateRefusedError: the log does not extend its last signed checkpoint; nothing is kept.
            MissingPartError: the database or the checkpoint file is missing; nothing is kept.
        """
        note = b""
        with self.database.write() as connection:
            change = Change(connection, actor, self.clock())
            yield change
            if change.next > change.first:
                note = self._checkpoint(connection, change.first, change.next)
            elif changes(connection):
                raise UnloggedChangeError("a change without a log entry")
        if note:
            self._publish(note)

    def about(self, connection: Connection, subject: str) -> tuple[Entry, ...]:
        """Give the entries that name a subject, oldest first."""
        found = select(log_subject.c.seq).where(log_subject.c.subject == subject)
        return tuple(entries(connection, found))

    def _checkpoint(self, connection: Connection, old: int, new: int) -> bytes:
        node = stored_nodes(connection)
        root = merkle.root(new, node)
        last = self._last_signed(connection, old)
        if last.size > old:
            raise GateRefusedError("log.refused-cut", size=old, expected=last.size)
        path = merkle.consistency(last.size, new, node)
        if not merkle.verify_consistency(last.size, last.root, new, root, path):
            raise GateRefusedError("log.refused-rewritten", size=last.size)
        note = self.signer.sign(Checkpoint(self.signer.name, new, root).text).encode()
        connection.execute(insert(log_checkpoint).values(size=new, note=note))
        return note

    def _last_signed(self, connection: Connection, size: int) -> Checkpoint:
        """Give the state that this key is already bound to."""
        if size == 0 and not self.checkpoint_file.exists():
            return Checkpoint(self.signer.name, 0, merkle.EMPTY_ROOT)
        return Checkpoint.open(self._last_note(connection, size), self.signer.verifier)

    def _last_note(self, connection: Connection, size: int) -> str:
        if self.checkpoint_file.exists():
            return self.checkpoint_file.read_bytes().decode(errors="replace")
        # A crash between the very first commit and its publication leaves no file: then one checkpoint covers the whole log.
        signed = connection.execute(select(log_checkpoint.c.size, log_checkpoint.c.note)).all()
        if len(signed) != 1 or signed[0].size != size:
            raise MissingPartError("log.no-checkpoint-file", path=str(self.checkpoint_file))
        return bytes(signed[0].note).decode(errors="replace")

    def _publish(self, note: bytes) -> None:
        """Put the newest checkpoint beside the database; a slower writer must not put an older one over a newer one."""
        with (self.checkpoint_file.parent / ".checkpoint.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _size(self.checkpoint_file) >= _size_of(note):
                return
            temporary = self.checkpoint_file.with_suffix(".new")
            with temporary.open("wb") as stream:
                stream.write(note)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self.checkpoint_file)


def commitment(salt: bytes, body: bytes) -> str:
    """Bind a payload; the salt stops guessing small payloads from a proof or after their deletion."""
    return hashlib.sha256(salt + body).hexdigest()


def next_seq(connection: Connection) -> int:
    """Give the number of entries, which is the number of the next one."""
    highest = connection.execute(select(func.max(log_entry.c.seq))).scalar()
    return 0 if highest is None else int(highest) + 1


def stored_nodes(connection: Connection) -> merkle.Node:
    """Give the stored subtree hashes as a function; a missing one is a ``GateRefusedError``."""

    def node(level: int, position: int) -> bytes:
        query = select(log_node.c.hash).where(log_node.c.level == level, log_node.c.position == position)
        found = connection.execute(query).scalar()
        if found is None:
            raise GateRefusedError("log.node-missing", level=level, position=position)
        return bytes(found)

    return node


def entries(connection: Connection, chosen: Any = None) -> Iterator[Entry]:
    """Read entries with their payloads in order; ``chosen`` is a select of numbers, all when it is left out."""
    query = (
        select(log_entry.c.seq, log_entry.c.header, log_payload.c.body)
        .outerjoin(log_payload, log_payload.c.seq == log_entry.c.seq)
        .order_by(log_entry.c.seq)
    )
    if chosen is not None:
        query = query.where(log_entry.c.seq.in_(chosen))
    for seq, header, body in connection.execute(query):
        yield read_entry(int(seq), bytes(header), None if body is None else bytes(body))


def read_entry(seq: int, header: bytes, body: bytes | None) -> Entry:
    """Read the stored bytes of an entry; ``body`` is None when the payload is gone.

    Raises:
        GateRefusedError: the bytes are not what this log writes.
    """
    fields = read_header(seq, header)
    try:
        payload: Mapping[str, Any] = {} if body is None else cast("Mapping[str, Any]", decode(body))
    except (ValueError, TypeError) as error:
        raise GateRefusedError("log.unreadable-entry", seq=seq) from error
    return Entry(
        seq=seq,
        kind=fields["kind"],
        time=fields["time"],
        actor=Actor(fields["actor"], fields["organisation"]),
        subjects=tuple(fields["subjects"]),
        payload=payload,
        payload_kept=body is not None,
    )


def read_header(seq: int, header: bytes) -> Mapping[str, Any]:
    """Read the fields of a header, ``kind`` as a ``Kind``.

    Raises:
        GateRefusedError: the bytes are not what this log writes.
    """
    try:
        fields = dict(cast("Mapping[str, Any]", decode(header)))
        fields["kind"] = Kind(fields["kind"])
    except (ValueError, TypeError, KeyError) as error:
        raise GateRefusedError("log.unreadable-entry", seq=seq) from error
    if not fields.keys() >= _HEADER:
        raise GateRefusedError("log.unreadable-entry", seq=seq)
    return fields


def latest_checkpoint(connection: Connection) -> str | None:
    """Give the newest signed checkpoint in the database, or None in an empty log."""
    query = select(log_checkpoint.c.note).order_by(log_checkpoint.c.size.desc()).limit(1)
    note = connection.execute(query).scalar()
    return None if note is None else bytes(note).decode()


def _size(path: Path) -> int:
    return _size_of(path.read_bytes()) if path.exists() else -1


def _size_of(note: bytes) -> int:
    lines = note.split(b"\n")
    return int(lines[1]) if len(lines) > 1 and lines[1].isdigit() else -1
