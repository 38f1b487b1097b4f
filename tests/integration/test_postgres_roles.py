"""On the real PostgreSQL: the platform works whole under its own role, and what is on record that role cannot rewrite (laws 3 and 5)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError

from lineage.database import Database
from lineage.schema import metadata
from lineage.verify import verify
from tests.factories import Stage, World, walk
from tests.fixtures_domain import WorldAt, quick_folder
from tests.fixtures_postgres import fresh_database


SCRIPT = Path(__file__).resolve().parents[2] / "infra" / "postgres-roles.sql"
LOG = ("log_entry", "log_payload", "log_node", "log_subject", "log_checkpoint")
APPENDED = (*LOG, "export_review", "request_approval", "dataset_version", "provisioned", "bit_charge")


@dataclass(frozen=True)
class Roles:
    """A world whose domain works as ``shuzha_app``, and the database as each role."""

    world: World
    urls: dict[str, str]

    def database(self, role: str) -> Database:
        """The database as somebody in a role."""
        return Database(self.urls[role])


def run_script(url: str) -> None:
    """Run the script as its page says."""
    program = shutil.which("psql")
    if program is None:
        pytest.skip("psql is not installed (Debian package postgresql-client)")
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    command = [program, "-q", "-v", "ON_ERROR_STOP=1", "-d", address, "-f", str(SCRIPT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def roles(postgres_url: str, world_templates: WorldAt) -> Iterator[Roles]:
    with (
        pytest.MonkeyPatch.context() as patch,
        quick_folder() as folder,
        fresh_database(postgres_url) as url,
    ):
        patch.setenv("SHUZHA_UNIT_TESTS", "1")
        template = world_templates(Stage.SCENARIO)
        template.copy(folder / "made" / "home", url)
        run_script(url)
        run_script(url)
        urls = {role: _login(url, role) for role in ("shuzha_owner", "shuzha_app", "shuzha_auditor")}
        shutil.rmtree(folder / "made")
        yield Roles(_as_app(template, folder / "app" / "home", urls["shuzha_app"]), urls)
        with Database(url).write() as connection:
            for role in urls:
                connection.execute(text(f"DROP OWNED BY {role} CASCADE"))
                connection.execute(text(f"DROP ROLE {role}_login"))
                connection.execute(text(f"DROP ROLE {role}"))


def _login(url: str, role: str) -> str:
    with Database(url).write() as connection:
        connection.execute(text(f"CREATE ROLE {role}_login LOGIN IN ROLE {role}"))
    return make_url(url).set(username=f"{role}_login").render_as_string(hide_password=False)


def _as_app(template: World, home: Path, url: str) -> World:
    """The template's folder, with its settings pointing at the database that is filled already."""
    from sandbox import domain

    shutil.copytree(template.domain.home, home)
    settings = home / "domain.toml"
    old = f"sqlite:///{template.domain.home / 'domain.db'}"
    settings.write_text(settings.read_text().replace(old, url).replace(str(template.domain.home), str(home)))
    opened = domain.open_domain(home, clock=template.hands)
    assert opened.database.url.username == "shuzha_app_login"
    return World(opened, template.hands, template.stage, dict(template.ids), dict(template.tokens))


def test_the_platform_works_whole_under_its_role(roles: Roles) -> None:
    before = len(roles.world.log())
    walk(roles.world, Stage.RELEASED)
    assert len(roles.world.log()) > before + 20
    assert roles.world.verified().holds


@pytest.mark.parametrize("table", APPENDED)
@pytest.mark.parametrize("statement", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0}", "DROP TABLE {0}"])
def test_what_is_on_record_is_not_rewritten(roles: Roles, table: str, statement: str) -> None:
    column = next(iter(metadata.tables[table].columns)).name
    database = roles.database("shuzha_app")
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"), database.write() as connection:
        connection.execute(text(statement.format(table, f'"{column}"')))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE budget_charge SET rho = '0'",
        "DELETE FROM budget_charge",
        "UPDATE token SET person = person",
        "UPDATE alembic_version SET version_num = '9999'",
        "ALTER TABLE log_entry DISABLE TRIGGER ALL",
        "CREATE TABLE mine (id integer)",
        "CREATE TEMPORARY TABLE log_entry (seq integer)",
        "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "SET ROLE shuzha_owner",
        "CREATE ROLE mine",
        "COPY log_entry TO PROGRAM 'cat'",
    ],
)
def test_no_way_round_is_open(roles: Roles, statement: str) -> None:
    database = roles.database("shuzha_app")
    with pytest.raises(ProgrammingError, match=r"permission denied|must be"), database.write() as connection:
        connection.execute(text(statement))


def test_the_auditor_reads_the_log_and_nothing_else(roles: Roles) -> None:
    database = roles.database("shuzha_auditor")
    with database.read() as connection:
        assert verify(connection, roles.world.domain.log.signer.verifier, []).size > 0
    for name in sorted(set(metadata.tables) - set(LOG)):
        with pytest.raises(ProgrammingError, match="permission denied"), database.read() as connection:
            connection.execute(text(f'SELECT * FROM "{name}"'))
    for name in LOG:
        with pytest.raises(ProgrammingError, match="permission denied"), database.write() as connection:
            connection.execute(text(f"DELETE FROM {name}"))


def test_the_innocent_twin_the_owner_could(roles: Roles) -> None:
    """What is refused above is refused by the role, not because the statement is wrong."""
    with roles.database("shuzha_owner").write() as connection:
        connection.execute(text("UPDATE log_entry SET seq = seq"))
        connection.execute(text("TRUNCATE bit_charge"))
        connection.execute(text("CREATE TABLE mine (id integer)"))
        connection.execute(text("DROP TABLE mine"))
