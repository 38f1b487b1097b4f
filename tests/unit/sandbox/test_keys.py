"""The key tree: each key opens under the one above it, for its own purpose, and not at all once destroyed (D9, D11, law 9)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage.errors import MissingPartError
from sandbox.keys import KeyStore
from tests.factories import refused


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return make(tmp_path / "keys")


def make(folder: Path) -> KeyStore:
    store = KeyStore(folder)
    store.create_root()
    store.create_tenant("O-1")
    store.create_tenant("O-2")
    store.create_grant("O-1", "G-1")
    return store


def path_of(store: KeyStore, name: str) -> Path:
    (found,) = store.folder.rglob(f"{name}.key")
    return found


def test_the_same_path_gives_the_same_key_and_another_path_another(keys: KeyStore) -> None:
    zones = {keys.zone_key("O-1", "G-1", zone) for zone in ("view", "input")}
    assert zones == {keys.zone_key("O-1", "G-1", zone) for zone in ("view", "input")}
    found = [*zones, keys.tenant_key("O-1"), keys.tenant_key("O-2")]
    assert len(set(found)) == 4
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


def test_a_grants_key_does_not_open_for_another_tenant(keys: KeyStore) -> None:
    with refused(MissingPartError, "key.does-not-open"):
        keys.zone_key("O-2", "G-1", "view")


@given(place=st.integers(0, 59), bit=st.integers(0, 7))
def test_a_changed_bit_is_seen(place: int, bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = make(tmp_path_factory.mktemp("keys") / "keys")
    path = path_of(store, "O-1")
    data = bytearray(path.read_bytes())
    assert len(data) == 60
    data[place] ^= 1 << bit
    path.write_bytes(data)
    with refused(MissingPartError, "key.does-not-open"):
        store.tenant_key("O-1")


@pytest.mark.parametrize("size", [0, 1, 12, 27, 59])
def test_a_cut_key_is_no_key(keys: KeyStore, size: int) -> None:
    path = path_of(keys, "O-1")
    path.write_bytes(path.read_bytes()[:size])
    with refused(MissingPartError, "key.does-not-open"):
        keys.tenant_key("O-1")


def test_a_destroyed_key_is_gone_with_all_below_it(keys: KeyStore) -> None:
    assert keys.destroy_tenant("O-1")
    with refused(MissingPartError, "key.missing"):
        keys.tenant_key("O-1")
    with refused(MissingPartError, "key.missing"):
        keys.zone_key("O-1", "G-1", "view")
    assert not keys.destroy_tenant("O-1")
    assert len(keys.tenant_key("O-2")) == 32


def test_a_destroyed_grant_leaves_its_tenant(keys: KeyStore) -> None:
    assert keys.has_grant("G-1")
    assert keys.destroy_grant("G-1")
    assert not keys.has_grant("G-1")
    assert not keys.destroy_grant("G-1")
    with refused(MissingPartError, "key.missing"):
        keys.zone_key("O-1", "G-1", "view")
    assert len(keys.tenant_key("O-1")) == 32


def test_a_key_is_overwritten_before_it_is_unlinked(keys: KeyStore, tmp_path: Path) -> None:
    path = path_of(keys, "G-1")
    before = path.read_bytes()
    link = tmp_path / "second-name"
    os.link(path, link)
    keys.destroy_grant("G-1")
    assert len(link.read_bytes()) == len(before)
    assert link.read_bytes() != before
    link.rename(path)
    with refused(MissingPartError, "key.does-not-open"):
        keys.zone_key("O-1", "G-1", "view")


def test_a_restored_key_file_opens_nothing_without_the_key_above(keys: KeyStore) -> None:
    path = path_of(keys, "G-1")
    kept = path.read_bytes()
    keys.destroy_grant("G-1")
    keys.destroy_tenant("O-1")
    path.write_bytes(kept)
    with refused(MissingPartError, "key.missing"):
        keys.zone_key("O-1", "G-1", "view")
    keys.create_tenant("O-1")
    with refused(MissingPartError, "key.does-not-open"):
        keys.zone_key("O-1", "G-1", "view")


def test_no_key_is_made_over_another(keys: KeyStore) -> None:
    before = keys.tenant_key("O-1")
    with pytest.raises(FileExistsError):
        keys.create_tenant("O-1")
    with pytest.raises(FileExistsError):
        keys.create_grant("O-1", "G-1")
    with pytest.raises(FileExistsError):
        keys.create_root()
    assert keys.tenant_key("O-1") == before


def test_key_files_are_for_their_owner_alone(keys: KeyStore) -> None:
    keys.write_seed("log", b"0" * 32)
    for path in keys.folder.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700


def test_nothing_prints_a_key(keys: KeyStore) -> None:
    shown = repr(keys) + str(keys)
    assert keys.tenant_key("O-1").hex() not in shown
    assert str(keys.tenant_key("O-1")) not in shown


def test_a_seed_is_kept_and_a_missing_one_is_an_error(keys: KeyStore) -> None:
    keys.write_seed("log", b"1" * 32)
    assert keys.read_seed("log") == b"1" * 32
    with pytest.raises(FileExistsError):
        keys.write_seed("log", b"2" * 32)
    with refused(MissingPartError, "key.missing"):
        keys.read_seed("release")
