"""Write the operations of a new migration by comparing the tables in code with the newest migration; a person reviews the file."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

import export_gate.schema  # noqa: F401 - each import adds its tables
import jobs.schema  # noqa: F401
import sandbox.schema  # noqa: F401
from lineage.schema import metadata
from sandbox import migrating


def operations(*, from_nothing: bool) -> str:
    """Give the Python text of the upgrade's operations."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'empty.db'}"
        if not from_nothing:
            migrating.upgrade(url)
        engine = create_engine(url)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"render_as_batch": True})
            found = produce_migrations(context, metadata)
        engine.dispose()
        if found.upgrade_ops is None:
            return ""
        return render_python_code(found.upgrade_ops, render_as_batch=True)


if __name__ == "__main__":
    print(operations(from_nothing="--from-nothing" in sys.argv))
