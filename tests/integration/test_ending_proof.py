"""Ending is real (law 10, D11, A9, C28): a copy of everything is made first, then the agreement ends, and the copy gives nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lineage.errors import MissingPartError, NotPermittedError
from lineage.kinds import Kind
from lineage.log import Entry
from sandbox import domain, ending, grants, housekeeping, keys_files
from sandbox.domain import Domain
from sandbox.grants import Grant, Zone
from sandbox.keys import KeyStore
from sandbox.storage import Gocryptfs, serving
from tests.factories import Stage, World, add_grant, add_scenario, refused
from tests.fixtures_domain import WorldAt


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount for others"),
    pytest.mark.skipif(shutil.which("gocryptfs") is None, reason="gocryptfs is not installed"),
]

ROW = b"resident 220104199001011234"


@dataclass
class Sealed:
    """A world whose tenant's rows lie sealed for real, on a disk of its own, with the end keys on another."""

    world: World
    found: Grant
    disk: Path
    image: Path
    ends: Path

    @property
    def domain(self) -> Domain:
        return self.world.domain

    def end(self) -> Entry:
        return ending.end_agreement(self.domain, self.world.session("officer"), self.world.ids["agreement"], "over")


@pytest.fixture
def sealed(world_at: WorldAt, tmp_path: Path) -> Iterator[Sealed]:
    image, disk = tmp_path / "disk.img", tmp_path / "disk"
    image.touch()
    os.truncate(image, 128 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    disk.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=True)
    try:
        yield _fill(world_at(Stage.GRANTED).copy(disk / "home"), image, disk, tmp_path / "ends")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _fill(world: World, image: Path, disk: Path, ends: Path) -> Sealed:
    settings = world.domain.home / "domain.toml"
    shutil.copytree(world.domain.home / "ends", ends)
    keys_files.destroy_folder(world.domain.home / "ends")
    text = settings.read_text().replace('storage = "none"', 'storage = "gocryptfs"')
    settings.write_text(f'{text}ends = "{ends}"\n')
    world.domain = domain.open_domain(world.domain.home, clock=world.hands)
    with world.domain.read() as connection:
        found = grants.get_grant(connection, world.ids["grant"])
    grants.ensure_key(world.domain, found)
    for zone in Zone:
        with grants.zone_opened(world.domain, found, zone) as plain:
            (plain / "rows").write_bytes(ROW * 500)
    held = world.domain.held(found.tenant)
    held.mkdir(parents=True)
    return Sealed(world, found, disk, image, ends)


def copy_of_everything(sealed: Sealed, into: Path) -> Domain:
    """The whole home folder with its keys, and the disk below it, block by block."""
    shutil.copytree(sealed.domain.home, into / "home", symlinks=True)
    subprocess.run(["sync", "-f", str(sealed.disk)], check=True)
    shutil.copyfile(sealed.image, into / "disk.img")
    return opened_copy(sealed, into / "home", sealed.ends)


def opened_copy(sealed: Sealed, home: Path, ends: Path) -> Domain:
    settings = home / "domain.toml"
    text = settings.read_text().replace(str(sealed.domain.home), str(home)).replace(str(sealed.ends), str(ends))
    settings.write_text(text)
    return domain.open_domain(home, clock=sealed.world.hands)


def read(opened: Domain, found: Grant, zone: Zone) -> bytes:
    with grants.zone_opened(opened, found, zone) as plain:
        return (plain / "rows").read_bytes()


def every_key(store: KeyStore) -> set[bytes]:
    """Whatever 32 bytes can be cut from the files of a key folder: what a thief would try."""
    found = set()
    for path in store.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found |= {data[:32].ljust(32, b"\0"), data[-32:].rjust(32, b"\0"), data.rpartition(b"\n")[2][12:44]}
    return {key for key in found if len(key) == 32}


