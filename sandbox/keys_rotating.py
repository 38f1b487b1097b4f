"""New wrapping keys for the key tree: everything below is opened, wrapped anew, opened again to be sure, and moved in one step.

What lies at the very bottom is not renewed: the keys of grants and zones, under which tables are encrypted, and a tenant's secret,
from which its pseudonyms come. Renewing those means provisioning the grant anew.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from lineage.clock import stamp
from lineage.errors import MissingPartError
from sandbox import keys_files
from sandbox.keys import (
    KeyStore,
    check_under,
    end_name,
    grant_path,
    new_key,
    owners,
    read_root,
    root_name,
    secret_path,
    tenant_path,
    write_root,
)
from sandbox.keys_sealed import SealedKey, read_sealed
from sandbox.keys_service import KEY_BYTES, unwrap_with, wrap_with


@dataclass(frozen=True)
class Rotated:
    """What a rotation did: from which generation to which, and how many keys were wrapped anew."""

    old: int
    new: int
    rewrapped: int


def rotate_root(keys: KeyStore) -> Rotated:
    """Make a further generation of the root key and wrap every tenant's key and every seed under it.

    The generation before stays in the key service until ``drop_old_roots``, but no file of the tree lies under it any more.

    Raises:
        MissingPartError: the key service is down, or a key does not open; the tree is as before.
    """
    with keys.tree.writing() as tree:
        old = read_root(tree).generation
        new, now = old + 1, stamp(keys.clock())
        keys.service.make(root_name(new))
        tenants, _, seeds = owners(tree)
        # Whose end key is gone opens under no root: such a file stays as it is until its destruction is finished.
        live = keys.service.names()
        tenants = tuple(name for name in tenants if end_name(name) in live)

        def fill(fresh: Path) -> None:
            shutil.copytree(tree, fresh, dirs_exist_ok=True)
            (fresh / "root.line").unlink()
            write_root(fresh, new, now)
            for name in seeds:
                _rewrap_seed(keys, tree, fresh, name, root_name(new))
            for name in tenants:
                _rewrap_tenant(keys, tree, fresh, name, root_name(new))

        keys.tree.replace(tree, fill)
    return Rotated(old, new, len(tenants) + len(seeds))


def rotate_tenant(keys: KeyStore, tenant: str) -> Rotated:
    """Make a tenant's key anew and wrap its secret and every grant's key of it under the new one.

    Raises:
        MissingPartError: the key service is down, or a key does not open; the tree is as before.
    """
    with keys.tree.writing() as tree:
        found, key = keys.open_tenant(tree, tenant)
        above, below = f"tenant:{tenant}:{found.generation}", f"tenant:{tenant}:{found.generation + 1}"
        grants = _grants_under(keys, tree, above)
        fresh_key, now = new_key(), stamp(keys.clock())

        def fill(fresh: Path) -> None:
            shutil.copytree(tree, fresh, dirs_exist_ok=True)
            header = SealedKey(found.purpose, found.generation + 1, now, found.under)
            _write(tenant_path(fresh, tenant), keys.seal(header, fresh_key, end_name(tenant)))
            _rewrap_secret(tree, fresh, tenant, (key, fresh_key), (above, below))
            for name in grants:
                opened = keys.open_grant(tree, name, above, key)
                line = read_sealed(grant_path(tree, name), f"grant:{name}")
                sealed = keys.seal_grant(replace(line, under=below), fresh_key, opened, name)
                _write(grant_path(fresh, name), sealed)
                _check_same(opened, keys.open_grant(fresh, name, below, fresh_key), name)
            _check_same(fresh_key, keys.open_tenant(fresh, tenant)[1], tenant)

        keys.tree.replace(tree, fill)
    return Rotated(found.generation, found.generation + 1, len(grants) + 1)


def check_opens(keys: KeyStore, tenant: str | None = None) -> int:
    """Open everything that a rotation would wrap anew, of the root or of one tenant; gives the generation that it has now.

    Raises:
        MissingPartError: the key service is down, or a key is gone or does not open.
    """
    with keys.tree.reading() as tree:
        if tenant is not None:
            found, key = keys.open_tenant(tree, tenant)
            above = f"tenant:{tenant}:{found.generation}"
            for name in _grants_under(keys, tree, above):
                keys.open_grant(tree, name, above, key)
            return found.generation
        tenants, _, seeds = owners(tree)
        live = keys.service.names()
        for name in tenants:
            if end_name(name) in live:
                keys.open_tenant(tree, name)
        for name in seeds:
            found = read_sealed(tree / "seeds" / f"{name}.key", f"seed:{name}")
            keys.service.unwrap(found.under, found.sealed, found.bound)
        return read_root(tree).generation


def drop_old_roots(keys: KeyStore) -> int:
    """Destroy every generation of the root but the one the tree lies under; gives how many.

    Also one that a killed rotation made and never used.
    """
    with keys.tree.writing() as tree:
        current = root_name(read_root(tree).generation)
        others = [name for name in keys.service.names() if name.startswith("root-") and name != current]
        return sum(keys.service.destroy(name) for name in sorted(others))


def _grants_under(keys: KeyStore, tree: Path, above: str) -> list[str]:
    live = keys.service.names()
    found = (name for name in owners(tree)[1] if end_name(name) in live)
    return [name for name in found if read_sealed(grant_path(tree, name), f"grant:{name}").under == above]


def _rewrap_seed(keys: KeyStore, tree: Path, fresh: Path, name: str, root: str) -> None:
    place = Path("seeds") / f"{name}.key"
    found = read_sealed(tree / place, f"seed:{name}")
    seed = keys.service.unwrap(found.under, found.sealed, found.bound)
    sealed = keys.seal(replace(found, under=root), seed)
    _write(fresh / place, sealed)
    _check_same(seed, keys.service.unwrap(root, sealed.sealed, sealed.bound), name)


def _rewrap_tenant(keys: KeyStore, tree: Path, fresh: Path, tenant: str, root: str) -> None:
    found, key = keys.open_tenant(tree, tenant)
    _write(tenant_path(fresh, tenant), keys.seal(replace(found, under=root), key, end_name(tenant)))
    _check_same(key, keys.open_tenant(fresh, tenant)[1], tenant)


def _rewrap_secret(tree: Path, fresh: Path, tenant: str, keys: tuple[bytes, bytes], names: tuple[str, str]) -> None:
    found = read_sealed(secret_path(tree, tenant), f"secret:{tenant}")
    check_under(found, names[0])
    secret = unwrap_with(keys[0], found.sealed, found.bound, found.purpose)
    moved = replace(found, under=names[1])
    sealed = replace(moved, sealed=wrap_with(keys[1], secret, moved.bound))
    _write(secret_path(fresh, tenant), sealed)
    _check_same(secret, unwrap_with(keys[1], sealed.sealed, sealed.bound, tenant), tenant)


def _write(path: Path, sealed: SealedKey) -> None:
    """Write over the copy in the tree that nobody reads yet."""
    path.unlink()
    keys_files.write_new(path, sealed.data)


def _check_same(old: bytes, new: bytes, name: str) -> None:
    """Hold what was wrapped anew against what it was, before the old is destroyed."""
    if old != new or len(new) != KEY_BYTES:
        raise MissingPartError("key.does-not-open", key=name)
