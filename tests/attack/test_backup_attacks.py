"""Attacks on backups: what is changed is noticed and leaves nothing, what has ended does not come back (laws 7 and 10)."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lineage.canonical import decode, encode
from lineage.errors import GateRefusedError, MissingPartError, ShuzhaError
from lineage.kinds import Kind
from lineage.note import Signer
from sandbox import backup, grants
from sandbox.access import authenticate
from sandbox.backup_age import Recipient, encrypting
from sandbox.backup_checking import check
from sandbox.backup_files import unpack
from sandbox.backup_manifest import File, statement
from sandbox.backup_restore import Sources, restore
from sandbox.backup_vault import Vault, destroyed_names
from sandbox.ending import end_agreement
from sandbox.parties import get_organisation
from sandbox.states import GrantState, OrganisationState
from tests.backups import FIRST, Place, RecoveryKey, new_recovery_key, verified, with_tables
from tests.factories import Stage, World
from tests.fixtures_domain import WorldAt, quick_folder
from tests.worlds import refused


@pytest.fixture(scope="module")
def recovery_key() -> RecoveryKey:
    return new_recovery_key()


@pytest.fixture
def place(world_at: WorldAt, recovery_key: RecoveryKey) -> Iterator[Place]:
    world = with_tables(world_at(Stage.PROVISIONED))
    backup.set_recovery_key(world.domain, world.session("officer"), recovery_key.public)
    with quick_folder() as beside:
        made = Place(world, recovery_key, beside)
        made.make()
        yield made


def _flip(path: Path, at: int = -40) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def _edit(place: Place, **changed: object) -> None:
    path = place.folder / "manifest.json"
    told = decode(path.read_bytes())
    assert isinstance(told, dict)
    path.write_bytes(encode({**told, **changed}))  # type: ignore[dict-item]


def _swap(one: Path, other: Path) -> None:
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def _sign_as_another(place: Place) -> None:
    data = (place.folder / "manifest.json").read_bytes()
    signer = Signer.generate(f"{place.world.domain.name}/log")
    (place.folder / "manifest.sig").write_text(signer.sign(statement(data)))


def _plant(place: Place) -> None:
    """Whoever knows the public recovery key can encrypt anything to it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo("../../planted")
        tar.addfile(info, io.BytesIO())
    path = place.folder / "part-0001.age"
    path.unlink()
    with encrypting(path, Recipient(place.key.public)) as stream:
        stream.write(archive.getvalue())


def _part(number: int) -> Callable[[Place], Path]:
    return lambda place: place.folder / f"part-{number:04}.age"


