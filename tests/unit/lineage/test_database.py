"""Transactions: what counts as a change, what a reader may do, what happens when the database is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from lineage.database import Database, changes
from lineage.errors import MissingPartError
from lineage.log import Log, UnloggedChangeError
from tests.fixtures_lineage import CLERK, Rows, add_entries


ROW = "(seq, subject) VALUES (0, 'x')"
CHANGING = [
    f"INSERT INTO log_subject {ROW}",
    f"\n  insert into log_subject {ROW}",
    "UPDATE log_subject SET subject = subject || 'x'",
    "DELETE FROM log_subject",
    "WITH one AS (SELECT 0 AS seq, 'x' AS subject) INSERT INTO log_subject SELECT seq, subject FROM one",
    "WITH one AS (SELECT 0 AS seq) DELETE FROM log_subject WHERE seq IN (SELECT seq FROM one)",
]
READING = ["SELECT 1", "SELECT 'DELETE FROM log_subject'", "WITH one AS (SELECT 1 AS update_count) SELECT * FROM one"]


@pytest.mark.parametrize("statement", CHANGING)
def test_a_change_of_any_spelling_needs_an_entry(new_log: Log, statement: str) -> None:
    add_entries(new_log, 0, 1)
    with new_log.database.read() as connection:
        before = Rows.take(connection)
    with pytest.raises(UnloggedChangeError), new_log.change(CLERK) as change:
        change.connection.execute(text(statement))
    with new_log.database.read() as connection:
        assert Rows.take(connection) == before


@pytest.mark.parametrize("statement", READING)
def test_reading_inside_a_change_needs_none(new_log: Log, statement: str) -> None:
    with new_log.change(CLERK) as change:
        change.connection.execute(text(statement))
        assert changes(change.connection) == 0


def test_what_a_reader_writes_is_not_kept(new_log: Log) -> None:
    add_entries(new_log, 0, 1)
    try:
        with new_log.database.read() as connection:
            connection.execute(text("DELETE FROM log_subject"))
    except DBAPIError:
        pass  # PostgreSQL refuses at once
    with new_log.database.read() as connection:
        assert len(Rows.take(connection).subjects) == 2


def test_an_unreachable_database_is_a_missing_part_and_shows_no_password() -> None:
    database = Database("postgresql+psycopg://someone:hidden@127.0.0.1:1/none?connect_timeout=2")
    with pytest.raises(MissingPartError) as missing, database.read():
        pass
    assert missing.value.code == "database.unreachable"
    assert "hidden" not in str(missing.value)


def test_a_busy_database_is_a_missing_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lineage.database._BUSY_SECONDS", 0)
    database = Database(f"sqlite:///{tmp_path}/log.sqlite")
    with database.write(), pytest.raises(MissingPartError, match="busy"), database.write():
        pass