def test_a_copy_of_everything_gives_nothing_after_the_end(sealed: Sealed, tmp_path: Path) -> None:
    copied = copy_of_everything(sealed, tmp_path / "copy")
    for zone in Zone:
        assert read(copied, sealed.found, zone) == ROW * 500  # the control: until the end, it does
    sealed.end()
    for zone in Zone:
        with refused(MissingPartError, "key.missing"):
            read(copied, sealed.found, zone)
        with refused(MissingPartError, "key.missing"):
            read(sealed.domain, sealed.found, zone)
    with refused(MissingPartError, "key.missing"):
        copied.keys.tenant_key(sealed.found.tenant)
    tried = every_key(copied.keys)
    assert len(tried) > 10
    for key in tried:
        with (
            refused(MissingPartError, "storage.failed"),
            Gocryptfs().opened(copied.sealed(sealed.found.id, Zone.INPUT), key, tmp_path / "mounts"),
        ):
            pytest.fail("opened with what the copy holds")
    assert ROW[9:] not in (tmp_path / "copy" / "disk.img").read_bytes()


def test_a_copied_key_folder_put_back_into_the_live_domain_gives_nothing(sealed: Sealed, tmp_path: Path) -> None:
    shutil.copytree(sealed.domain.home, tmp_path / "copy", symlinks=True)
    sealed.end()
    for name in ("keys", "sealed"):
        shutil.rmtree(sealed.domain.home / name)
        shutil.copytree(tmp_path / "copy" / name, sealed.domain.home / name)
    with refused(MissingPartError, "key.missing"):
        read(domain.open_domain(sealed.domain.home, clock=sealed.world.hands), sealed.found, Zone.INPUT)


def test_who_copied_the_end_keys_too_keeps_the_data(sealed: Sealed, tmp_path: Path) -> None:
    """Said plainly in docs/keys.md: with keys in files, the place of the end keys is all that stands between a copy and the data."""
    copied = copy_of_everything(sealed, tmp_path / "copy")
    shutil.copytree(sealed.ends, tmp_path / "copied-ends")
    sealed.end()
    told = opened_copy(sealed, copied.home, tmp_path / "copied-ends")
    assert read(told, sealed.found, Zone.INPUT) == ROW * 500


def test_the_disk_of_the_live_domain_holds_no_row_and_no_key(sealed: Sealed) -> None:
    ends = {path.stem: path.read_bytes() for path in sealed.ends.iterdir()}
    sealed.end()
    subprocess.run(["sync", "-f", str(sealed.disk)], check=True)
    image = sealed.image.read_bytes()
    assert ROW[9:] not in image
    assert not any(key in image for key in ends.values())
    gone = set(ends) - {path.stem for path in sealed.ends.iterdir()}
    assert gone == {f"end-{sealed.found.id}", f"end-{sealed.found.tenant}"}


def test_the_record_says_what_was_destroyed_and_what_was_tried(sealed: Sealed) -> None:
    entry = sealed.end()
    tenant, grant = sealed.found.tenant, sealed.found.id
    assert entry.kind is Kind.KEY_DESTROYED
    assert set(entry.payload["keys"]) == {f"grant:{grant}", f"tenant:{tenant}"}
    assert entry.payload["tried"]["opened"] == [f"{grant}/{zone}: key.missing" for zone in Zone]
    assert entry.payload["key_service"] == "file"
    assert entry.payload["storage"] == "gocryptfs"
    assert entry.payload["runs_gone"]
    assert not sealed.domain.held(tenant).exists()
    assert sealed.world.verified().holds
    session = sealed.world.session("officer")
    assert [one.seq for one in ending.destructions(sealed.domain, session, sealed.world.ids["agreement"])] == [
        entry.seq
    ]
    assert sealed.domain.keys.left_of(tenant) == sealed.domain.keys.left_of(grant) == ()


def test_what_the_log_says_stays_readable(sealed: Sealed) -> None:
    before = sealed.world.log()
    sealed.end()
    assert sealed.world.log()[: len(before)] == before
    assert all(entry.payload_kept for entry in sealed.world.log())


