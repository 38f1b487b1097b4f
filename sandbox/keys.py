"""The key tree: root → tenant → grant → zone, each wrapped under the one above it, and under an end key of its own (D9, D11).

What lies in the key folder is wrapped twice: under the key above, which makes the tree, and under the *end key* of its tenant or
grant, which the key service holds in one place. Destroying an end key therefore ends every copy of what it wraps (law 10). No job
ever holds a key. Python cannot wipe its bytes: a key stays in the platform's memory until that is used again.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lineage.clock import Clock, stamp, system_clock
from lineage.errors import MissingPartError
from sandbox import keys_files
from sandbox.keys_sealed import SealedKey, read_sealed
from sandbox.keys_service import KEY_BYTES, KeyService, unwrap_with, wrap_with
from sandbox.keys_tree import Tree


ROOT = "root"


@dataclass(frozen=True, repr=False)
class KeyStore:
    """The key folder of a domain and the service above it; its repr shows no key (law 9)."""

    folder: Path
    service: KeyService
    clock: Clock = system_clock

    @property
    def tree(self) -> Tree:
        """The folder of wrapped keys."""
        return Tree(self.folder)

    def create(self) -> None:
        """Make the first root key and an empty tree.

        Raises:
            FileExistsError: the folder holds a tree.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.service.make(root_name(1))

        def fill(tree: Path) -> None:
            for name in ("tenants", "grants", "seeds"):
                (tree / name).mkdir(mode=0o700)
            write_root(tree, 1, self._now())

        self.tree.plant(fill)

    def create_tenant(self, tenant: str) -> None:
        """Make a tenant's key, wrapped under the root, and its secret under that key.

        Raises:
            FileExistsError: it has one.
        """
        with self.tree.writing() as tree:
            (tree / "tenants" / tenant).mkdir(mode=0o700)
            self.service.make(end_name(tenant))
            key, secret = new_key(), new_key()
            header = SealedKey(f"tenant:{tenant}", 1, self._now(), root_name(read_root(tree).generation))
            below = SealedKey(f"secret:{tenant}", 1, self._now(), f"tenant:{tenant}:1")
            keys_files.write_new(
                secret_path(tree, tenant), replace(below, sealed=wrap_with(key, secret, below.bound)).data
            )
            keys_files.write_new(tenant_path(tree, tenant), self.seal(header, key, end_name(tenant)).data)

    def create_grant(self, tenant: str, grant: str) -> None:
        """Make a grant's key, wrapped under its tenant's.

        Raises:
            FileExistsError: it has one.
            MissingPartError: its tenant's is gone.
        """
        with self.tree.writing() as tree:
            above, key = self.open_tenant(tree, tenant)
            self.service.make(end_name(grant))
            header = SealedKey(f"grant:{grant}", 1, self._now(), f"tenant:{tenant}:{above.generation}")
            keys_files.write_new(grant_path(tree, grant), self.seal_grant(header, key, new_key(), grant).data)

    def tenant_key(self, tenant: str) -> bytes:
        """Give a tenant's secret, from which its scenarios' pseudonyms come and which no rotation changes.

        Raises:
            MissingPartError: it was destroyed, or it does not open under the keys above it (law 7).
        """
        with self.tree.reading() as tree:
            found, key = self.open_tenant(tree, tenant)
            below = read_sealed(secret_path(tree, tenant), f"secret:{tenant}")
            check_under(below, f"tenant:{tenant}:{found.generation}")
            return unwrap_with(key, below.sealed, below.bound, below.purpose)

    def zone_key(self, tenant: str, grant: str, zone: str) -> bytes:
        """Derive the key of one zone of a grant, so that views and inputs never lie under one key (D3).

        Raises:
            MissingPartError: a key above it was destroyed or does not open.
        """
        with self.tree.reading() as tree:
            above, key = self.open_tenant(tree, tenant)
            found = self.open_grant(tree, grant, f"tenant:{tenant}:{above.generation}", key)
        return _derived(found, f"zone {zone}")

    def held_key(self, tenant: str) -> bytes:
        """Derive the key of what is kept of a tenant's runs.

        Raises:
            MissingPartError: a key above it was destroyed or does not open.
        """
        return _derived(self.tenant_key(tenant), "held")

    def has_grant(self, grant: str) -> bool:
        """Whether a grant's key is there."""
        with self.tree.reading() as tree:
            return grant_path(tree, grant).exists()

    def left_of(self, owner: str) -> tuple[str, ...]:
        """Name what is left of a tenant's or grant's keys, for the record of a destruction to look once more (D11)."""
        with self.tree.reading() as tree:
            paths = (tree / "tenants" / owner, grant_path(tree, owner))
            wrapped = [path.relative_to(self.folder).as_posix() for path in paths if path.exists()]
        return (*wrapped, *sorted(self.service.names() & {end_name(owner)}))

    def destroy_grant(self, grant: str) -> bool:
        """Destroy a grant's end key and its wrapped key; whether there was one."""
        with self.tree.writing() as tree:
            # The end key first: from then on no copy of the wrapped key opens, whatever happens to this process.
            ended = self.service.destroy(end_name(grant))
            return keys_files.destroy(grant_path(tree, grant)) or ended

    def destroy_tenant(self, tenant: str) -> bool:
        """Destroy a tenant's end key and wrapped keys, and with them everything under them; whether there was one (law 10)."""
        with self.tree.writing() as tree:
            ended = self.service.destroy(end_name(tenant))
            return keys_files.destroy_folder(tree / "tenants" / tenant) or ended

    def read_seed(self, name: str) -> bytes:
        """Read a signing seed (``log`` or ``release``).

        Raises:
            MissingPartError: it is not there, or does not open under the root key.
        """
        with self.tree.reading() as tree:
            found = read_sealed(tree / "seeds" / f"{name}.key", f"seed:{name}")
            check_under(found, root_name(read_root(tree).generation))
            return self.service.unwrap(found.under, found.sealed, found.bound)

    def write_seed(self, name: str, seed: bytes) -> None:
        """Keep a signing seed of a new domain, wrapped under the root.

        Raises:
            FileExistsError: there is one.
        """
        with self.tree.writing() as tree:
            header = SealedKey(f"seed:{name}", 1, self._now(), root_name(read_root(tree).generation))
            keys_files.write_new(tree / "seeds" / f"{name}.key", self.seal(header, seed).data)

    def listed(self) -> tuple[SealedKey, ...]:
        """List every key by what its line says, never with the key: root, seeds, tenants, grants."""
        with self.tree.reading() as tree:
            return (read_root(tree), *_listed(tree))

    def seal(self, header: SealedKey, key: bytes, end: str | None = None) -> SealedKey:
        """Wrap a key under the root its header names, and under an end key where it has one."""
        sealed = self.service.wrap(header.under, key, header.bound)
        return replace(header, sealed=self.service.wrap(end, sealed, header.bound) if end else sealed)

    def open_tenant(self, tree: Path, tenant: str) -> tuple[SealedKey, bytes]:
        """Open a tenant's key; gives its line too, which names its generation.

        Raises:
            MissingPartError: an end key or the root is gone, or it does not open.
        """
        found = read_sealed(tenant_path(tree, tenant), f"tenant:{tenant}")
        inner = self.service.unwrap(end_name(tenant), found.sealed, found.bound)
        check_under(found, root_name(read_root(tree).generation))
        return found, self.service.unwrap(found.under, inner, found.bound)

    def seal_grant(self, header: SealedKey, above: bytes, key: bytes, grant: str) -> SealedKey:
        """Wrap a grant's key under its tenant's and its own end key."""
        sealed = wrap_with(above, key, header.bound)
        return replace(header, sealed=self.service.wrap(end_name(grant), sealed, header.bound))

    def open_grant(self, tree: Path, grant: str, under: str, above: bytes) -> bytes:
        """Open a grant's key as ``seal_grant`` closed it.

        Raises:
            MissingPartError: its end key is gone, or it lies under another key.
        """
        found = read_sealed(grant_path(tree, grant), f"grant:{grant}")
        check_under(found, under)
        inner = self.service.unwrap(end_name(grant), found.sealed, found.bound)
        return unwrap_with(above, inner, found.bound, found.purpose)

    def _now(self) -> str:
        return stamp(self.clock())


