"""Sealed folders: only the key opens them, nothing is left open, and no domain in use keeps them unsealed (D1, D11, law 7)."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lineage.errors import MissingPartError
from sandbox import domain, ending, grants, storage
from sandbox.grants import Zone
from sandbox.storage import Gocryptfs, Unsealed, close_mount, provider, sweep
from tests.factories import Stage, World, refused
from tests.fixtures_domain import WorldAt


KEY, OTHER = b"k" * 32, b"o" * 32

needs_gocryptfs = [
    pytest.mark.jail,
    pytest.mark.skipif(shutil.which("gocryptfs") is None, reason="gocryptfs is not installed"),
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="this machine has no FUSE"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount for others"),
]


def test_unsealed_folders_are_refused_outside_unit_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUZHA_UNIT_TESTS", "1")
    domain.create(tmp_path / "home", "test.example", storage="none")
    for value in ("0", "", "true"):
        monkeypatch.setenv("SHUZHA_UNIT_TESTS", value)
        with refused(MissingPartError, "storage.none-refused"):
            domain.open_domain(tmp_path / "home")
    monkeypatch.delenv("SHUZHA_UNIT_TESTS")
    with refused(MissingPartError, "storage.none-refused"):
        domain.open_domain(tmp_path / "home")
    with refused(MissingPartError, "storage.none-refused"):
        domain.create(tmp_path / "other", "test.example", storage="none")
    assert not (tmp_path / "other").exists()
    with refused(MissingPartError, "storage.none-refused"):
        Unsealed().create(tmp_path / "sealed", KEY)


def test_an_unknown_provider_is_an_error(tmp_path: Path) -> None:
    with refused(MissingPartError, "storage.unknown"):
        provider("plain")


def test_a_provider_that_is_not_installed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with refused(MissingPartError, "storage.not-installed"):
        Gocryptfs().create(tmp_path / "sealed", KEY)


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "sealed"
    Gocryptfs().create(folder, KEY)
    with Gocryptfs().opened(folder, KEY, tmp_path / "mounts") as plain:
        (plain / "table").mkdir()
        (plain / "table" / "part-0").write_bytes(b"resident 220104199001011234" * 100)
    return folder


def mounted(folder: Path) -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]


class TestGocryptfs:
    pytestmark = needs_gocryptfs

    def test_what_was_written_is_read_again(self, sealed: Path, tmp_path: Path) -> None:
        with Gocryptfs().opened(sealed, KEY, tmp_path / "mounts") as plain:
            assert (plain / "table" / "part-0").read_bytes().startswith(b"resident")

    def test_neither_names_nor_content_lie_in_clear(self, sealed: Path) -> None:
        for path in sealed.rglob("*"):
            assert "part-0" not in path.name
            assert "table" not in path.name
            assert path.is_dir() or b"resident" not in path.read_bytes()

    def test_another_key_opens_nothing_and_leaves_no_mount(self, sealed: Path, tmp_path: Path) -> None:
        with (
            refused(MissingPartError, "storage.failed"),
            Gocryptfs().opened(sealed, OTHER, tmp_path / "mounts"),
        ):
            pytest.fail("opened with another key")
        assert mounted(tmp_path) == []

    def test_nothing_stays_open_when_the_block_fails(self, sealed: Path, tmp_path: Path) -> None:
        def fail() -> None:
            with Gocryptfs().opened(sealed, KEY, tmp_path / "mounts") as plain:
                assert mounted(plain)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        assert mounted(tmp_path) == []
        assert [path for path in (tmp_path / "mounts").iterdir() if path.is_dir()] == []

    def test_a_reader_that_stays_does_not_keep_the_folder_open(self, sealed: Path, tmp_path: Path) -> None:
        with Gocryptfs().opened(sealed, KEY, tmp_path / "mounts") as plain:
            held = (plain / "table" / "part-0").open("rb")
        assert mounted(tmp_path) == []
        held.close()

    def test_a_mount_is_swept_only_when_its_owner_is_dead(self, sealed: Path, tmp_path: Path) -> None:
        mounts = tmp_path / "mounts"
        with Gocryptfs().opened(sealed, KEY, mounts) as plain:
            assert sweep(mounts) == 0
            assert (plain / "table").is_dir()
        point = mounts / "mnt-0123456789abcdef"
        point.mkdir()
        (mounts / f"{point.name}.lock").touch()
        subprocess.run(
            ["gocryptfs", "-q", "-nosyslog", str(sealed), str(point)], input=KEY.hex().encode() + b"\n", check=True
        )
        assert mounted(point)
        assert sweep(mounts) == 1
        assert mounted(tmp_path) == []
        assert list(mounts.iterdir()) == []
        assert sweep(mounts) == 0

    def test_the_mount_point_is_out_of_reach_of_others(self, sealed: Path, tmp_path: Path) -> None:
        mounts = tmp_path / "mounts"
        tmp_path.chmod(0o755)
        with Gocryptfs().opened(sealed, KEY, mounts) as plain:
            look = ["setpriv", "--reuid=200000", "--clear-groups", "ls", str(plain)]
            assert subprocess.run(look, capture_output=True, check=False).returncode != 0

    def test_a_backup_opens_nothing_after_the_end(self, world_at: WorldAt, tmp_path: Path) -> None:
        """Law 10: with the sealed folder and the whole home but its keys, taken while everything was open to the tenant."""
        world = sealed_world(world_at)
        with world.domain.read() as connection:
            found = grants.get_grant(connection, world.ids["grant"])
        grants.ensure_key(world.domain, found)
        with grants.zone_opened(world.domain, found, Zone.INPUT) as plain:
            (plain / "rows").write_text("resident 220104199001011234")
        backup = tmp_path / "backup"
        shutil.copytree(world.domain.home, backup, ignore=shutil.ignore_patterns("keys"))
        ending.end_agreement(world.domain, world.session("officer"), world.ids["agreement"], "over")
        for path in backup.rglob("*"):
            assert path.is_dir() or b"220104199001011234" not in path.read_bytes()
        # Whoever restores the backup beside the keys that are left still has no key for it.
        shutil.copytree(backup / "sealed", world.domain.home / "sealed", dirs_exist_ok=True)
        with refused(MissingPartError, "key.missing"), grants.zone_opened(world.domain, found, Zone.INPUT):
            pytest.fail("opened after the end")
        for key in world.domain.keys.folder.rglob("*.*"):
            password = key.read_bytes()[:32].ljust(32, b"\0")
            with (
                refused(MissingPartError, "storage.failed"),
                Gocryptfs().opened(backup / "sealed" / found.id / "input", password, tmp_path / "mounts"),
            ):
                pytest.fail("opened with a key that is left")


def sealed_world(world_at: WorldAt) -> World:
    """A world at a grant whose folders are sealed for real."""
    world = world_at(Stage.GRANTED)
    settings = world.domain.home / "domain.toml"
    settings.write_text(settings.read_text().replace('storage = "none"', 'storage = "gocryptfs"'))
    world.domain = domain.open_domain(world.domain.home, clock=world.hands)
    assert isinstance(world.domain.storage, Gocryptfs)
    return world


def test_sweeping_an_empty_or_missing_folder_does_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path / "missing") == 0
    assert sweep(tmp_path) == 0


def test_a_live_lock_is_left_alone(tmp_path: Path) -> None:
    lock = tmp_path / "mnt-1.lock"
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert sweep(tmp_path) == 0
        assert lock.exists()
    assert sweep(tmp_path) == 1
    assert not lock.exists()


def test_closing_what_is_not_mounted_removes_the_point(tmp_path: Path) -> None:
    point = tmp_path / "mnt-1"
    point.mkdir()
    close_mount(point)
    close_mount(point)
    assert not point.exists()


@pytest.mark.parametrize("key", [b"", b"short", b"k" * 33])
def test_a_key_has_32_bytes(tmp_path: Path, key: bytes, unit_storage: None) -> None:
    with refused(MissingPartError, "storage.failed"):
        Unsealed().create(tmp_path / "sealed", key)


def test_every_provider_answers_to_its_name(unit_storage: None) -> None:
    told = {"external": {"folder": "/x", "cipher": "SM4", "attested_by": "officer", "destroy": ["/bin/true"]}}
    assert [provider(name, told).name for name in storage.NAMES] == list(storage.NAMES)
