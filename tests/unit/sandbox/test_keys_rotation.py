"""Rotation: everything opens as before, nothing opens with what went before, and a kill at any moment leaves one whole tree (D9)."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lineage.errors import MissingPartError, NotPermittedError
from lineage.kinds import Kind
from sandbox import grants, keys_files, rotation
from sandbox.domain import open_domain
from sandbox.keys import KeyStore
from sandbox.keys_rotating import drop_old_roots, rotate_root, rotate_tenant
from sandbox.keys_service import FileKeys
from tests.factories import Stage, World, refused
from tests.fixtures_domain import WorldAt


Rotate = Callable[[KeyStore], object]

ROTATIONS: dict[str, Rotate] = {"root": rotate_root, "tenant": lambda keys: rotate_tenant(keys, "O-1")}


def opened(place: Path) -> KeyStore:
    return KeyStore(place / "keys", FileKeys(place / "keys" / "roots", place / "ends"))


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    store = opened(tmp_path)
    store.create()
    store.write_seed("log", b"1" * 32)
    for tenant in ("O-1", "O-2"):
        store.create_tenant(tenant)
        store.create_grant(tenant, f"G-{tenant}")
    return store


def everything(store: KeyStore) -> tuple[bytes, ...]:
    tenants = [store.tenant_key(tenant) for tenant in ("O-1", "O-2")]
    zones = [store.zone_key(tenant, f"G-{tenant}", "view") for tenant in ("O-1", "O-2")]
    return (store.read_seed("log"), *tenants, *zones)


@pytest.mark.parametrize("name", ROTATIONS)
def test_everything_opens_as_before(keys: KeyStore, name: str) -> None:
    """Which is also what a rotation does not renew: the keys of tables and pseudonyms."""
    before = everything(keys)
    for _ in range(3):
        ROTATIONS[name](keys)
        drop_old_roots(keys)
        assert everything(keys) == before


@pytest.mark.parametrize("name", ROTATIONS)
def test_each_wrapped_key_below_is_another(keys: KeyStore, name: str) -> None:
    before = {one.purpose: one for one in keys.listed()}
    ROTATIONS[name](keys)
    after = {one.purpose: one for one in keys.listed()}
    expected = {"root": {"root", "seed:log", "tenant:O-1", "tenant:O-2"}, "tenant": {"tenant:O-1", "grant:G-O-1"}}[name]
    assert {purpose for purpose in before if before[purpose] != after[purpose]} == expected
    changed = {purpose for purpose in before if before[purpose].generation != after[purpose].generation}
    assert changed == {"root": {"root"}, "tenant": {"tenant:O-1"}}[name]


def test_an_old_root_opens_nothing_of_the_new_tree_and_is_gone(keys: KeyStore, tmp_path: Path) -> None:
    old = (tmp_path / "keys" / "roots" / "root-1.key").read_bytes()
    rotate_root(keys)
    assert drop_old_roots(keys) == 1
    assert keys.service.names() == {"root-2", "end-O-1", "end-O-2", "end-G-O-1", "end-G-O-2"}
    (tmp_path / "keys" / "roots" / "root-2.key").write_bytes(old)
    with refused(MissingPartError, "key.does-not-open"):
        keys.tenant_key("O-1")


def test_an_older_wrapped_key_that_is_put_back_does_not_open(keys: KeyStore) -> None:
    (path,) = keys.folder.glob("tree-*/grants/G-O-1.key")
    before = path.read_bytes()
    rotate_tenant(keys, "O-1")
    (path,) = keys.folder.glob("tree-*/grants/G-O-1.key")
    path.write_bytes(before)
    with refused(MissingPartError, "key.does-not-open"):
        keys.zone_key("O-1", "G-O-1", "view")


def test_what_is_destroyed_stays_so_and_stops_no_rotation(keys: KeyStore) -> None:
    keys.destroy_grant("G-O-1")
    keys.service.destroy("end-O-2")  # as a crash leaves it between the end key and the file
    rotate_root(keys)
    rotate_tenant(keys, "O-1")
    drop_old_roots(keys)
    assert len(keys.tenant_key("O-1")) == 32
    for tenant in ("O-1", "O-2"):
        with refused(MissingPartError, "key.missing"):
            keys.zone_key(tenant, f"G-{tenant}", "view")
    with refused(MissingPartError, "key.missing"):
        rotate_tenant(keys, "O-2")
    assert keys.destroy_tenant("O-2")


class Killed(BaseException):
    """Stands for the moment of a kill where the test lives on."""


def steps(monkeypatch: pytest.MonkeyPatch, at: int) -> list[str]:
    """Let the ``at``-th write, sync or destruction of a key file be the last thing that this process does."""
    done: list[str] = []

    def stopping(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def act(*args: object) -> object:
            done.append(name)
            if len(done) == at:
                raise Killed
            return real(*args)

        return act

    for name in ("write_new", "destroy", "sync_folder", "destroy_folder"):
        wrapped = stopping(name, getattr(keys_files, name))
        monkeypatch.setattr(keys_files, name, wrapped)
        for module in ("sandbox.keys_tree", "sandbox.keys_service"):
            if hasattr(sys.modules[module], name):
                monkeypatch.setattr(f"{module}.{name}", wrapped)
    return done


def clean(store: KeyStore) -> None:
    """What any later writer does first."""
    with store.tree.writing():
        pass
    drop_old_roots(store)


@pytest.mark.parametrize("name", ROTATIONS)
def test_cut_short_at_every_step_the_tree_is_whole(
    keys: KeyStore, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, at, generations = everything(keys), 0, set()
    while True:
        at += 1
        place = tmp_path / f"at-{at}"
        shutil.copytree(tmp_path / "keys", place / "keys")
        shutil.copytree(tmp_path / "ends", place / "ends")
        copy = opened(place)
        with monkeypatch.context() as patch:
            done = steps(patch, at)
            try:
                ROTATIONS[name](copy)
                drop_old_roots(copy)
            except Killed:
                pass
        assert everything(copy) == before
        clean(copy)
        assert everything(copy) == before
        assert len(list((place / "keys").glob("tree-*"))) == 1
        assert len([one for one in copy.service.names() if one.startswith("root-")]) == 1
        generations.add(copy.listed()[0].generation if name == "root" else copy.listed()[2].generation)
        ROTATIONS[name](copy)
        assert everything(copy) == before
        shutil.rmtree(place)
        if len(done) < at:
            break
    assert at > 10
    assert generations == {1, 2}


@pytest.mark.parametrize("seconds", [0.0, 0.002, 0.005, 0.01, 0.02, 0.04])
def test_killed_at_any_moment_the_tree_is_whole(keys: KeyStore, tmp_path: Path, seconds: float) -> None:
    """The same with a process that really dies: SIGKILL while it rotates again and again."""
    before = everything(keys)
    child = os.fork()
    if child == 0:
        signal.setitimer(signal.ITIMER_REAL, 0.001 + seconds)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        while True:
            rotate_root(keys)
            rotate_tenant(keys, "O-1")
            drop_old_roots(keys)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    again = opened(tmp_path)
    assert everything(again) == before
    clean(again)
    assert everything(again) == before
    assert len([one for one in again.service.names() if one.startswith("root-")]) == 1


def test_readers_and_writers_go_on_while_keys_are_rotated(keys: KeyStore) -> None:
    before, stop = everything(keys), threading.Event()
    problems: list[BaseException] = []

    def reading() -> None:
        while not stop.is_set():
            try:
                assert everything(keys) == before
            except BaseException as error:  # noqa: BLE001 - told to the test's own thread
                problems.append(error)
                return

    threads = [threading.Thread(target=reading) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(8):
        rotate_root(keys)
        keys.create_grant("O-1", f"G-new-{number}")
        rotate_tenant(keys, "O-1")
        drop_old_roots(keys)
    stop.set()
    for thread in threads:
        thread.join(timeout=60)
    assert problems == []
    assert len({keys.zone_key("O-1", f"G-new-{number}", "view") for number in range(8)}) == 8


def maintained(world_at: WorldAt) -> World:
    world = world_at(Stage.GRANTED)
    with world.domain.read() as connection:
        found = grants.get_grant(connection, world.ids["grant"])
    grants.ensure_key(world.domain, found)
    return world


def test_a_rotation_is_on_the_log_and_the_domain_opens_after_it(world_at: WorldAt) -> None:
    world = maintained(world_at)
    session, before = world.session("keeper"), len(world.log())
    rotation.rotate_root(world.domain, session)
    done = rotation.rotate_tenant(world.domain, session, "medica")
    assert done.rewrapped == 2
    rotated = [entry for entry in world.log()[before:] if entry.kind is Kind.KEY_ROTATED]
    assert [entry.payload["level"] for entry in rotated] == ["root", "tenant"]
    assert [(entry.payload["from"], entry.payload["to"]) for entry in rotated] == [(1, 2), (1, 2)]
    assert {entry.actor.person for entry in rotated} == {session.person}
    assert open_domain(world.domain.home, clock=world.hands).name == world.domain.name
    assert world.verified().holds


@pytest.mark.parametrize("login", ["officer", "manager", "processor", "doctor"])
def test_only_the_maintainer_rotates(world_at: WorldAt, login: str) -> None:
    world = maintained(world_at)
    for act in (rotation.rotate_root, lambda d, s: rotation.rotate_tenant(d, s, "medica")):
        with refused(NotPermittedError, "permission.missing"):
            act(world.domain, world.session(login))
    assert {one.generation for one in world.domain.keys.listed()} == {1}


def test_only_tenants_have_a_key_to_rotate(world_at: WorldAt) -> None:
    world = maintained(world_at)
    for name in ("machines", "authority", "nobody"):
        with refused(NotPermittedError, "access.not-found"):
            rotation.rotate_tenant(world.domain, world.session("keeper"), name)


@pytest.mark.parametrize("name", ROTATIONS)
def test_a_rotation_that_a_crash_kept_from_the_tree_is_carried_out(
    world_at: WorldAt, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry is committed, then the process dies."""
    world = maintained(world_at)
    session = world.session("keeper")
    with monkeypatch.context() as patch:
        for rotate in ("rotate_root", "rotate_tenant"):
            patch.setattr(f"sandbox.rotation.keys_rotating.{rotate}", _die)
        with pytest.raises(Killed):
            rotate_by(world, name)
    assert {one.generation for one in world.domain.keys.listed()} == {1}
    before = len(world.log())
    assert rotation.settle(world.domain) == 1
    assert len(world.log()) == before
    subject = "root" if name == "root" else f"tenant:{world.ids['medica']}"
    assert {one.purpose for one in world.domain.keys.listed() if one.generation == 2} == {subject}
    assert rotation.settle(world.domain) == 0
    assert session.person == world.log()[-1].actor.person


