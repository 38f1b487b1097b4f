"""Bring the database of an older version of this software to the present one, with a copy kept and an entry on the log (law 5)."""

from __future__ import annotations

import os
import sqlite3
import tomllib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lineage.clock import Clock, system_clock
from lineage.database import Database
from lineage.errors import DefinitionError, MissingPartError
from lineage.kinds import Kind
from lineage.log import PLATFORM
from sandbox import migrating
from sandbox.domain import open_domain


SUBJECT = "database"


@dataclass(frozen=True)
class Upgraded:
    """From which version to which; ``kept`` is the copy of before, None where the database server keeps its own backups."""

    before: str
    now: str
    kept: Path | None


def upgrade_domain(home: Path, *, clock: Clock = system_clock) -> Upgraded:
    """Upgrade the database of the domain in ``home``; nobody may be at work in it.

    A SQLite file is copied beside itself first. On PostgreSQL a migration is one transaction.

    Raises:
        DefinitionError: it is of the present version.
        MissingPartError: there is no domain, or its database is newer than this software.
    """
    try:
        url = tomllib.loads((home / "domain.toml").read_text(encoding="utf-8"))["database"]
    except FileNotFoundError as error:
        raise MissingPartError("domain.not-found", home=str(home)) from error
    database = Database(url)
    before = migrating.version(database)
    if before == migrating.HEAD:
        raise DefinitionError("database.current", version=before)
    if before > migrating.HEAD:
        raise MissingPartError("database.other-version", found=before, known=migrating.HEAD)
    kept = _keep(Path(database.url.database or ""), before) if database.url.get_backend_name() == "sqlite" else None
    migrating.upgrade(url)
    with open_domain(home, clock=clock).change(PLATFORM) as change:
        change.record(Kind.DOMAIN_UPGRADED, [SUBJECT], {"from": before, "to": migrating.HEAD})
    return Upgraded(before, migrating.HEAD, kept)


def _keep(path: Path, version: str) -> Path:
    """Copy a SQLite database beside itself, by its own means: whole, with what is still in its journal."""
    kept = path.with_name(f"{path.name}.{version}")
    os.close(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(kept)) as target:
        source.backup(target)
    return kept
