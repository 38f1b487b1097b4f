"""One consistent state of the database as a file, taken while others write; and the way back into an empty database.

SQLite by its own backup API; PostgreSQL by ``pg_dump`` on the exported snapshot of the very transaction that reads the log's
position, so that file and position are of one moment on both.
"""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from lineage.database import Database
from lineage.errors import DataFileError, DefinitionError, GateRefusedError, MissingPartError
from lineage.log import latest_checkpoint
from lineage.note import Verifier
from lineage.verify import verify
from sandbox.backup_manifest import Position


SQLITE, POSTGRES = "sqlite", "postgresql"
NAMES = {SQLITE: "domain.db", POSTGRES: "domain.dump"}
_TABLES = "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema()"
_FUNCTIONS = """SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = current_schema() AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"""
_MADE = (
    ("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema()", "TABLE"),
    (_FUNCTIONS, "FUNCTION"),
)
"""What a dump makes: tables with all that hangs on them, and functions that no extension brought."""


@dataclass(frozen=True)
class Snapshot:
    """A state of the database: the file that holds it, and a connection that sees exactly it."""

    kind: str
    file: Path
    connection: Connection


@contextmanager
def snapshot(database: Database, folder: Path) -> Iterator[Snapshot]:
    """Take a snapshot into an empty folder; nobody who writes waits for it.

    Raises:
        MissingPartError: the database cannot be reached, or ``pg_dump`` is missing or failed.
        DataFileError: the disk is full.
    """
    kind = database.url.get_backend_name()
    file = folder / NAMES[kind]
    if kind == SQLITE:
        _copy_sqlite(str(database.url.database), file)
        with Database(f"sqlite:///{file}").read() as connection:
            yield Snapshot(kind, file, connection)
        return
    with database.read() as connection:
        exported = str(connection.execute(text("SELECT pg_export_snapshot()")).scalar_one())
        command = ["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={exported}"]
        _client([*command, f"--file={file}"], database.url, folder)
        yield Snapshot(kind, file, connection)


def position(connection: Connection, verifier: Verifier) -> Position:
    """Verify the whole log of a snapshot and say where it stands.

    Raises:
        GateRefusedError: the log does not hold: a copy of it would bury that.
    """
    note = latest_checkpoint(connection) or ""
    found = verify(connection, verifier, [note])
    if not found.holds:
        raise GateRefusedError("backup.log-broken", first=found.problems[0].code, problems=len(found.problems))
    return Position(found.size, found.root, note)


def check_empty(url: str) -> None:
    """Check before anything is unpacked that a PostgreSQL database is there and holds nothing.

    Raises:
        DefinitionError: it holds tables, or the URL is none of PostgreSQL.
        MissingPartError: it cannot be reached.
    """
    if make_url(url).get_backend_name() != POSTGRES:
        raise DefinitionError("backup.other-database", wanted=POSTGRES)
    with Database(url).read() as connection:
        if connection.execute(text(_TABLES)).scalar_one():
            raise DefinitionError("backup.database-not-empty")


def load_dump(file: Path, url: str, folder: Path) -> None:
    """Fill an empty PostgreSQL database, in one transaction.

    Raises:
        MissingPartError: ``pg_restore`` is missing or failed; the database is as empty as before.
    """
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    _client(["pg_restore", *options, f"--dbname={_plain(make_url(url))}", str(file)], make_url(url), folder)


def empty_again(url: str) -> None:
    """Take back what ``load_dump`` filled, when a later step failed: a half restore leaves nothing usable."""
    with Database(url).write() as connection:
        for query, word in _MADE:
            for name in connection.execute(text(query)).scalars().all():
                connection.execute(text(f"DROP {word} IF EXISTS {name} CASCADE"))


def _copy_sqlite(source: str, target: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
    except sqlite3.Error as error:
        if "full" in str(error):
            raise DataFileError("backup.disk-full", place=str(target.parent)) from error
        raise MissingPartError("backup.database-failed", program="sqlite", told=str(error)) from error


def _client(command: list[str], url: URL, folder: Path) -> None:
    """Run a client program of PostgreSQL; the password goes by a file, for anybody may read a command line."""
    secret = folder / ".pgpass"
    escaped = str(url.password or "").replace("\\", "\\\\").replace(":", "\\:")
    secret.touch(mode=0o600)
    secret.write_text(f"*:*:*:*:{escaped}\n", encoding="utf-8")
    if command[0] == "pg_dump":
        command = [*command, f"--dbname={_plain(url)}"]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PGPASSFILE": str(secret), "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run([*command, "--no-password"], capture_output=True, check=False, env=environment)
    except FileNotFoundError as error:
        raise MissingPartError("backup.no-postgres-client", program=command[0]) from error
    finally:
        secret.unlink()
    if done.returncode != 0:
        told = done.stderr.decode(errors="replace").strip().splitlines() or [""]
        raise MissingPartError("backup.database-failed", program=command[0], told=told[0][:200])


def _plain(url: URL) -> str:
    """Give a URL as libpq reads it, without its password."""
    return url.set(drivername=POSTGRES, password=None).render_as_string(hide_password=False)


def revision_of(connection: Connection) -> str:
    """Give the newest migration of a database.

    Raises:
        MissingPartError: it is no domain's database.
    """
    try:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
    except DBAPIError as error:
        raise MissingPartError("database.not-a-domain") from error