def test_a_folder_that_is_open_is_closed_at_the_end(sealed: Sealed) -> None:
    """A run that reads at this moment reads no further byte; nobody serves the folder any more."""
    with grants.zone_opened(sealed.domain, sealed.found, Zone.INPUT) as plain:
        assert len(serving(sealed.domain.home / "sealed")) == 1
        reader = os.open(plain / "rows", os.O_RDONLY)
        sealed.end()
        os.posix_fadvise(reader, 0, 0, os.POSIX_FADV_DONTNEED)
        with pytest.raises(OSError, match=r"endpoint is not connected|connection abort"):
            os.pread(reader, 4096, 0)
    assert serving(sealed.domain.home / "sealed") == []
    assert "gocryptfs" not in [
        line.split()[2] for line in Path("/proc/mounts").read_text().splitlines() if str(sealed.disk) in line
    ]


@pytest.mark.parametrize("broken", ["a key that stays", "a folder that stays"])
def test_a_destruction_that_did_not_happen_is_not_recorded(
    sealed: Sealed, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 7: what was not seen to be gone is an error, and the next try finishes it."""
    with monkeypatch.context() as patch:
        if broken == "a key that stays":
            for name in ("destroy_grant", "destroy_tenant"):
                patch.setattr(KeyStore, name, lambda *_about: True)
            code = "ending.still-opens"
        else:
            patch.setattr("sandbox.ending.destroy_sealed", lambda *_about: None)
            code = "ending.not-gone"
        with refused(MissingPartError, code):
            sealed.end()
    assert Kind.KEY_DESTROYED not in sealed.world.kinds()
    entry = sealed.end()
    assert entry.kind is Kind.KEY_DESTROYED
    assert sealed.world.kinds().count(Kind.AGREEMENT_ENDED) == 1


def test_a_grant_whose_term_is_over_ends_by_itself(sealed: Sealed) -> None:
    """Its tenant works on under another grant."""
    world = sealed.world
    world.ids["scenario:long"] = add_scenario(world, "medica", "long", days=900)
    longer = add_grant(world, "medica", "scenario:long")
    with world.domain.read() as connection:
        until = grants.get_grant(connection, sealed.found.id).until
    assert housekeeping.keep_house(world.domain) == 0
    while world.domain.now().isoformat() < until:
        world.hands.forward(days=20)
    assert housekeeping.keep_house(world.domain) >= 1
    assert not world.domain.keys.has_grant(sealed.found.id)
    destroyed = [one for one in world.log() if one.kind is Kind.KEY_DESTROYED]
    assert {one.actor.person for one in destroyed} == {"platform"}
    assert any(f"grant:{sealed.found.id}" in one.payload["keys"] for one in destroyed)
    assert not (world.domain.home / "sealed" / sealed.found.id).exists()
    assert housekeeping.keep_house(world.domain) == 0
    assert longer != sealed.found.id


def test_the_page_can_be_printed_and_read_by_its_tenant_alone(sealed: Sealed, run_shuzha: Callable[..., str]) -> None:
    entry = sealed.end()
    told = run_shuzha(sealed, "officer", "--lang", "en", "agreement", "show", sealed.world.ids["agreement"])
    for word in (f"grant:{sealed.found.id}", f"tenant:{sealed.found.tenant}", "key.missing", str(entry.seq)):
        assert word in told
    machine = json.loads(run_shuzha(sealed, "officer", "--json", "agreement", "show", sealed.world.ids["agreement"]))
    assert machine["destructions"][0]["keys"] == list(entry.payload["keys"])
    with refused(NotPermittedError, "access.not-found"):
        ending.destructions(sealed.domain, sealed.world.session("rival-processor"), sealed.world.ids["agreement"])


@pytest.fixture
def run_shuzha(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    from console.main import main

    def run(sealed: Sealed, login: str, *words: str) -> str:
        monkeypatch.setenv("SHUZHA_TOKEN", sealed.world.tokens[login])
        monkeypatch.setenv("SHUZHA_HOME", str(sealed.domain.home))
        capsys.readouterr()
        assert main([*words]) == 0
        return capsys.readouterr().out

    return run
