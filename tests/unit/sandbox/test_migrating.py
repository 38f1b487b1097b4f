"""Migrations: a migrated database is what the tables in code say, and the program knows the newest one."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, create_engine, inspect
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

import export_gate.schema
import jobs.schema
import sandbox.schema
from lineage.database import Database
from lineage.schema import metadata
from sandbox import migrating
from tests.factories import refused


MODULES = (sandbox.schema, jobs.schema, export_gate.schema)
"""Importing them puts their tables on the metadata."""


def test_the_program_knows_the_newest_migration() -> None:
    files = sorted((Path(migrating.__file__).parent / "migrations" / "versions").glob("[0-9]*.py"))
    assert files[-1].name.split("_")[0] == migrating.HEAD
    assert [path.name.split("_")[0] for path in files] == [f"{number + 1:04d}" for number in range(len(files))]


def test_a_migrated_database_is_what_the_code_says(database_url: str) -> None:
    migrating.upgrade(database_url)
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_every_check_of_the_code_stands_in_the_database(database_url: str) -> None:
    """Alembic does not compare check constraints, and they hold what must never be stored."""
    migrating.upgrade(database_url)
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        for table in metadata.sorted_tables:
            named = {c.name for c in table.constraints if isinstance(c, CheckConstraint)}
            assert {one["name"] for one in inspect(connection).get_check_constraints(table.name)} == named, table.name


def test_every_check_says_the_same_in_a_database_made_from_the_code(tmp_path: Path) -> None:
    migrated, made = (f"sqlite:///{tmp_path / name}" for name in ("migrated.db", "made.db"))
    migrating.upgrade(migrated)
    engine = create_engine(made, poolclass=NullPool)
    metadata.create_all(engine)
    with engine.connect() as first, create_engine(migrated, poolclass=NullPool).connect() as second:
        assert checks(first) == checks(second)


def checks(connection: Connection) -> set[tuple[str, str, str]]:
    found = inspect(connection)
    return {
        (table.name, str(one["name"]), " ".join(one["sqltext"].split()))
        for table in metadata.sorted_tables
        for one in found.get_check_constraints(table.name)
    }


def test_upgrading_twice_changes_nothing(database_url: str) -> None:
    migrating.upgrade(database_url)
    migrating.upgrade(database_url)
    migrating.check_current(Database(database_url))


def test_an_empty_database_is_no_domains(database_url: str) -> None:
    from lineage.errors import MissingPartError

    with refused(MissingPartError, "database.not-a-domain"):
        migrating.check_current(Database(database_url))


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("organisation", {"id": "O", "name": "n", "title": "t", "kind": "king", "state": "active"}),
        ("organisation", {"id": "O", "name": "n", "title": "t", "kind": "tenant", "state": "active"}),
        ("organisation", {"id": "O", "name": "n", "title": "t", "kind": "provider", "state": "active", "uid": 1}),
        ("person", {"id": "P", "login": "l", "name": "n", "organisation": "nowhere", "state": "active"}),
        ("token", {"digest": "d", "person": "P", "issued": "2", "expires": "1"}),
        ("log_entry", {"seq": -1, "header": b""}),
    ],
)
def test_what_must_never_be_stored_is_not(database_url: str, table: str, values: dict[str, object]) -> None:
    migrating.upgrade(database_url)
    with pytest.raises(IntegrityError), Database(database_url).write() as connection:
        connection.execute(metadata.tables[table].insert().values(**values))
