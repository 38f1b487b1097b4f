"""Schema versions of the database, by Alembic's migrations in ``sandbox/migrations``.

Opening a domain only compares one value, because importing Alembic would slow every command.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

from lineage.database import Database
from lineage.errors import MissingPartError


HEAD = "0005"
"""The newest migration; a test keeps it equal to the newest file."""


def upgrade(url: str) -> None:
    """Bring a database to the newest version; an empty one gets every table."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = url
    command.upgrade(config, "head")


def check_current(database: Database) -> None:
    """Check that the database is of the version that this software knows.

    Raises:
        MissingPartError: it is older, newer, or no domain's database.
    """
    found = version(database)
    if found != HEAD:
        raise MissingPartError("database.other-version", found=found, known=HEAD)


def version(database: Database) -> str:
    """Give the version of a domain's database.

    Raises:
        MissingPartError: it is no domain's database.
    """
    try:
        with database.read() as connection:
            return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())
    except (OperationalError, ProgrammingError) as error:
        raise MissingPartError("database.not-a-domain") from error
