"""The key tree: each key opens under those above it, for its own purpose, and not at all once destroyed (D9, D11, law 9)."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.errors import MissingPartError
from sandbox.keys import KeyStore
from sandbox.keys_sealed import SealedKey
from sandbox.keys_service import FileKeys
from tests.factories import refused


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return make(tmp_path)


def opened(place: Path) -> KeyStore:
    return KeyStore(place / "keys", FileKeys(place / "keys" / "roots", place / "ends"))


def make(place: Path) -> KeyStore:
    store = opened(place)
    store.create()
    store.create_tenant("O-1")
    store.create_tenant("O-2")
    store.create_grant("O-1", "G-1")
    return store


def path_of(store: KeyStore, name: str) -> Path:
    found = [*store.folder.glob(f"tree-*/grants/{name}.key"), *store.folder.glob(f"tree-*/tenants/{name}/tenant.key")]
    assert len(found) == 1
    return found[0]


def test_the_same_path_gives_the_same_key_and_another_path_another(keys: KeyStore) -> None:
    zones = {keys.zone_key("O-1", "G-1", zone) for zone in ("view", "input")}
    assert zones == {keys.zone_key("O-1", "G-1", zone) for zone in ("view", "input")}
    found = [*zones, keys.tenant_key("O-1"), keys.tenant_key("O-2"), keys.held_key("O-1"), keys.held_key("O-2")]
    assert len(set(found)) == 6
    assert {len(key) for key in found} == {32}


def test_keys_are_random(tmp_path: Path) -> None:
    made = [make(tmp_path / str(number)) for number in range(3)]
    assert len({store.tenant_key("O-1") for store in made}) == 3
    assert len({store.zone_key("O-1", "G-1", "view") for store in made}) == 3


def test_no_key_opens_under_another_root(keys: KeyStore, tmp_path: Path) -> None:
    other = make(tmp_path / "other")
    for name in ("O-1", "G-1"):
        path_of(other, name).write_bytes(path_of(keys, name).read_bytes())
    with refused(MissingPartError, "key.does-not-open"):
        other.tenant_key("O-1")
    with refused(MissingPartError, "key.does-not-open"):
        other.zone_key("O-1", "G-1", "view")


def test_no_key_opens_for_another_tenant_or_grant(keys: KeyStore) -> None:
    keys.create_grant("O-1", "G-2")
    path_of(keys, "O-2").write_bytes(path_of(keys, "O-1").read_bytes())
    with refused(MissingPartError, "key.does-not-open"):
        keys.tenant_key("O-2")
    path_of(keys, "G-2").write_bytes(path_of(keys, "G-1").read_bytes())
    with refused(MissingPartError, "key.does-not-open"):
        keys.zone_key("O-1", "G-2", "view")


def test_a_relabelled_key_does_not_open(keys: KeyStore) -> None:
    """The line is authenticated: not even one who may write the files gives a key another name or date."""
    path = path_of(keys, "G-1")
    path.write_bytes(path.read_bytes().replace(b"grant:G-1", b"grant:G-9"))
    path.rename(path.with_name("G-9.key"))
    keys.service.make("end-G-9")
    with refused(MissingPartError, "key.does-not-open"):
        keys.zone_key("O-1", "G-9", "view")


def test_a_grants_key_does_not_open_for_another_tenant(keys: KeyStore) -> None:
    with refused(MissingPartError, "key.does-not-open"):
        keys.zone_key("O-2", "G-1", "view")


@settings(deadline=None, max_examples=60)
@given(place=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_changed_bit_is_seen(place: int, bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = make(tmp_path_factory.mktemp("keys"))
    path = path_of(store, "O-1")
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)
    with refused(MissingPartError, "key.does-not-open"):
        store.tenant_key("O-1")


@pytest.mark.parametrize("size", [0, 1, 12, 27, 59, 120, -1])
def test_a_cut_key_is_no_key(keys: KeyStore, size: int) -> None:
    path = path_of(keys, "O-1")
    path.write_bytes(path.read_bytes()[:size])
    with refused(MissingPartError, "key.does-not-open"):
        keys.tenant_key("O-1")


@pytest.mark.parametrize("name", ["root-1", "end-O-1"])
def test_a_key_of_the_service_that_is_no_key_is_an_error(keys: KeyStore, tmp_path: Path, name: str) -> None:
    (path,) = tmp_path.rglob(f"{name}.key")
    path.write_bytes(b"short")
    with refused(MissingPartError, "key.does-not-open"):
        keys.tenant_key("O-1")
    path.unlink()
    with refused(MissingPartError, "key.missing"):
        keys.tenant_key("O-1")


def test_a_destroyed_key_is_gone_with_all_below_it(keys: KeyStore) -> None:
    assert keys.left_of("O-1")
    assert keys.destroy_tenant("O-1")
    with refused(MissingPartError, "key.missing"):
        keys.tenant_key("O-1")
    with refused(MissingPartError, "key.missing"):
        keys.zone_key("O-1", "G-1", "view")
    assert not keys.destroy_tenant("O-1")
    assert keys.left_of("O-1") == ()
    assert len(keys.tenant_key("O-2")) == 32


def test_a_destroyed_grant_leaves_its_tenant(keys: KeyStore) -> None:
    assert keys.has_grant("G-1")
    assert keys.destroy_grant("G-1")
    assert not keys.has_grant("G-1")
    assert not keys.destroy_grant("G-1")
    assert keys.left_of("G-1") == ()
    with refused(MissingPartError, "key.missing"):
        keys.zone_key("O-1", "G-1", "view")
    assert len(keys.tenant_key("O-1")) == 32


@pytest.mark.parametrize("crash_after", ["end", "file"])
def test_a_destruction_that_was_cut_short_is_finished_by_the_next(keys: KeyStore, crash_after: str) -> None:
    if crash_after == "end":
        keys.service.destroy("end-G-1")
    else:
        path_of(keys, "G-1").unlink()
    with refused(MissingPartError, "key.missing"):
        keys.zone_key("O-1", "G-1", "view")
    assert keys.left_of("G-1")
    assert keys.destroy_grant("G-1")
    assert keys.left_of("G-1") == ()


@pytest.mark.parametrize("name", ["G-1", "end-G-1"])
def test_a_key_is_overwritten_before_it_is_unlinked(keys: KeyStore, tmp_path: Path, name: str) -> None:
    (path,) = tmp_path.rglob(f"{name}.key")
    before = path.read_bytes()
    link = tmp_path / "second-name"
    os.link(path, link)
    keys.destroy_grant("G-1")
    assert len(link.read_bytes()) == len(before)
    assert link.read_bytes() != before
    link.rename(path)
    with pytest.raises(MissingPartError):
        keys.zone_key("O-1", "G-1", "view")


def test_a_copied_key_folder_opens_nothing_after_the_end(keys: KeyStore, tmp_path: Path) -> None:
    """Law 10: even with its root, whatever is put back: the end key lay in one place."""
    shutil.copytree(keys.folder, tmp_path / "copy" / "keys")
    copied = KeyStore(tmp_path / "copy" / "keys", FileKeys(tmp_path / "copy" / "keys" / "roots", tmp_path / "ends"))
    assert copied.zone_key("O-1", "G-1", "view") == keys.zone_key("O-1", "G-1", "view")
    keys.destroy_grant("G-1")
    for store in (copied, keys):
        with refused(MissingPartError, "key.missing"):
            store.zone_key("O-1", "G-1", "view")
    assert copied.tenant_key("O-1") == keys.tenant_key("O-1")
    keys.destroy_tenant("O-1")
    with refused(MissingPartError, "key.missing"):
        copied.tenant_key("O-1")
    # A new end key of the same name is another key.
    keys.service.make("end-O-1")
    with refused(MissingPartError, "key.does-not-open"):
        copied.tenant_key("O-1")


def test_no_key_is_made_over_another(keys: KeyStore) -> None:
    before = keys.tenant_key("O-1")
    with pytest.raises(FileExistsError):
        keys.create_tenant("O-1")
    with pytest.raises(FileExistsError):
        keys.create_grant("O-1", "G-1")
    with pytest.raises(FileExistsError):
        keys.create()
    assert keys.tenant_key("O-1") == before


def test_a_grant_needs_its_tenants_key(keys: KeyStore) -> None:
    keys.destroy_tenant("O-1")
    with refused(MissingPartError, "key.missing"):
        keys.create_grant("O-1", "G-2")
    assert keys.left_of("G-2") == ()


def test_key_files_are_for_their_owner_alone(keys: KeyStore, tmp_path: Path) -> None:
    keys.write_seed("log", b"0" * 32)
    for path in (*keys.folder.rglob("*"), tmp_path / "ends", *(tmp_path / "ends").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700


def test_nothing_prints_a_key(keys: KeyStore) -> None:
    shown = repr(keys) + str(keys) + repr(keys.service)
    assert keys.tenant_key("O-1").hex() not in shown
    assert str(keys.tenant_key("O-1")) not in shown


def test_what_is_listed_and_left_tells_no_key(keys: KeyStore) -> None:
    secrets = [keys.tenant_key("O-1"), keys.zone_key("O-1", "G-1", "view")]
    told = repr([replace(one, sealed=b"") for one in keys.listed()])
    assert "grant:G-1" in told
    assert not any(secret.hex() in told for secret in secrets)


def test_a_seed_is_kept_wrapped_and_a_missing_one_is_an_error(keys: KeyStore, tmp_path: Path) -> None:
    keys.write_seed("log", b"1" * 32)
    assert keys.read_seed("log") == b"1" * 32
    with pytest.raises(FileExistsError):
        keys.write_seed("log", b"2" * 32)
    with refused(MissingPartError, "key.missing"):
        keys.read_seed("release")
    assert not any(b"1" * 32 in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["CURRENT", "lock", "tree-3"])
def test_without_a_whole_tree_nothing_is_made_in_its_place(tmp_path: Path, name: str) -> None:
    store = make(tmp_path)
    (current,) = tmp_path.glob("keys/tree-*")
    path = current if name.startswith("tree") else store.folder / name
    path.rename(tmp_path / "elsewhere")
    with refused(MissingPartError, "key.no-tree"):
        store.tenant_key("O-1")
    with refused(MissingPartError, "key.no-tree"):
        store.create_tenant("O-3")


@pytest.mark.parametrize("text", ["", "tree-0", "tree-9", "../keys/tree-1", "tree-1/../tree-1", "é"])
def test_a_tree_that_current_does_not_name_well_is_none(keys: KeyStore, text: str) -> None:
    (keys.folder / "CURRENT").write_text(text, encoding="utf-8")
    with refused(MissingPartError, "key.no-tree"):
        keys.tenant_key("O-1")


@pytest.mark.parametrize("name", ["", "root", "root-0", "end-", "end-../x", "end-a/b", "other-1", "end-O 1"])
def test_the_service_takes_only_names_of_the_tree(keys: KeyStore, name: str) -> None:
    with refused(MissingPartError, "key.missing"):
        keys.service.make(name)


def test_a_header_that_names_nothing_cannot_be(keys: KeyStore) -> None:
    for wrong in ({"generation": 0}, {"purpose": ""}, {"made": ""}, {"under": ""}):
        with refused(MissingPartError, "key.does-not-open"):
            replace(keys.listed()[0], **wrong)
    assert isinstance(keys.listed()[0], SealedKey)
