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


@dataclass(frozen=True)
class Entry:
    """An entry as read back."""

    seq: int
    kind: Kind
    time: str
    actor: Actor
    subjects: tuple[str, ...]
    payload: Mapping[str, Any]


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
    """The log of one domain. ``checkpoint_file`` lies outside the database, so that a cut tail is seen (L5)."""

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
        """
        note = b""
        with self.database.write() as connection:
            change = Change(connection, actor, self.clock())
            yield change
            if change.next > change.first:
                note = self._checkpoint(connection, change.next)
            elif changes(connection):
                raise UnloggedChangeError("a change without a log entry")
        if note:
            self._publish(note)

    def about(self, connection: Connection, subject: str) -> tuple[Entry, ...]:
        """Give the entries that name a subject, oldest first."""
        found = select(log_subject.c.seq).where(log_subject.c.subject == subject)
        return tuple(entries(connection, found))

    def _checkpoint(self, connection: Connection, size: int) -> bytes:
        root = merkle.root(size, stored_nodes(connection))
        note = self.signer.sign(Checkpoint(self.signer.name, size, root).text).encode()
        connection.execute(insert(log_checkpoint).values(size=size, note=note))
        return note

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
    """Give the stored subtree hashes as a function; a missing one is an error."""

    def node(level: int, position: int) -> bytes:
        query = select(log_node.c.hash).where(log_node.c.level == level, log_node.c.position == position)
        return bytes(connection.execute(query).scalar_one())

    return node


def entries(connection: Connection, chosen: Any = None) -> Iterator[Entry]:
    """Read entries with their payloads in order; ``chosen`` is a select of numbers, all when it is left out."""
    query = (
        select(log_entry.c.seq, log_entry.c.header, log_payload.c.body)
        .join(log_payload, log_payload.c.seq == log_entry.c.seq)
        .order_by(log_entry.c.seq)
    )
    if chosen is not None:
        query = query.where(log_entry.c.seq.in_(chosen))
    for seq, header, body in connection.execute(query):
        yield _entry(int(seq), bytes(header), bytes(body))


def _entry(seq: int, header: bytes, body: bytes) -> Entry:
    fields = cast("Mapping[str, Any]", decode(header))
    return Entry(
        seq=seq,
        kind=Kind(fields["kind"]),
        time=fields["time"],
        actor=Actor(fields["actor"], fields["organisation"]),
        subjects=tuple(fields["subjects"]),
        payload=cast("Mapping[str, Any]", decode(body)),
    )


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
