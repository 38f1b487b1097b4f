"""The key tree: root → tenant → grant → zone, each wrapped under the one above with AES-256-GCM (D9, D11).

Keys lie as files in the domain's key folder, outside the database and its backups, because destroying a key must destroy every
copy of it (law 10). No job ever holds a key.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lineage.errors import MissingPartError


_BYTES = 32
_NONCE = 12


@dataclass(frozen=True, repr=False)
class KeyStore:
    """The key folder of a domain; its repr shows no key (law 9)."""

    folder: Path

    def create_root(self) -> None:
        """Make the root key of a new domain from the operating system's randomness (law 9)."""
        self.folder.mkdir(mode=0o700, parents=True)
        for name in ("tenants", "grants"):
            (self.folder / name).mkdir(mode=0o700)
        _write_new(self.folder / "root.key", secrets.token_bytes(_BYTES))

    def create_tenant(self, tenant: str) -> None:
        """Make a tenant's key, wrapped under the root."""
        self._wrap(self._tenant_path(tenant), self._root(), f"tenant:{tenant}")

    def create_grant(self, tenant: str, grant: str) -> None:
        """Make a grant's key, wrapped under its tenant's."""
        self._wrap(self._grant_path(grant), self.tenant_key(tenant), f"grant:{grant}")

    def tenant_key(self, tenant: str) -> bytes:
        """Unwrap a tenant's key.

        Raises:
            MissingPartError: it was destroyed, or it does not open under the root key (law 7).
        """
        return self._unwrap(self._tenant_path(tenant), self._root(), f"tenant:{tenant}")

    def zone_key(self, tenant: str, grant: str, zone: str) -> bytes:
        """Derive the key of one zone of a grant, so that views and inputs never lie under one key (D3).

        Raises:
            MissingPartError: a key above it was destroyed or does not open.
        """
        key = self._unwrap(self._grant_path(grant), self.tenant_key(tenant), f"grant:{grant}")
        return HKDF(hashes.SHA256(), _BYTES, None, f"shuzha zone {zone}".encode()).derive(key)

    def has_grant(self, grant: str) -> bool:
        """Whether a grant's key is there."""
        return self._grant_path(grant).exists()

    def destroy_grant(self, grant: str) -> bool:
        """Destroy a grant's key; whether there was one."""
        return _destroy(self._grant_path(grant))

    def destroy_tenant(self, tenant: str) -> bool:
        """Destroy a tenant's key, and with it everything under it; whether there was one (law 10)."""
        return _destroy(self._tenant_path(tenant))

    def read_seed(self, name: str) -> bytes:
        """Read a signing seed (``log`` or ``release``).

        Raises:
            MissingPartError: it is not there.
        """
        return _read(self.folder / f"{name}.seed")

    def write_seed(self, name: str, seed: bytes) -> None:
        """Keep a signing seed of a new domain."""
        _write_new(self.folder / f"{name}.seed", seed)

    def _root(self) -> bytes:
        return _read(self.folder / "root.key")

    def _tenant_path(self, tenant: str) -> Path:
        return self.folder / "tenants" / f"{tenant}.key"

    def _grant_path(self, grant: str) -> Path:
        return self.folder / "grants" / f"{grant}.key"

    def _wrap(self, path: Path, above: bytes, purpose: str) -> None:
        nonce = secrets.token_bytes(_NONCE)
        _write_new(path, nonce + AESGCM(above).encrypt(nonce, secrets.token_bytes(_BYTES), purpose.encode()))

    def _unwrap(self, path: Path, above: bytes, purpose: str) -> bytes:
        sealed = _read(path)
        try:
            return AESGCM(above).decrypt(sealed[:_NONCE], sealed[_NONCE:], purpose.encode())
        except (InvalidTag, ValueError) as error:
            raise MissingPartError("key.does-not-open", key=purpose) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise MissingPartError("key.missing", key=path.stem) from error


def _write_new(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _destroy(path: Path) -> bool:
    """Overwrite, then unlink: on a journalling or copy-on-write disk only the second is sure, so backups never hold this folder."""
    if not path.exists():
        return False
    with path.open("r+b") as stream:
        stream.write(secrets.token_bytes(path.stat().st_size))
        stream.flush()
        os.fsync(stream.fileno())
    path.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True
