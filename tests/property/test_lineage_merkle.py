"""The Merkle tree against a second, naive reading of RFC 6962 and its published vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage import merkle


# --- RFC 6962 §2.1, word for word, over lists -------------------------------------------------------------------------


def split(count: int) -> int:
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def mth(entries: Sequence[bytes]) -> bytes:
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = split(len(entries))
    return hashlib.sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def path(m: int, entries: Sequence[bytes]) -> list[bytes]:
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def proof(m: int, entries: Sequence[bytes]) -> list[bytes]:
    return [] if m in {0, len(entries)} else subproof(m, entries, complete=True)


def subproof(m: int, entries: Sequence[bytes], *, complete: bool) -> list[bytes]:
    if m == len(entries):
        return [] if complete else [mth(entries)]
    k = split(len(entries))
    if m <= k:
        return [*subproof(m, entries[:k], complete=complete), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], complete=False), mth(entries[:k])]


# --- the tree under test ----------------------------------------------------------------------------------------------


def grown(entries: Sequence[bytes]) -> merkle.Node:
    nodes: dict[tuple[int, int], bytes] = {}
    for index, entry in enumerate(entries):
        for level, position, value in merkle.completed(index, merkle.leaf_hash(entry), lambda lv, pos: nodes[lv, pos]):
            assert (level, position) not in nodes
            nodes[level, position] = value
    return lambda level, position: nodes[level, position]


# The eight entries and their roots that Certificate Transparency's own tests use.
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATH_OF_INDEX_5_IN_8 = [
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    assert merkle.root(size, grown(ENTRIES)).hex() == ROOTS[size]
    assert mth(ENTRIES[:size]).hex() == ROOTS[size]


def test_published_audit_path() -> None:
    assert [value.hex() for value in merkle.inclusion(5, 8, grown(ENTRIES))] == PATH_OF_INDEX_5_IN_8


log_entries = st.lists(st.binary(max_size=8), min_size=1, max_size=70)


@given(log_entries, st.data())
def test_roots_and_proofs_are_those_of_the_definition(entries: list[bytes], data: st.DataObject) -> None:
    node = grown(entries)
    size = data.draw(st.integers(1, len(entries)))
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(0, size))
    assert merkle.root(size, node) == mth(entries[:size])
    assert list(merkle.inclusion(index, size, node)) == path(index, entries[:size])
    assert list(merkle.consistency(old, size, node)) == proof(old, entries[:size])


@given(log_entries, st.data())
def test_true_proofs_hold_and_nothing_near_them_does(entries: list[bytes], data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(entries)))
    index = data.draw(st.integers(0, size - 1))
    root, leaf, audit = mth(entries[:size]), merkle.leaf_hash(entries[index]), path(index, entries[:size])
    assert merkle.verify_inclusion(leaf, index, size, audit, root)
    assert not merkle.verify_inclusion(leaf, index, size, [*audit, root], root)
    assert not merkle.verify_inclusion(leaf, index + size, size, audit, root)
    assert not merkle.verify_inclusion(merkle.leaf_hash(entries[index] + b"x"), index, size, audit, root)
    if audit:
        assert not merkle.verify_inclusion(leaf, index, size, audit[:-1], root)
        spot = data.draw(st.integers(0, len(audit) - 1))
        assert not merkle.verify_inclusion(leaf, index, size, flipped(audit, spot, data), root)


@given(log_entries, st.data())
def test_a_tree_that_did_not_only_grow_has_no_consistency(entries: list[bytes], data: st.DataObject) -> None:
    size = len(entries)
    old = data.draw(st.integers(1, size))
    steps = proof(old, entries)
    other = [*entries]
    spot = data.draw(st.integers(0, old - 1))
    other[spot] += b"x"
    assert merkle.verify_consistency(old, mth(entries[:old]), size, mth(entries), steps)
    assert not merkle.verify_consistency(old, mth(other[:old]), size, mth(entries), steps)
    assert not merkle.verify_consistency(old, mth(entries[:old]), size, mth(other), proof(old, other))
    assert not merkle.verify_consistency(old, mth(entries[:old]), size, mth(entries), [*steps, bytes(32)])
    if steps:
        changed = flipped(steps, data.draw(st.integers(0, len(steps) - 1)), data)
        assert not merkle.verify_consistency(old, mth(entries[:old]), size, mth(entries), changed)


def flipped(hashes: list[bytes], spot: int, data: st.DataObject) -> list[bytes]:
    bit = data.draw(st.integers(0, 255))
    value = int.from_bytes(hashes[spot], "big") ^ (1 << bit)
    return [*hashes[:spot], value.to_bytes(32, "big"), *hashes[spot + 1 :]]


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (-2, 0), (4, 3), (1, 3), (2, 3)])
def test_consistency_without_a_proof_is_refused(old: int, new: int) -> None:
    assert not merkle.verify_consistency(old, mth(ENTRIES[: max(old, 0)]), new, mth(ENTRIES[:new]), [])


def test_proofs_of_nothing_are_refused() -> None:
    node = grown(ENTRIES)
    for index, size in ((-1, 3), (3, 3), (0, 0)):
        with pytest.raises(ValueError, match="entry"):
            merkle.inclusion(index, size, node)
    for old, new in ((-1, 3), (4, 3)):
        with pytest.raises(ValueError, match="consistency"):
            merkle.consistency(old, new, node)
