"""Backups of a small world: what is in them, how they come back, and what each wrong thing says."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from console.main import main
from lineage.canonical import encode
from lineage.errors import (
    DataFileError,
    DefinitionError,
    GateRefusedError,
    MissingPartError,
    NotPermittedError,
    ShuzhaError,
)
from lineage.kinds import Kind
from lineage.schema import log_entry
from sandbox import backup, backup_vault, grants
from sandbox.access import authenticate
from sandbox.backup_checking import check, read_index
from sandbox.backup_restore import Sources, restore
from sandbox.backup_staging import staged
from sandbox.backup_vault import Vault
from sandbox.domain import open_domain
from sandbox.schema import dataset_version
from sandbox.states import GrantState
from tests.backups import FIRST, Place, RecoveryKey, new_recovery_key, verified, with_tables, write_table
from tests.factories import Stage, World, add_version, submit
from tests.fixtures_domain import WorldAt, quick_folder
from tests.worlds import refused


@pytest.fixture(scope="module")
def recovery_key() -> RecoveryKey:
    return new_recovery_key()


@pytest.fixture
def beside() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


@pytest.fixture
def place(world_at: WorldAt, recovery_key: RecoveryKey, beside: Path) -> Place:
    world = with_tables(world_at(Stage.PROVISIONED))
    backup.set_recovery_key(world.domain, world.session("officer"), recovery_key.public)
    return Place(world, recovery_key, beside)


def digests(home: Path, *folders: str) -> dict[str, str]:
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in (home / folder).rglob("*")
        if path.is_file()
    }


def shape(home: Path) -> dict[str, tuple[int, int, int]]:
    """Mode, owner and time of everything that a jail's own uid may have to read."""
    return {
        str(path.relative_to(home)): (path.stat().st_mode, path.stat().st_uid, path.stat().st_mtime_ns // 1000)
        for name in ("raw", "sealed", "jobs")
        for path in (home / name).rglob("*")
        if path.name != ".lock" and not path.name.endswith(".lock")
    }


def test_a_domain_comes_back_as_it_was(place: Place) -> None:
    home = place.world.domain.home
    made = place.make()
    entries = place.world.log()[: made.manifest.position.size]
    restored = place.back()
    same = ("raw", "sealed", "jobs", "exports", "releases", "public", "ends")
    assert digests(place.new, *same) == digests(home, *same)
    assert shape(place.new) == shape(home)
    domain = place.opened()
    assert domain.public_keys == place.world.domain.public_keys
    log = World(domain, place.world.hands).log()
    assert log[: len(entries)] == entries
    assert log[len(entries)].kind is Kind.DOMAIN_RESTORED
    assert log[len(entries)].payload["backup"] == made.manifest.id == restored.manifest.id
    assert (restored.ended, restored.without_key, restored.lost) == ((), (), None)
    assert verified(domain).holds
    assert not list(place.beside.glob(".*"))


def test_the_tables_of_a_tenant_open_again(place: Place) -> None:
    place.make()
    place.back()
    domain = place.opened()
    with domain.read() as connection:
        given = grants.get_grant(connection, place.world.ids["grant"])
    for zone in grants.Zone:
        with grants.zone_opened(domain, given, zone) as folder:
            assert (folder / "secret.txt").read_text() == zone


def test_the_restored_domain_works_on_and_can_be_backed_up_again(place: Place) -> None:
    place.make()
    restored = place.back()
    world = World(place.opened(), place.world.hands, place.world.stage, dict(place.world.ids), dict(restored.tokens))
    backup.set_recovery_key(world.domain, world.session("officer"), place.key.public)
    assert world.verified().holds


def test_every_token_before_the_restore_has_ended(place: Place) -> None:
    place.make()
    restored = place.back()
    domain = place.opened()
    for secret in place.world.tokens.values():
        with pytest.raises(NotPermittedError) as caught:
            authenticate(domain, secret)
        assert caught.value.code in {"token.revoked", "organisation.not-active"}
    assert sorted(restored.tokens) == sorted(FIRST)
    assert {authenticate(domain, secret).login for secret in restored.tokens.values()} == set(FIRST)


def test_who_logs_in_first_must_be_named_where_there_are_several(place: Place) -> None:
    place.make()
    with refused(DefinitionError, "backup.who-first"):
        restore(Sources(place.folder, place.keys, place.key.identity), place.new)
    assert not place.new.exists()


def test_nothing_of_the_domain_lies_in_the_clear(place: Place) -> None:
    made = place.make()
    index = read_index(place.folder, place.key.identity)
    kept = {one.path.partition("/")[0] for one in index.files}
    assert not kept & {"keys", "ends", "run", "tokens"}
    assert {"raw", "sealed", "domain.toml", "domain.db"} <= kept
    for part in made.manifest.parts:
        assert (place.folder / part.name).read_bytes().startswith(b"age-encryption.org/v1\n")
    told = (place.folder / "manifest.json").read_text() + (place.folder / "manifest.sig").read_text()
    for name in (place.world.ids["medica"], place.world.ids["grant"], "health", "police", "clinic"):
        assert name not in told
    private = place.key.identity.text.decode().split()[-1]
    assert not any(
        private.encode() in path.read_bytes() for path in place.world.domain.home.rglob("*") if path.is_file()
    )


def test_the_key_copies_alone_and_the_backup_alone_open_nothing(place: Place, beside: Path) -> None:
    place.make()
    assert all(path.read_bytes().startswith(b"age-encryption.org/v1\n") for path in (place.keys / "copies").iterdir())
    empty = beside / "empty"
    empty.mkdir()
    with refused(MissingPartError, "backup.keys-missing"):
        restore(Sources(place.folder, empty, place.key.identity), place.new, first=FIRST)


def test_only_what_the_database_names_is_taken_of_raw(place: Place) -> None:
    """A running import has written files, and the beginning of a commit that nobody has entered yet."""
    world = place.world
    write_table(world, "health.visits")
    with world.domain.read() as connection:
        dataset = (
            connection.execute(select(dataset_version.c.dataset).order_by(dataset_version.c.dataset)).scalars().first()
        )
    table = world.domain.raw(str(dataset)) / "table"
    (table / "_delta_log" / f"{7:020}.json").write_text('{"add": {"pa')
    (table / "part-half.parquet").write_bytes(b"half")
    place.make()
    place.back()
    for path in (place.new / "raw").glob("*/table/_delta_log/*.json"):
        assert int(path.stem) == 0
    assert not list(place.new.glob("raw/*/table/part-half.parquet"))
    assert digests(place.new, "raw").keys() < digests(world.domain.home, "raw").keys()


def test_a_version_whose_files_are_gone_is_no_backup(place: Place) -> None:
    gone = next(place.world.domain.home.glob("raw/*/table/*.parquet"))
    gone.unlink()
    with refused(MissingPartError, "backup.file-missing"):
        place.make()
    assert not place.folder.exists()


def test_a_sealed_folder_that_is_gone_is_no_backup(place: Place) -> None:
    shutil.rmtree(place.world.domain.sealed(place.world.ids["grant"], "view"))
    with refused(MissingPartError, "backup.file-missing"):
        place.make()


def test_a_key_that_does_not_open_is_no_backup(place: Place) -> None:
    end = next(place.world.domain.home.glob(f"ends/*{place.world.ids['grant']}*"))
    end.write_bytes(os.urandom(32))
    with refused(MissingPartError, "key.does-not-open"):
        place.make()
    assert not list((place.keys / "copies").iterdir())


def test_a_broken_log_is_no_backup(place: Place) -> None:
    with place.world.domain.database.write() as connection:
        connection.execute(log_entry.update().where(log_entry.c.seq == 3).values(header=b"{}"))
    with refused(GateRefusedError, "backup.log-broken"):
        place.make()
    assert not place.folder.exists()


def test_a_backup_that_cannot_be_logged_is_not_there(place: Place) -> None:
    place.make()
    checkpoint = place.world.domain.home / "checkpoint"
    checkpoint.unlink()
    again = place.beside / "again"
    with refused(MissingPartError, "log.no-checkpoint-file"):
        place.make(again)
    assert not again.exists()
    assert not list(place.beside.glob(".*"))
    assert not list((place.world.domain.home / "run").glob(".backup.*"))


def test_without_a_recovery_key_there_is_no_backup(world_at: WorldAt, beside: Path) -> None:
    world = world_at(Stage.PARTIES)
    with refused(MissingPartError, "backup.no-recipient"):
        backup.create(world.domain, world.session("keeper"), beside / "copy")


@pytest.mark.parametrize("text", ["", "age1", "AGE-SECRET-KEY-1", "ssh-ed25519 AAAA", "-i /etc/passwd"])
def test_only_a_public_recovery_key_is_taken(text: str, world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    with refused(DefinitionError, "backup.bad-recovery-key"):
        backup.set_recovery_key(world.domain, world.session("officer"), text)


def test_a_mistyped_recovery_key_is_noticed_by_its_checksum(recovery_key: RecoveryKey, world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    last = "q" if recovery_key.public[-1] != "q" else "p"
    with refused(DefinitionError, "backup.bad-recovery-key"):
        backup.set_recovery_key(world.domain, world.session("officer"), recovery_key.public[:-1] + last)


def test_a_new_recovery_key_renews_every_key_copy(place: Place, beside: Path) -> None:
    place.make()
    old = {path.name for path in (place.keys / "copies").iterdir()}
    other = new_recovery_key()
    backup.set_recovery_key(place.world.domain, place.world.session("officer"), other.public)
    place.make(beside / "second")
    assert not old & {path.name for path in (place.keys / "copies").iterdir()}
    sources = Sources(beside / "second", place.keys, other.identity)
    restore(sources, place.new, first=FIRST, clock=place.world.hands)
    assert verified(place.opened()).holds


def test_key_copies_that_did_not_change_stay_as_they_are(place: Place, beside: Path) -> None:
    place.make()
    before = digests(place.keys, "copies")
    place.make(beside / "second")
    assert digests(place.keys, "copies") == before


def test_a_crash_while_keys_are_copied_leaves_them_whole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make()
    backup.set_recovery_key(place.world.domain, place.world.session("officer"), new_recovery_key().public)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(backup_vault.Vault, "write", crash)
        with pytest.raises(KeyboardInterrupt):
            place.make(place.beside / "second")
    place.back()
    assert verified(place.opened()).holds


PLACES: tuple[tuple[Callable[[Place], tuple[Path, Path]], type[ShuzhaError], str], ...] = (
    (lambda p: (p.world.domain.home / "copy", p.keys), DefinitionError, "backup.places-not-apart"),
    (lambda p: (p.folder, p.world.domain.home / "keys2"), DefinitionError, "backup.places-not-apart"),
    (lambda p: (p.folder, p.folder / "keys"), DefinitionError, "backup.places-not-apart"),
    (lambda p: (p.keys / "copy", p.keys), DefinitionError, "backup.places-not-apart"),
    (lambda p: (p.beside / "no" / "copy", p.keys), MissingPartError, "backup.no-place"),
    (lambda p: (p.folder, p.beside / "no" / "keys"), MissingPartError, "backup.no-place"),
    (lambda p: (p.world.domain.home, p.keys), DefinitionError, "backup.target-not-empty"),
    (lambda p: (p.folder, p.world.domain.home.parent), DefinitionError, "backup.keys-not-empty"),
)


@pytest.mark.parametrize(("where", "kind", "code"), PLACES)
def test_a_backup_goes_where_it_is_apart(
    where: Callable[[Place], tuple[Path, Path]], kind: type[ShuzhaError], code: str, place: Place
) -> None:
    folder, keys = where(place)
    with refused(kind, code):
        backup.create(place.world.domain, place.world.session("keeper"), folder, keys=keys)


def test_a_restore_overwrites_nothing(place: Place) -> None:
    place.make()
    place.new.mkdir()
    (place.new / "kept").write_text("kept")
    with refused(DefinitionError, "backup.home-not-empty"):
        place.back()
    assert (place.new / "kept").read_text() == "kept"


def test_an_empty_folder_may_stand_there_already(place: Place) -> None:
    place.folder.mkdir()
    place.new.mkdir()
    place.make()
    place.back()
    assert verified(place.opened()).holds


def test_sealed_folders_may_be_left_out(place: Place) -> None:
    made = backup.create(place.world.domain, place.world.session("keeper"), place.folder, keys=place.keys, sealed=False)
    assert not made.manifest.sealed
    assert made.left_out == 1
    place.back()
    assert not (place.new / "sealed").exists()


def test_of_what_runs_left_only_the_sealed_is_taken_and_the_rest_is_said(place: Place) -> None:
    held = place.world.domain.held(place.world.ids["medica"])
    for name in ("R-1.log", "R-2.log"):
        (held / name).mkdir(parents=True)
        (held / name / "content").write_text(name)
    (held / "R-1.log" / "gocryptfs.conf").touch()
    assert place.make().left_out == 1
    left = read_index(place.folder, place.key.identity).left_out
    assert left == {f"held/{place.world.ids['medica']}/R-2.log": "in the clear"}
    place.back()
    back = place.opened().held(place.world.ids["medica"])
    assert {path.name for path in back.iterdir()} == {"R-1.log"}
    assert (back / "R-1.log" / "content").read_text() == "R-1.log"


def test_what_is_no_file_is_passed_over_and_said(place: Place) -> None:
    os.mkfifo(place.world.domain.home / "jobs" / "pipe")
    (place.world.domain.home / "jobs" / "link").symlink_to("/etc/passwd")
    assert place.make().left_out == 2
    place.back()
    assert not (place.new / "jobs" / "link").is_symlink()


def test_a_loss_is_told_by_a_later_checkpoint(place: Place) -> None:
    place.make()
    submit(place.world, "processor", "scenario")
    newest = (place.world.domain.home / "checkpoint").read_text()
    restored = place.back(newest=newest)
    assert restored.lost == 2, "the backup's own entry, and the job"
    domain = place.opened()
    assert verified(domain).holds
    with domain.read() as connection:
        (entry,) = backup_vault.about_backups(connection, Kind.DOMAIN_RESTORED)
    assert entry.payload["lost"] == 2
    assert not verified(domain, newest).holds, "whoever kept the later checkpoint sees that the log was set back"


def test_work_goes_on_while_a_backup_is_made(place: Place) -> None:
    """Versions and entries come in all the time; whatever moment was caught, its files are there and its log holds."""
    world, stop, made = place.world, threading.Event(), []

    def import_on() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            write_table(world, "health.visits")
            add_version(world, "health.visits", number)
            made.append(number)

    worker = threading.Thread(target=import_on)
    worker.start()
    try:
        caught = [place.make(place.beside / f"copy-{number}") for number in range(3)]
    finally:
        stop.set()
        worker.join()
    assert made
    for number, one in enumerate(caught):
        home = place.beside / f"new-{number}"
        restore(Sources(one.folder, place.keys, place.key.identity), home, first=FIRST, clock=world.hands)
        domain = open_domain(home, clock=world.hands)
        assert verified(domain).holds
        with domain.read() as connection:
            for row in connection.execute(select(dataset_version)):
                assert rows_of(domain.raw(row.dataset) / "table", row.version) == 3
    assert world.verified().holds


def rows_of(table: Path, version: int) -> int:
    from deltalake import DeltaTable

    return int(DeltaTable(str(table), version=version).to_pyarrow_table().num_rows)


def test_a_check_tells_that_all_is_well(place: Place) -> None:
    made = place.make()
    verifier = place.world.domain.log.signer.verifier
    outer = check(place.folder, verifier)
    assert outer.whole
    assert (outer.opened, outer.log) == (False, None)
    inner = check(place.folder, verifier, identity=place.key.identity, keys=(place.keys, set()))
    assert inner.whole
    assert inner.log is not None
    assert (inner.log.size, inner.log.root) == (made.manifest.position.size, made.manifest.position.root)


def test_a_newer_format_is_not_guessed(place: Place) -> None:
    place.make()
    path = place.folder / "manifest.json"
    path.write_bytes(encode({**json.loads(path.read_bytes()), "format": 2}))
    with refused(MissingPartError, "backup.other-format"):
        place.back()


def test_grants_whose_keys_were_never_copied_are_named(place: Place) -> None:
    """A backup without --keys after a new grant: the key copies are older than the backup."""
    place.make(place.beside / "first")
    index = Vault(place.keys).index(place.world.domain.log.signer.verifier)
    kept = {name: one for name, one in index.files.items() if place.world.ids["grant"] not in name}
    Vault(place.keys).write(place.world.domain, replace(index, files=kept))
    backup.create(place.world.domain, place.world.session("keeper"), place.folder)
    assert place.back().without_key == (place.world.ids["grant"],)
    with place.opened().read() as connection:
        assert grants.get_grant(connection, place.world.ids["grant"]).state is GrantState.ACTIVE


def test_a_full_disk_is_said_and_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "write_manifest", full)
    with refused(DataFileError, "backup.disk-full"):
        place.make()
    assert not place.folder.exists()
    assert not list(place.beside.glob(".*"))


def asked(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(words)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_the_command_line_makes_lists_checks_and_refuses(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = ["--home", str(place.world.domain.home), "--lang", "en"]
    monkeypatch.setattr("sandbox.domain.open_domain", partial(open_domain, clock=place.world.hands))
    monkeypatch.setenv("SHUZHA_TOKEN", place.world.tokens["keeper"])
    code, out, err = asked(["backup", "create", str(place.folder), "--keys", str(place.keys), *home], capsys)
    assert code == 0, err
    assert "backup: B-" in out
    assert "0 were passed over" in err
    code, out, _ = asked(["backup", "list", *home, "--json"], capsys)
    assert code == 0
    assert [row["place"] for row in json.loads(out)["rows"]] == [str(place.folder)]
    code, out, err = asked(["backup", "check", str(place.folder), *home], capsys)
    assert code == 0
    assert "takes the recovery key" in err
    part = place.folder / "part-0001.age"
    part.write_bytes(part.read_bytes()[:-1])
    code, out, err = asked(["backup", "check", str(place.folder), *home], capsys)
    assert code == 13
    assert "part-0001.age" in err
    code, out, _ = asked(["backup", "check", str(place.folder), "--json", *home], capsys)
    assert code == 13
    assert json.loads(out)["damaged"] == ["part-0001.age"]


def test_what_a_killed_maker_left_goes_with_the_next_and_what_another_makes_stays(place: Place) -> None:
    dead = [
        place.beside / ".copy.0000.partial",
        place.world.domain.home / "run" / ".backup.0000.scratch",
        place.beside / ".new.0000.restoring",
    ]
    for folder in dead:
        (folder / "keys").mkdir(parents=True)
    with staged(place.folder, "partial") as other:
        (other / "part").touch()
        place.make()
        assert (other / "part").exists()
    place.back()
    assert not [folder for folder in dead if folder.exists()]
    assert {path.name for path in place.beside.iterdir()} == {"copy", "keys", "new"}