def _die(*_about: object) -> None:
    raise Killed


def rotate_by(world: World, name: str) -> object:
    session = world.session("keeper")
    if name == "root":
        return rotation.rotate_root(world.domain, session)
    return rotation.rotate_tenant(world.domain, session, "medica")


@pytest.mark.parametrize("name", ROTATIONS)
def test_where_nothing_can_be_recorded_nothing_is_rotated(world_at: WorldAt, name: str) -> None:
    world = maintained(world_at)
    (world.domain.home / "checkpoint").unlink()
    with refused(MissingPartError, "log.no-checkpoint-file"):
        rotate_by(world, name)
    assert {one.generation for one in world.domain.keys.listed()} == {1}
    assert rotation.settle(world.domain) == 0


@pytest.mark.parametrize("name", ROTATIONS)
def test_a_tree_ahead_of_a_restored_database_is_put_on_the_log(world_at: WorldAt, name: str) -> None:
    world = maintained(world_at)
    tenant = world.ids["medica"]
    act: Rotate = rotate_root if name == "root" else lambda keys: rotate_tenant(keys, tenant)
    act(world.domain.keys)
    before = len(world.log())
    assert rotation.settle(world.domain) == 1
    (entry,) = world.log()[before:]
    assert entry.kind is Kind.KEY_ROTATED
    assert entry.payload["settled"] is True
    assert (entry.payload["from"], entry.payload["to"]) == (1, 2)
    assert entry.actor.person == "platform"
    assert rotation.settle(world.domain) == 0
    assert len([one for one in world.domain.keys.service.names() if one.startswith("root-")]) == 1


