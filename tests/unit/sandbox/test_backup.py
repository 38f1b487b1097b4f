"""Backups of a small world: what is in them, how they come back, and what each wrong thing says."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lineage.errors import DataFileError, DefinitionError, GateRefusedError, MissingPartError, NotPermittedError
from lineage.kinds import Kind
from lineage.verify import verify
from sandbox import backup, catalogue, grants
from sandbox.access import authenticate
from sandbox.backup_age import Identity, Recipient
from sandbox.backup_checking import check
from sandbox.backup_restore import Restored, Sources, restore
from sandbox.backup_vault import Vault, destroyed_names
from sandbox.domain import open_domain
from tests.backups import RecoveryKey, new_recovery_key, with_tables
from tests.factories import Stage, World
from tests.fixtures_domain import WorldAt, quick_folder
from tests.worlds import refused


@dataclass
class Place:
    """A world with its recovery key and the folders of a backup beside it."""

    world: World
    key: RecoveryKey
    folder: Path
    keys: Path
    new: Path

    def make(self, folder: Path | None = None) -> backup.Made:
        return backup.create(self.world.domain, self.world.session("keeper"), folder or self.folder, keys=self.keys)

    def back(self, home: Path | None = None) -> Restored:
        sources = Sources(self.folder, self.keys, self.key.identity)
        return restore(sources, home or self.new, first=["officer", "clerk"], clock=self.world.hands)


@pytest.fixture(scope="module")
def recovery_key() -> RecoveryKey:
    return new_recovery_key()


@pytest.fixture
def outside() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


@pytest.fixture
def place(world_at: WorldAt, recovery_key: RecoveryKey, outside: Path) -> Place:
    world = with_tables(world_at(Stage.PROVISIONED))
    backup.set_recovery_key(world.domain, world.session("officer"), recovery_key.public)
    return Place(world, recovery_key, outside / "copy", outside / "keys", outside / "new")


def files(home: Path, *folders: str) -> dict[str, str]:
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in (home / folder).rglob("*")
        if path.is_file()
    }


def test_a_domain_comes_back_as_it_was(place: Place) -> None:
    home, before = place.world.domain.home, place.world.log()
    made = place.make()
    restored = place.back()
    same = ("raw", "sealed", "jobs", "exports", "releases", "public", "ends")
    assert files(place.new, *same) == files(home, *same)
    domain = open_domain(place.new, clock=place.world.hands)
    assert domain.public_keys == place.world.domain.public_keys
    with domain.read() as connection:
        found = verify(connection, domain.log.signer.verifier, [(place.new / "checkpoint").read_text()])
        assert found.holds
        entries = World(domain, place.world.hands).log()
    count = made.manifest.position.size
    assert entries[:count] == [*before, *place.world.log()[len(before) :]][:count]
    assert [entry.kind for entry in entries[count : count + 1]] == [Kind.DOMAIN_RESTORED]
    assert entries[count].payload["backup"] == made.manifest.id == restored.manifest.id
    assert restored.ended == restored.without_key == ()


def test_the_tables_of_a_tenant_open_again(place: Place) -> None:
    place.make()
    place.back()
    domain = open_domain(place.new, clock=place.world.hands)
    with domain.read() as connection:
        given = grants.get_grant(connection, place.world.ids["grant"])
    for zone in grants.Zone:
        assert domain.keys.zone_key(given.tenant, given.id, zone) == place.world.domain.keys.zone_key(
            given.tenant, given.id, zone
        )
        with grants.zone_opened(domain, given, zone) as folder:
            assert (folder / "secret.txt").read_text() == zone
