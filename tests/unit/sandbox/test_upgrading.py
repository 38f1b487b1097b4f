"""A database of an older version is refused, upgraded with a copy kept, and its log goes on."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config

from lineage.errors import DefinitionError, MissingPartError
from lineage.kinds import Kind
from lineage.log import entries
from lineage.verify import verify
from sandbox import migrating
from sandbox.domain import create, open_domain
from sandbox.upgrading import upgrade_domain
from tests.factories import refused


OLDER = "0002"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A domain as an earlier version of the software made it."""
    monkeypatch.setenv("SHUZHA_UNIT_TESTS", "1")

    def upgrade(url: str) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(migrating.__file__).parent / "migrations"))
        config.attributes["url"] = url
        command.upgrade(config, OLDER)

    with monkeypatch.context() as then:
        then.setattr(migrating, "HEAD", OLDER)
        then.setattr(migrating, "upgrade", upgrade)
        create(tmp_path / "home", "old.example", storage="none")
    return tmp_path / "home"


def told(home: Path) -> list[dict[str, Any]]:
    with open_domain(home).read() as connection:
        return [dict(one.payload) for one in entries(connection) if one.kind is Kind.DOMAIN_UPGRADED]


def test_an_older_database_is_refused_until_it_is_upgraded(old: Path) -> None:
    with refused(MissingPartError, "database.other-version"):
        open_domain(old)
    done = upgrade_domain(old)
    assert (done.before, done.now) == (OLDER, migrating.HEAD)
    assert told(old) == [{"from": OLDER, "to": migrating.HEAD}]
    domain = open_domain(old)
    with domain.read() as connection:
        assert verify(connection, domain.log.signer.verifier, [(old / "checkpoint").read_text()]).holds


def test_a_copy_of_before_is_kept_for_its_owner_alone(old: Path) -> None:
    kept = upgrade_domain(old).kept
    assert kept is not None
    state = kept.stat()
    assert (stat.S_IMODE(state.st_mode), state.st_uid) == (0o600, os.geteuid())
    kept.rename(old / "domain.db")
    with refused(MissingPartError, "database.other-version"):
        open_domain(old)


def test_what_is_current_or_newer_or_absent_is_told(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade_domain(old)
    with refused(DefinitionError, "database.current"):
        upgrade_domain(old)
    monkeypatch.setattr(migrating, "HEAD", OLDER)
    with refused(MissingPartError, "database.other-version"):
        upgrade_domain(old)
    with refused(MissingPartError, "domain.not-found"):
        upgrade_domain(tmp_path / "nowhere")