def end_name(owner: str) -> str:
    """Name the end key of a tenant or a grant."""
    return f"end-{owner}"


def root_name(generation: int) -> str:
    """Name a generation of the root key."""
    return f"root-{generation}"


def read_root(tree: Path) -> SealedKey:
    """Read which generation of the root a tree lies under, and since when; the root itself is in the key service alone.

    Raises:
        MissingPartError: the tree does not say.
    """
    return read_sealed(tree / f"{ROOT}.line", ROOT)


def write_root(tree: Path, generation: int, made: str) -> None:
    """Write which generation of the root a new tree lies under."""
    keys_files.write_new(tree / f"{ROOT}.line", SealedKey(ROOT, generation, made, "service").data)


def tenant_path(tree: Path, tenant: str) -> Path:
    """Where a tenant's wrapped key lies."""
    return tree / "tenants" / tenant / "tenant.key"


def secret_path(tree: Path, tenant: str) -> Path:
    """Where a tenant's wrapped secret lies."""
    return tree / "tenants" / tenant / "secret.key"


def grant_path(tree: Path, grant: str) -> Path:
    """Where a grant's wrapped key lies."""
    return tree / "grants" / f"{grant}.key"


def owners(tree: Path) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Name the tenants, grants and seeds of a tree, each in order."""
    tenants = sorted(path.parent.name for path in (tree / "tenants").glob("*/tenant.key"))
    grants, seeds = (sorted(path.stem for path in (tree / name).glob("*.key")) for name in ("grants", "seeds"))
    return tuple(tenants), tuple(grants), tuple(seeds)


def check_under(found: SealedKey, above: str) -> None:
    """Check that a key lies under the key that the tree has now: an older file put back is not one of this tree.

    Raises:
        MissingPartError: it lies under another.
    """
    if found.under != above:
        raise MissingPartError("key.does-not-open", key=found.purpose)


def _listed(tree: Path) -> Iterator[SealedKey]:
    tenants, grants, seeds = owners(tree)
    yield from (read_sealed(tree / "seeds" / f"{name}.key", f"seed:{name}") for name in seeds)
    yield from (read_sealed(tenant_path(tree, name), f"tenant:{name}") for name in tenants)
    yield from (read_sealed(grant_path(tree, name), f"grant:{name}") for name in grants)


def _derived(key: bytes, purpose: str) -> bytes:
    return HKDF(hashes.SHA256(), KEY_BYTES, None, f"shuzha {purpose}".encode()).derive(key)


def new_key() -> bytes:
    """Make a key from the operating system's randomness (law 9)."""
    return secrets.token_bytes(KEY_BYTES)