DAMAGE: dict[str, tuple[Callable[[Place], object], str]] = {
    "a bit of a part": (lambda p: _flip(_part(1)(p)), "backup.damaged"),
    "a bit of the index": (lambda p: _flip(p.folder / "index.age"), "backup.damaged"),
    "a part cut short": (lambda p: os.truncate(_part(2)(p), 200), "backup.damaged"),
    "a part emptied": (lambda p: os.truncate(_part(2)(p), 0), "backup.damaged"),
    "a part taken away": (lambda p: _part(3)(p).unlink(), "backup.damaged"),
    "two parts swapped": (lambda p: _swap(_part(1)(p), _part(2)(p)), "backup.damaged"),
    "a part planted": (_plant, "backup.damaged"),
    "an older moment claimed": (lambda p: _edit(p, made="2020-01-01T00:00:00Z"), "backup.bad-signature"),
    "a part left off the list": (
        lambda p: _edit(p, parts=[{"bytes": 1, "name": "index.age", "sha256": "0"}]),
        "backup.bad-signature",
    ),
    "a part outside the folder": (
        lambda p: _edit(p, parts=[{"bytes": 1, "name": "../index.age", "sha256": "0"}]),
        "backup.damaged",
    ),
    "another domain's name": (lambda p: _edit(p, domain="other.example"), "backup.foreign"),
    "a key of the same name": (_sign_as_another, "backup.bad-signature"),
    "no signature": (lambda p: (p.folder / "manifest.sig").unlink(), "backup.bad-signature"),
    "a signature that is no text": (
        lambda p: (p.folder / "manifest.sig").write_bytes(b"\xff\xfe"),
        "backup.bad-signature",
    ),
    "a manifest that is no manifest": (lambda p: (p.folder / "manifest.json").write_bytes(b"[]"), "backup.damaged"),
    "a key copy changed": (lambda p: _flip(next((p.keys / "copies").iterdir())), "backup.does-not-open"),
    "a key copy taken away": (lambda p: next((p.keys / "copies").iterdir()).unlink(), "backup.keys-damaged"),
    "two key copies swapped": (lambda p: _swap(*sorted((p.keys / "copies").iterdir())[:2]), "backup.keys-damaged"),
    "the key copies' index changed": (lambda p: _flip(p.keys / "index.note", 60), "backup.keys-damaged"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_changed_is_noticed_and_leaves_nothing(name: str, place: Place) -> None:
    harm, code = DAMAGE[name]
    harm(place)
    with pytest.raises(ShuzhaError) as caught:
        place.back()
    assert caught.value.code == code
    assert not place.new.exists()
    assert {path.name for path in place.beside.iterdir()} == {"copy", "keys"}


@pytest.mark.parametrize("name", ["a bit of a part", "a part cut short", "a part taken away", "two parts swapped"])
def test_a_check_names_the_part(name: str, place: Place) -> None:
    DAMAGE[name][0](place)
    found = check(place.folder, place.world.domain.log.signer.verifier, identity=place.key.identity)
    assert not found.whole
    assert all(one.startswith("part-") for one in found.damaged)


def test_the_innocent_twin_a_note_beside_the_parts_hurts_nothing(place: Place) -> None:
    (place.folder / "README").write_text("kept in the safe")
    found = check(place.folder, place.world.domain.log.signer.verifier, identity=place.key.identity)
    assert found.whole
    assert found.unknown == ("README",)
    place.back()
    assert verified(place.opened()).holds


def test_another_recovery_key_opens_nothing(place: Place) -> None:
    with refused(GateRefusedError, "backup.wrong-recovery-key"):
        place.back(identity=new_recovery_key().identity)
    assert not place.new.exists()


def test_key_copies_of_another_domain_do_not_fit(place: Place, world_at: WorldAt, tmp_path: Path) -> None:
    other = with_tables(world_at(Stage.PROVISIONED))
    settings = other.domain.home / "domain.toml"
    assert settings.exists()
    with refused(GateRefusedError, "backup.other-keys"):
        backup.set_recovery_key(other.domain, other.session("officer"), place.key.public)
        backup.create(other.domain, other.session("keeper"), tmp_path / "copy", keys=tmp_path / "keys")
        restore(Sources(place.folder, tmp_path / "keys", place.key.identity), place.new, first=FIRST)


def test_a_public_key_that_somebody_kept_decides(place: Place) -> None:
    """Backup and key copies that agree with each other, and were both made by somebody else."""
    kept = Signer.generate(f"{place.world.domain.name}/log").verifier
    with refused(GateRefusedError, "backup.foreign"):
        restore(Sources(place.folder, place.keys, place.key.identity, verifier=kept), place.new, first=FIRST)
    with refused(GateRefusedError, "backup.bad-signature"):
        check(place.folder, kept)


def _archive(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    stream.seek(0)
    return stream


def _link(name: str, to: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, to
    return info


_DATA = b"innocent"


def _file(name: str) -> File:
    return File("p", name, len(_DATA), hashlib.sha256(_DATA).hexdigest(), 0o600, os.geteuid(), os.getegid(), 0)


ARCHIVES: dict[str, tuple[list[tuple[tarfile.TarInfo, bytes]], list[str]]] = {
    "a way out": ([(tarfile.TarInfo("../out"), _DATA), (tarfile.TarInfo("a"), _DATA)], ["../out"]),
    "an absolute name": ([(tarfile.TarInfo("/etc/out"), _DATA), (tarfile.TarInfo("a"), _DATA)], ["/etc/out"]),
    "a link in a file's place": ([(_link("a", "/etc/passwd"), b"")], ["a"]),
    "a file that nobody named": ([(tarfile.TarInfo("a"), _DATA), (tarfile.TarInfo("b"), _DATA)], ["b"]),
    "the same file twice": ([(tarfile.TarInfo("a"), _DATA), (tarfile.TarInfo("a"), b"other")], ["a"]),
    "other bytes": ([(tarfile.TarInfo("a"), b"innocenT")], ["a"]),
    "fewer bytes": ([(tarfile.TarInfo("a"), b"inno")], ["a"]),
    "nothing": ([], ["a"]),
    "the innocent twin": ([(tarfile.TarInfo("a"), _DATA)], []),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_held_to_the_index(name: str, tmp_path: Path) -> None:
    members, bad = ARCHIVES[name]
    root = tmp_path / "root"
    root.mkdir()
    assert unpack(_archive(*members), [_file("a")], root) == bad
    assert {path.name for path in tmp_path.rglob("*")} <= {"root", "a"}
    assert not (root / "a").is_symlink()


@pytest.mark.parametrize("path", ["/etc/passwd", "../out", "a/../../out", "a//b", "", "."])
def test_an_index_cannot_name_a_way_out(path: str) -> None:
    with pytest.raises(ValueError, match="not a file"):
        _file(path)


def end(world: World) -> None:
    end_agreement(world.domain, world.session("officer"), world.ids["agreement"], "over")


def test_what_ended_after_the_backup_does_not_come_back(place: Place) -> None:
    end(place.world)
    tenant, grant = place.world.ids["medica"], place.world.ids["grant"]
    restored = place.back()
    assert set(restored.ended) == {tenant, grant}
    domain = place.opened()
    with domain.read() as connection:
        given = grants.get_grant(connection, grant)
        assert given.state is GrantState.ENDED
        assert get_organisation(connection, tenant).state is OrganisationState.ENDED
    for zone in grants.Zone:
        with pytest.raises(MissingPartError), grants.zone_opened(domain, given, zone):
            pass
    assert not (place.new / "sealed" / grant).exists()
    kinds = World(domain, place.world.hands).kinds()
    assert kinds.index(Kind.DOMAIN_RESTORED) < kinds.index(Kind.AGREEMENT_ENDED) < kinds.index(Kind.KEY_DESTROYED)
    assert verified(domain).holds


def test_with_every_backup_and_the_recovery_key_an_ended_tenants_keys_are_nowhere(place: Place) -> None:
    """The end was recorded; now everything that is left anywhere is opened, and none of it is a key of the tenant's."""
    end(place.world)
    vault = Vault(place.keys)
    index = vault.index(place.world.domain.log.signer.verifier)
    names = {place.world.ids["medica"], place.world.ids["grant"]}
    assert not [place for place in index.files if any(name in place for name in names)]
    assert {path.name for path in vault.copies.iterdir()} == {one.file for one in index.files.values()}
    restored = place.back()
    assert restored.tokens
    left = [path.name for folder in ("keys", "ends") for path in (place.new / folder).rglob("*")]
    assert not [name for name in left if any(one in name for one in names)]


def test_the_record_of_a_destruction_names_the_backups_it_reached(place: Place) -> None:
    end(place.world)
    (entry,) = [one for one in place.world.log() if one.kind is Kind.KEY_DESTROYED]
    (told,) = entry.payload["copies"]
    assert told["reached"]
    assert told["place"] == str(place.keys)
    assert len(told["backups"]) == 1
    assert set(told["destroyed"]) == set(entry.payload["keys"])
    with place.world.domain.read() as connection:
        gone = destroyed_names(connection)
    verifier = place.world.domain.log.signer.verifier
    assert check(place.folder, verifier, keys=(place.keys, gone)).whole


def test_key_copies_out_of_reach_are_named_and_destroyed_when_they_come_back(place: Place) -> None:
    away = place.beside / "away"
    place.keys.rename(away)
    end(place.world)
    (entry,) = [one for one in place.world.log() if one.kind is Kind.KEY_DESTROYED]
    (told,) = entry.payload["copies"]
    assert (told["reached"], told["destroyed"]) == (False, [])
    away.rename(place.keys)
    with place.world.domain.read() as connection:
        gone = destroyed_names(connection)
    verifier = place.world.domain.log.signer.verifier
    found = check(place.folder, verifier, keys=(place.keys, gone))
    assert found.owed
    assert not found.whole
    place.make(place.beside / "second")
    assert check(place.folder, verifier, keys=(place.keys, gone)).whole
    assert place.world.ids["medica"] in place.back().ended


def test_a_secret_copy_of_the_key_copies_is_out_of_reach_as_the_manual_says(place: Place, tmp_path: Path) -> None:
    """The limit of every destruction: a copy made before it, with the recovery key, still opens. Changing the recovery key ends it."""
    shutil.copytree(place.keys, tmp_path / "secret")
    end(place.world)
    sources = Sources(place.folder, tmp_path / "secret", place.key.identity)
    assert restore(sources, place.new, first=FIRST, clock=place.world.hands).ended == ()


def test_a_revoked_token_does_not_come_back_to_life(place: Place) -> None:
    secret = place.world.tokens["processor"]
    assert authenticate(place.world.domain, secret).login == "processor"
    place.back()
    with pytest.raises(ShuzhaError) as caught:
        authenticate(place.opened(), secret)
    assert caught.value.code == "token.revoked"


def test_a_log_that_was_set_back_does_not_fit_a_checkpoint_kept_elsewhere(place: Place) -> None:
    newest = (place.world.domain.home / "checkpoint").read_text()
    place.back()
    domain = place.opened()
    assert verified(domain).holds
    problems = verified(domain, newest).problems
    assert {one.code for one in problems} <= {"log.tail-missing", "log.forked"}
    assert problems


def test_an_end_after_a_restore_reaches_key_copies_that_were_brought_from_elsewhere(place: Place) -> None:
    moved = place.beside / "moved"
    place.keys.rename(moved)
    sources = Sources(place.folder, moved, place.key.identity)
    restored = restore(sources, place.new, first=FIRST, clock=place.world.hands)
    domain = place.opened()
    end_agreement(domain, authenticate(domain, restored.tokens["officer"]), place.world.ids["agreement"], "over")
    (entry,) = [one for one in World(domain, place.world.hands).log() if one.kind is Kind.KEY_DESTROYED]
    assert {one["place"]: one["reached"] for one in entry.payload["copies"]} == {
        str(place.keys): False,
        str(moved): True,
    }
    index = Vault(moved).index(domain.log.signer.verifier)
    assert not [name for name in index.files if place.world.ids["medica"] in name]
