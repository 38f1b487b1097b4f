"""The Merkle tree of RFC 6962: hashing, roots, inclusion and consistency proofs, over a store of complete subtrees.

``node(level, index)`` names the hash of the complete subtree over leaves ``index * 2**level`` to ``(index + 1) * 2**level - 1``;
the functions ask only for subtrees that are complete, so the store is append-only and a tile export can be cut from it later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence


Node = Callable[[int, int], bytes]

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry; the 0x00 prefix keeps leaves and inner nodes apart (second preimage, RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def completed(index: int, leaf: bytes, node: Node) -> Iterator[tuple[int, int, bytes]]:
    """Yield each (level, index, hash) that becomes complete when leaf ``index`` is appended, the leaf first."""
    level, position, value = 0, index, leaf
    yield level, position, value
    while position % 2 == 1:
        value = node_hash(node(level, position - 1), value)
        level, position = level + 1, position // 2
        yield level, position, value


def root(size: int, node: Node) -> bytes:
    """Give the root of the tree of the first ``size`` leaves."""
    return _range(0, size, node) if size else EMPTY_ROOT


def inclusion(index: int, size: int, node: Node) -> tuple[bytes, ...]:
    """Give the audit path of a leaf, lowest first.

    Raises:
        ValueError: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} entries has no entry {index}")
    return tuple(_path(index, 0, size, node))


def consistency(old: int, new: int, node: Node) -> tuple[bytes, ...]:
    """Give the proof that the tree of ``old`` leaves is a prefix of the tree of ``new`` leaves.

    Raises:
        ValueError: unless 0 <= old <= new.
    """
    if not 0 <= old <= new:
        raise ValueError(f"no consistency from {old} to {new}")
    return () if old in {0, new} else tuple(_subproof(old, 0, new, whole=True, node=node))


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes) -> bool:
    """Check an audit path (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    fn, sn, value = index, size - 1, leaf
    for sibling in path:
        if sn == 0:
            return False
        if fn % 2 == 1 or fn == sn:
            value = node_hash(sibling, value)
            while fn % 2 == 0 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            value = node_hash(value, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and value == expected


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Check that a tree only grew (RFC 9162 §2.1.4.2)."""
    if old < 0:
        return False
    if old == new:
        return old_root == new_root and not path
    if old == 0:
        return old_root == EMPTY_ROOT and not path
    if old > new or not path:
        return False
    chain = [old_root, *path] if old & (old - 1) == 0 else list(path)
    return _replay(old - 1, new - 1, chain, old_root, new_root)


def _replay(fn: int, sn: int, chain: list[bytes], old_root: bytes, new_root: bytes) -> bool:
    while fn % 2 == 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = chain[0]
    for sibling in chain[1:]:
        if sn == 0:
            return False
        if fn % 2 == 1 or fn == sn:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while fn % 2 == 0 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old_root and second == new_root


def _split(size: int) -> int:
    """Give the largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _range(low: int, high: int, node: Node) -> bytes:
    size = high - low
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, low >> level)
    middle = low + _split(size)
    return node_hash(_range(low, middle, node), _range(middle, high, node))


def _path(index: int, low: int, high: int, node: Node) -> Iterator[bytes]:
    if high - low == 1:
        return
    middle = low + _split(high - low)
    if index < middle:
        yield from _path(index, low, middle, node)
        yield _range(middle, high, node)
    else:
        yield from _path(index, middle, high, node)
        yield _range(low, middle, node)


def _subproof(old: int, low: int, high: int, *, whole: bool, node: Node) -> Iterator[bytes]:
    if old == high:
        if not whole:
            yield _range(low, high, node)
        return
    middle = low + _split(high - low)
    if old <= middle:
        yield from _subproof(old, low, middle, whole=whole, node=node)
        yield _range(middle, high, node)
    else:
        yield from _subproof(old, middle, high, whole=False, node=node)
        yield _range(low, middle, node)
