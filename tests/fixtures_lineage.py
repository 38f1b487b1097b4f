"""Logs to test on, and what an attacker who owns the database can do to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select

from lineage import merkle
from lineage.canonical import encode
from lineage.database import Database
from lineage.kinds import Kind
from lineage.log import Actor, Log
from lineage.note import Checkpoint, Signer
from lineage.schema import log_checkpoint, log_entry, log_node, log_payload, log_subject, metadata


CLERK = Actor("P-1", "O-1")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def open_log(url: str, folder: Path) -> Log:
    """Make the tables and a log with a new key."""
    database = Database(url)
    with database.write() as connection:
        metadata.create_all(connection)
    return Log(database, Signer.generate("test.domain"), lambda: NOON, folder / "checkpoint")


def add_entries(log: Log, first: int, count: int) -> None:
    """Record ``count`` numbered entries in one transaction."""
    with log.change(CLERK) as change:
        for number in range(first, first + count):
            change.record(Kind.ROLE_GIVEN, [f"P-{number}", f"Q-{number % 3}"], {"role": "auditor", "n": number})


@pytest.fixture
def new_log(database_url: str, tmp_path: Path) -> Log:
    """An empty log, once on SQLite and once on PostgreSQL."""
    return open_log(database_url, tmp_path)


@pytest.fixture
def sqlite_log(tmp_path: Path) -> Log:
    """An empty log on SQLite, for what does not depend on the database."""
    return open_log(f"sqlite:///{tmp_path / 'log.sqlite'}", tmp_path)


@dataclass
class Rows:
    """Everything that is stored of a log, as plain values that an attacker changes at will and writes back."""

    headers: dict[int, bytes] = field(default_factory=dict)
    payloads: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    nodes: dict[tuple[int, int], bytes] = field(default_factory=dict)
    subjects: set[tuple[int, str]] = field(default_factory=set)
    checkpoints: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def take(cls, connection: Connection) -> Rows:
        """Read the tables."""
        read = connection.execute
        return cls(
            {seq: bytes(header) for seq, header in read(select(log_entry))},
            {seq: (bytes(salt), bytes(body)) for seq, salt, body in read(select(log_payload))},
            {(level, position): bytes(value) for level, position, value in read(select(log_node))},
            {(seq, subject) for seq, subject in read(select(log_subject))},
            {size: bytes(note) for size, note in read(select(log_checkpoint))},
        )

    def put(self, connection: Connection) -> None:
        """Write the tables."""
        for table in (log_payload, log_subject, log_node, log_checkpoint, log_entry):
            connection.execute(delete(table))
        rows: list[tuple[Any, list[dict[str, Any]]]] = [
            (log_entry, [{"seq": seq, "header": header} for seq, header in self.headers.items()]),
            (log_payload, [{"seq": seq, "salt": salt, "body": body} for seq, (salt, body) in self.payloads.items()]),
            (log_node, [{"level": lv, "position": pos, "hash": value} for (lv, pos), value in self.nodes.items()]),
            (log_subject, [{"seq": seq, "subject": subject} for seq, subject in self.subjects]),
            (log_checkpoint, [{"size": size, "note": note} for size, note in self.checkpoints.items()]),
        ]
        for table, values in rows:
            if values:
                connection.execute(insert(table), values)

    def edit(self, seq: int, /, **fields: Any) -> None:
        """Change fields of a header, and keep it canonical."""
        self.headers[seq] = encode({**json.loads(self.headers[seq]), **fields})

    def number(self, order: list[int], *, honest: bool) -> None:
        """Put the entries into another order under new numbers; ``honest`` headers say their new number."""
        headers = [self.headers[seq] for seq in order]
        payloads = [self.payloads[seq] for seq in order]
        self.headers, self.payloads = dict(enumerate(headers)), dict(enumerate(payloads))
        if honest:
            for seq in self.headers:
                self.edit(seq, seq=seq)
        self.rebuild()

    def remove(self, seq: int) -> None:
        """Take an entry out and leave the hole."""
        del self.headers[seq], self.payloads[seq]
        self.subjects = {row for row in self.subjects if row[0] != seq}

    def rebuild(self) -> None:
        """Make the tree and the index fit the entries again."""
        self.nodes = {}
        for seq in sorted(self.headers):
            leaf = merkle.leaf_hash(self.headers[seq])
            for level, position, value in merkle.completed(seq, leaf, lambda lv, pos: self.nodes[lv, pos]):
                self.nodes[level, position] = value
        self.subjects = {
            (seq, subject) for seq, header in self.headers.items() for subject in json.loads(header)["subjects"]
        }

    def root(self, size: int) -> bytes:
        """Give the root over the first entries."""
        return merkle.root(size, lambda level, position: self.nodes[level, position])

    def sign_all(self, signer: Signer) -> None:
        """Sign a checkpoint anew at each size that had one."""
        for size in self.checkpoints:
            self.checkpoints[size] = signer.sign(Checkpoint(signer.name, size, self.root(size)).text).encode()


def tamper(log: Log, attack: Callable[[Rows], None]) -> Mapping[int, bytes]:
    """Let an attacker change what is stored; gives the checkpoints that are stored afterwards."""
    with log.database.write() as connection:
        rows = Rows.take(connection)
        attack(rows)
        rows.put(connection)
    return rows.checkpoints


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker of the tests that need other programs and the network, and do not run unless asked for."""
    config.addinivalue_line("markers", "interop: needs another implementation; runs where SHUZHA_INTEROP=1 asks for it")
