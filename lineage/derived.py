"""What is stored beside the entries for speed must equal what the entries give: the index of subjects and the tree's hashes.

Neither is signed. A row taken out of the index would hide an entry from an audit, a hash changed in the tree would spoil every
proof over it, and both while every signature still holds; so verification compares them (L2, L5).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, cast

from sqlalchemy import Connection, func, select

from lineage.canonical import decode
from lineage.problem import Problem
from lineage.schema import log_entry, log_node, log_subject


_CHUNK = 2000


def stored_bytes(value: object) -> bytes:
    """Give what a column of bytes holds; nothing where it holds no bytes: SQLite keeps text or numbers there if told to."""
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""


class StoredTree:
    """The stored hashes in the order in which a growing tree completes them, compared step by step."""

    def __init__(self, connection: Connection) -> None:
        end = (log_node.c.position + 1).bitwise_lshift(log_node.c.level)
        self._rows = iter(
            connection.execute(
                select(log_node.c.level, log_node.c.position, log_node.c.hash).order_by(end, log_node.c.level)
            )
        )
        self._whole = True

    def compare(self, completed: Iterable[tuple[int, int, bytes]]) -> Iterator[Problem]:
        """Yield a problem at the first hash that is not the tree's; after that the order is lost and nothing more is said."""
        for level, position, value in completed:
            row = next(self._rows, None)
            if self._whole and (row is None or (row[0], row[1], stored_bytes(row[2])) != (level, position, value)):
                self._whole = False
                yield Problem("log.node-changed", {"level": level, "position": position})

    def rest(self) -> Iterator[Problem]:
        """Yield a problem when hashes are stored that belong to no entry."""
        row = next(self._rows, None)
        if self._whole and row is not None:
            yield Problem("log.node-changed", {"level": int(row[0]), "position": int(row[1])})


def index_problems(connection: Connection) -> Iterator[Problem]:
    """Yield a problem for each entry whose subjects the index does not give exactly."""
    tops = (connection.execute(select(func.max(column))).scalar() for column in (log_entry.c.seq, log_subject.c.seq))
    size = max((int(top) + 1 for top in tops if top is not None), default=0)
    for low in range(0, size, _CHUNK):
        wanted, found = _in_headers(connection, low), _in_index(connection, low)
        for seq in sorted(wanted.keys() | found.keys()):
            subjects = wanted.get(seq, set())
            if subjects is not None and subjects != found.get(seq, set()):
                yield Problem("log.index-changed", {"seq": seq})


def _in_headers(connection: Connection, low: int) -> dict[int, set[str] | None]:
    """Give each entry's subjects; None where the header cannot be read, which the check of the entry itself names."""
    chosen = log_entry.c.seq.between(low, low + _CHUNK - 1)
    wanted: dict[int, set[str] | None] = {}
    for seq, header in connection.execute(select(log_entry.c.seq, log_entry.c.header).where(chosen)):
        try:
            fields = cast("dict[str, Any]", decode(stored_bytes(header)))
            wanted[seq] = set(fields["subjects"])
        except (ValueError, KeyError, TypeError):
            wanted[seq] = None
    return wanted


def _in_index(connection: Connection, low: int) -> dict[int, set[str]]:
    chosen = log_subject.c.seq.between(low, low + _CHUNK - 1)
    found: dict[int, set[str]] = defaultdict(set)
    for seq, subject in connection.execute(select(log_subject.c.seq, log_subject.c.subject).where(chosen)):
        found[seq].add(subject)
    return found