@pytest.mark.parametrize("name", ROTATIONS)
def test_a_key_that_does_not_open_stops_a_rotation_before_it_begins(world_at: WorldAt, name: str) -> None:
    world = maintained(world_at)
    before = len(world.log())
    (path,) = world.domain.keys.folder.glob(f"tree-*/tenants/{world.ids['medica']}/tenant.key")
    path.write_bytes(path.read_bytes()[:-1])
    with refused(MissingPartError, "key.does-not-open"):
        rotate_by(world, name)
    assert len(world.log()) == before
    assert {one.generation for one in world.domain.keys.listed()} == {1}


def test_who_sees_the_list(world_at: WorldAt) -> None:
    world = maintained(world_at)
    world.hands.forward(days=20)
    world.hands.forward(days=0.5)
    lines = {one.purpose: one for one in rotation.list_keys(world.domain, world.session("keeper"))}
    assert lines["root"].days == 20
    assert lines["root"].generation == 1
    assert rotation.list_keys(world.domain, world.session("officer"))
    for login in ("manager", "processor", "doctor"):
        with refused(NotPermittedError, "permission.missing"):
            rotation.list_keys(world.domain, world.session(login))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_command_line_lists_and_rotates(
    world_at: WorldAt, language: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from console.main import main

    world = maintained(world_at)
    monkeypatch.setenv("SHUZHA_TOKEN", world.tokens["keeper"])
    monkeypatch.setattr("sandbox.access.stamp", lambda _moment: "2026-11-21T12:00:00.000Z")
    where = ["--home", str(world.domain.home), "--lang", language]
    for words in (["key", "list"], ["key", "rotate", "root"], ["key", "rotate", "medica"], ["key", "list"]):
        assert main([*words, *where]) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    assert "root-2" in told
    assert f"grant:{world.ids['grant']}" in told
    assert world.domain.keys.tenant_key(world.ids["medica"]).hex() not in told
