"""Questions an auditor asks of the log, in pages (L2)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, update

from lineage import audit
from lineage.audit import Question, count_kinds, entry_json, find
from lineage.canonical import encode
from lineage.errors import GateRefusedError
from lineage.kinds import Kind, message_code
from lineage.log import Actor, Log
from lineage.schema import log_entry, log_payload
from sandbox.messages import Language, text


START = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = (Kind.REQUEST_MADE, Kind.REQUEST_APPROVED, Kind.GRANT_STARTED)


def fill(log: Log, count: int = 30) -> None:
    for number in range(count):
        log.clock = lambda number=number: START + timedelta(hours=number)  # type: ignore[misc]
        with log.change(Actor(f"P-{number % 5}", f"O-{number % 2}")) as change:
            change.record(KINDS[number % 3], [f"Q-{number // 3}"], {"n": number})


def numbers(log: Log, question: Question, *, newest_first: bool = False, limit: int = 100) -> list[int]:
    """Walk all pages."""
    found: list[int] = []
    start = None
    while True:
        with log.database.read() as connection:
            page = find(connection, question, start=start, limit=limit, newest_first=newest_first)
        found += [entry.seq for entry in page.entries]
        if page.next is None:
            return found
        assert len(page.entries) == limit
        start = page.next


QUESTIONS: dict[str, tuple[Question, list[int]]] = {
    "everything": (Question(), list(range(30))),
    "a person": (Question(person="P-3"), [3, 8, 13, 18, 23, 28]),
    "an organisation": (Question(organisation="O-1"), list(range(1, 30, 2))),
    "a subject": (Question(subject="Q-4"), [12, 13, 14]),
    "a kind": (Question(kinds=frozenset({Kind.REQUEST_APPROVED})), list(range(1, 30, 3))),
    "two kinds": (
        Question(kinds=frozenset({Kind.REQUEST_APPROVED, Kind.GRANT_STARTED})),
        [n for n in range(30) if n % 3],
    ),
    "since": (Question(since=START + timedelta(hours=27)), [27, 28, 29]),
    "until": (Question(until=START + timedelta(hours=3)), [0, 1, 2]),
    "a window in another zone": (
        Question(
            since=datetime.fromisoformat("2026-01-01T10:00+08:00"),
            until=datetime.fromisoformat("2026-01-01T13:00+08:00"),
        ),
        [2, 3, 4],
    ),
    "all of it": (
        Question("P-3", "O-1", "Q-4", frozenset({Kind.REQUEST_APPROVED}), START, START + timedelta(days=2)),
        [13],
    ),
    "nobody": (Question(person="P-9"), []),
    "a subject nobody named": (Question(subject="Q-99"), []),
}


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize(("newest_first", "limit"), [(False, 100), (True, 100), (False, 1), (True, 2), (False, 30)])
def test_what_is_found(sqlite_log: Log, name: str, newest_first: bool, limit: int) -> None:
    fill(sqlite_log)
    question, expected = QUESTIONS[name]
    found = numbers(sqlite_log, question, newest_first=newest_first, limit=limit)
    assert found == (expected[::-1] if newest_first else expected)


@pytest.mark.parametrize("newest_first", [False, True])
def test_long_logs_are_read_in_pieces(new_log: Log, newest_first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(new_log, 12)
    monkeypatch.setattr(audit, "_CHUNK", 4)
    for name, (question, expected) in QUESTIONS.items():
        inside = [number for number in expected if number < 12]
        found = numbers(new_log, question, newest_first=newest_first, limit=2)
        assert found == (inside[::-1] if newest_first else inside), name


def test_counts_by_kind(sqlite_log: Log) -> None:
    fill(sqlite_log)
    with sqlite_log.database.read() as connection:
        assert count_kinds(connection, Question(organisation="O-0")) == dict.fromkeys(sorted(KINDS), 5)


def test_an_entry_as_json(sqlite_log: Log) -> None:
    fill(sqlite_log, 2)
    with sqlite_log.database.write() as connection:
        connection.execute(delete(log_payload).where(log_payload.c.seq == 0))
    with sqlite_log.database.read() as connection:
        gone, whole = (entry_json(entry) for entry in find(connection, Question()).entries)
    assert json.loads(encode(whole)) == {
        "seq": 1,
        "kind": "request.approved",
        "time": "2026-01-01T01:00:00.000Z",
        "person": "P-1",
        "organisation": "O-1",
        "subjects": ["Q-0"],
        "payload": {"n": 1},
    }
    assert gone["payload"] is None


@pytest.mark.parametrize("header", [b"{", b"[]", b"{}", b'{"kind":"role.given"}', b"1.5", b"[" * 200_000])
def test_an_entry_that_cannot_be_read_is_not_passed_over(sqlite_log: Log, header: bytes) -> None:
    fill(sqlite_log, 3)
    with sqlite_log.database.write() as connection:
        connection.execute(update(log_entry).where(log_entry.c.seq == 1).values(header=header))
    with sqlite_log.database.read() as connection, pytest.raises(GateRefusedError, match="unreadable-entry"):
        find(connection, Question(person="P-0"))


def test_questions_that_make_no_sense_are_refused(sqlite_log: Log) -> None:
    with pytest.raises(ValueError, match="time zone"):
        Question(since=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="window"):
        Question(since=START, until=START - timedelta(seconds=1))
    with sqlite_log.database.read() as connection:
        for limit in (0, -1, 1001):
            with pytest.raises(ValueError, match="page"):
                find(connection, Question(), limit=limit)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("language", Language)
def test_every_kind_has_a_name_for_people(kind: Kind, language: Language) -> None:
    assert text(message_code(kind), language)
