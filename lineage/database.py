"""Transactions on SQLite (default) or PostgreSQL: writes are serialised, so that the log has one order on both.

SQLite: WAL, foreign keys on, ``BEGIN IMMEDIATE`` for writes (a read that turns into a write under plain ``BEGIN`` fails at once
under contention, whatever the busy timeout). PostgreSQL: an advisory lock held for the transaction.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from lineage.errors import MissingPartError


_WRITE_LOCK = 0x73687A68  # "shzh": one lock for all writers of the domain
_BUSY_SECONDS = 30
_DATA_CHANGE = re.compile(
    r"\s*(WITH\b.*\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO)|INSERT|UPDATE|DELETE|MERGE|REPLACE|TRUNCATE|COPY)\b",
    re.IGNORECASE | re.DOTALL,
)


class Database:
    """One database of a domain, opened by URL."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self._sqlite = self.url.get_backend_name() == "sqlite"
        # Commands are short and workers are processes: a pool would only keep sockets and file locks alive.
        self._engine = create_engine(self.url, poolclass=NullPool)
        if self._sqlite:
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        event.listen(self._engine, "before_cursor_execute", _count_change)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read transaction: one consistent state.

        Raises:
            MissingPartError: the database cannot be reached.
        """
        with self._connect(write=False) as connection:
            yield connection
            connection.rollback()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a write transaction; it commits at the end of the block and rolls back on any exception.

        Raises:
            MissingPartError: the database cannot be reached, or another writer holds it too long.
        """
        with self._connect(write=True) as connection, connection.begin():
            if not self._sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _WRITE_LOCK})
            connection.info["changes"] = 0
            yield connection

    @contextmanager
    def _connect(self, *, write: bool) -> Iterator[Connection]:
        try:
            connection = self._engine.connect()
        except OperationalError as error:
            raise MissingPartError("database.unreachable", url=self.url.render_as_string(hide_password=True)) from error
        with connection:
            yield connection.execution_options(shuzha_write=write, **self._snapshot(write=write))

    def _snapshot(self, *, write: bool) -> dict[str, Any]:
        # PostgreSQL's default would show a reader each commit as it happens: a log under verification would seem cut or unsigned.
        reads_one_state = self._sqlite or write
        return {} if reads_one_state else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def changes(connection: Connection) -> int:
    """Count the data-changing statements of the running write transaction."""
    return int(connection.info.get("changes", 0))


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's "begin" event opens transactions, not the driver
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_SECONDS * 1000}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("shuzha_write")
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
    except OperationalError as error:
        raise MissingPartError("database.busy", seconds=_BUSY_SECONDS) from error


def _count_change(connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
    if _DATA_CHANGE.match(statement):
        connection.info["changes"] = connection.info.get("changes", 0) + 1
