"""A domain: made whole or not at all, opened only with everything it needs (law 7)."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest
from sqlalchemy import text

from lineage.errors import DefinitionError, GateRefusedError, MissingPartError
from sandbox import parties
from sandbox.domain import create, new_id, open_domain, read_public_keys
from tests.factories import NAME, Hands, Stage, found, refused
from tests.fixtures_domain import WorldAt


pytestmark = pytest.mark.usefixtures("unit_storage")


def test_a_new_domain_can_be_opened_again(database_url: str, tmp_path: Path) -> None:
    world = found(tmp_path / "home", database_url)
    again = open_domain(world.domain.home, clock=Hands())
    assert (again.name, again.public_keys) == (NAME, world.domain.public_keys)
    with again.read() as connection:
        assert [one.name for one in parties.list_organisations(connection)] == ["authority"]
    assert world.verified().holds


def test_a_domain_is_for_its_owner_alone(world_at: WorldAt) -> None:
    home = world_at(Stage.FOUNDED).domain.home
    for path in home.iterdir():
        if path.is_dir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


def test_no_domain_is_made_over_another(world_at: WorldAt) -> None:
    world = world_at(Stage.FOUNDED)
    before = {path: path.read_bytes() for path in world.domain.home.rglob("*") if path.is_file()}
    with refused(DefinitionError, "domain.exists"):
        create(world.domain.home, NAME, storage="none")
    (world.domain.home / "domain.toml").unlink()
    with refused(DefinitionError, "domain.exists"):
        create(world.domain.home, NAME, storage="none")
    assert {path: data for path, data in before.items() if path.name != "domain.toml"} == {
        path: path.read_bytes() for path in world.domain.home.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", 'a"b', "a\\b", "a\tb", "a\x00b", "a\u2028b", "长春"])
def test_a_name_fits_into_keys_and_settings(tmp_path: Path, name: str) -> None:
    with refused(DefinitionError, "domain.bad-name"):
        create(tmp_path / "home", name, storage="none")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["a", "data.example.gov.cn", "zone-1/test"])
def test_a_host_like_name_is_accepted(tmp_path: Path, name: str) -> None:
    made = create(tmp_path / "home", name, storage="none")
    assert (made.log.signer.name, made.release_signer.name) == (f"{name}/log", f"{name}/release")


def test_a_creation_that_failed_for_the_database_can_be_repeated(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with socket.socket() as taken:
        # Bound and not listening: whoever connects is refused, and nobody else can take the port meanwhile.
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql+psycopg://nobody@127.0.0.1:{taken.getsockname()[1]}/none"
        with refused(MissingPartError, "database.unreachable") as caught:
            create(home, NAME, url=url, storage="none")
    assert "nobody" in str(caught.value.params["url"])
    assert not (home / "keys").exists()
    create(home, NAME, storage="none")


def test_an_odd_address_stays_what_it_is(tmp_path: Path) -> None:
    folder = tmp_path / 'a "quoted" \\ folder'
    folder.mkdir()
    made = create(tmp_path / "home", NAME, url=f"sqlite:///{folder}/domain.db", storage="none")
    assert open_domain(made.home).database.url == made.database.url


def test_there_must_be_a_domain(tmp_path: Path) -> None:
    with refused(MissingPartError, "domain.not-found"):
        open_domain(tmp_path)


@pytest.mark.parametrize("name", ["log.key", "release.key"])
def test_a_missing_seed_is_an_error(world_at: WorldAt, name: str) -> None:
    world = world_at(Stage.FOUNDED)
    (seed,) = (world.domain.home / "keys").glob(f"tree-*/seeds/{name}")
    seed.unlink()
    with refused(MissingPartError, "key.missing"):
        open_domain(world.domain.home)


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [("format = 1", "format = 2", "domain.other-format"), ('storage = "none"', 'storage = "x"', "storage.unknown")],
)
def test_settings_of_another_version_are_refused(world_at: WorldAt, before: str, after: str, code: str) -> None:
    world = world_at(Stage.FOUNDED)
    settings = world.domain.home / "domain.toml"
    settings.write_text(settings.read_text().replace(before, after))
    with refused(MissingPartError, code):
        open_domain(world.domain.home)


@pytest.mark.parametrize("version", ["0000", "9999"])
def test_a_database_of_another_version_is_refused(world_on: WorldAt, version: str) -> None:
    world = world_on(Stage.FOUNDED)
    with world.domain.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    with refused(MissingPartError, "database.other-version"):
        open_domain(world.domain.home)


def test_a_database_without_a_domain_is_refused(world_at: WorldAt) -> None:
    world = world_at(Stage.FOUNDED)
    (world.domain.home / "domain.db").unlink()
    with refused(MissingPartError, "database.not-a-domain"):
        open_domain(world.domain.home)


def test_public_keys_are_all_that_a_recipient_needs(world_at: WorldAt) -> None:
    world = world_at(Stage.FOUNDED)
    log, release = read_public_keys((world.domain.home / "public" / "domain.pub").read_text())
    assert log == world.domain.log.signer.verifier
    assert release == world.domain.release_signer.verifier
    assert log.public != release.public


@pytest.mark.parametrize("content", ["", "x", "x\ny\n"])
def test_what_are_no_public_keys_is_refused(content: str) -> None:
    with refused(GateRefusedError, "log.bad-key"):
        read_public_keys(content)


def test_ids_cannot_be_guessed() -> None:
    made = {new_id("R") for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(one) == 18 and one.startswith("R-") for one in made)


def test_nothing_prints_a_seed(world_at: WorldAt) -> None:
    domain = world_at(Stage.FOUNDED).domain
    shown = repr(domain) + repr(domain.log.signer) + repr(domain.keys)
    assert domain.keys.read_seed("log").hex() not in shown
    assert str(domain.keys.read_seed("log")) not in shown
