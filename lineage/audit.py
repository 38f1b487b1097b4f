"""Questions an auditor asks of the log: who, for whom, about what, of which kind, when (L2). Read-only, in pages.

Found by the index of subjects, which ``verify`` compares with the entries, or by reading the headers; payloads are read only for the
entries of the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, select

from lineage.answer import header_json
from lineage.canonical import Json
from lineage.clock import stamp
from lineage.kinds import Kind
from lineage.log import Entry, entries, read_header
from lineage.schema import log_entry, log_subject


_CHUNK = 1000
LARGEST_PAGE = 1000


@dataclass(frozen=True)
class Question:
    """What to find; what is left out does not matter. ``since`` is inside the window, ``until`` is not.

    Raises:
        ValueError: a moment without a time zone, or a window that ends before it begins.
    """

    person: str | None = None
    organisation: str | None = None
    subject: str | None = None
    kinds: frozenset[Kind] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for moment in (self.since, self.until):
            if moment is not None and moment.tzinfo is None:
                raise ValueError("a moment has a time zone")
        if self.since is not None and self.until is not None and self.until < self.since:
            raise ValueError("the window ends before it begins")

    def admits(self, header: Mapping[str, Any]) -> bool:
        """Tell whether an entry's header fits."""
        return (
            self.person in {None, header["actor"]}
            and self.organisation in {None, header["organisation"]}
            and (self.subject is None or self.subject in header["subjects"])
            and (not self.kinds or header["kind"] in self.kinds)
            and (self.since is None or stamp(self.since) <= header["time"])
            and (self.until is None or header["time"] < stamp(self.until))
        )


@dataclass(frozen=True)
class Page:
    """Entries found, in the order asked for, and the number to go on from, or None when there are no more."""

    entries: tuple[Entry, ...]
    next: int | None


def find(
    connection: Connection,
    question: Question,
    *,
    start: int | None = None,
    limit: int = 100,
    newest_first: bool = False,
) -> Page:
    """Find entries; ``start`` is the ``next`` of the page before.

    Raises:
        GateRefusedError: an entry cannot be read.
        ValueError: ``limit`` is not 1 to 1000.
    """
    if not 1 <= limit <= LARGEST_PAGE:
        raise ValueError(f"a page holds 1 to {LARGEST_PAGE} entries")
    found: list[int] = []
    for seq in _fitting(connection, question, start, newest_first=newest_first):
        found.append(seq)
        if len(found) > limit:
            break
    following = found[limit] if len(found) > limit else None
    read = {entry.seq: entry for entry in entries(connection, found[:limit])}
    return Page(tuple(read[seq] for seq in found[:limit]), following)


def count_kinds(connection: Connection, question: Question) -> Mapping[Kind, int]:
    """Count the entries found by kind, for reports (S2)."""
    counts: dict[Kind, int] = {}
    for header in _headers(connection, question, None, newest_first=False):
        kind = Kind(header["kind"])
        counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items()))


def entry_json(entry: Entry) -> dict[str, Json]:
    """Give an entry as JSON; ``payload`` is null when only the header is kept (L3)."""
    return {**header_json(entry), "payload": dict(entry.payload) if entry.payload_kept else None}


def _fitting(connection: Connection, question: Question, start: int | None, *, newest_first: bool) -> Iterator[int]:
    for header in _headers(connection, question, start, newest_first=newest_first):
        yield header["seq"]


def _headers(
    connection: Connection, question: Question, start: int | None, *, newest_first: bool
) -> Iterator[Mapping[str, Any]]:
    """Read the headers that fit in pieces, so that a page of a long log does not read the whole of it."""
    while True:
        rows = connection.execute(_piece(question, start, newest_first=newest_first)).all()
        for seq, header in rows:
            fields = read_header(int(seq), bytes(header))
            if question.admits(fields):
                yield {**fields, "seq": int(seq)}
        if len(rows) < _CHUNK:
            return
        start = int(rows[-1][0]) + (-1 if newest_first else 1)


def _piece(question: Question, start: int | None, *, newest_first: bool) -> Select[int, bytes]:
    query = select(log_entry.c.seq, log_entry.c.header).limit(_CHUNK)
    query = query.order_by(log_entry.c.seq.desc() if newest_first else log_entry.c.seq)
    if question.subject is not None:
        query = query.where(
            log_entry.c.seq.in_(select(log_subject.c.seq).where(log_subject.c.subject == question.subject))
        )
    if start is not None:
        query = query.where(log_entry.c.seq <= start if newest_first else log_entry.c.seq >= start)
    return query
