"""The key service: the few keys at the top of the tree, and the one interface by which a file, a token or a KMS holds them (D9).

Two sorts of key have a name here. ``root-<generation>`` wraps every tenant's key. ``end-<id>`` is the *end key* of one tenant or one
grant: what it wraps ends with it. End keys are what destruction really destroys (law 10): they lie in one place, and but for the key
copies, which the end reaches, nowhere else; so a copied key folder is worth nothing once they are gone.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lineage.errors import MissingPartError
from sandbox.keys_files import destroy, read, write_new


KEY_BYTES = 32
NONCE_BYTES = 12
_NAME = re.compile(r"(root-[1-9][0-9]{0,8}|end-[A-Za-z0-9-]{1,80})")


class KeyService(Protocol):
    """Holds named 256-bit keys and uses them; no caller ever sees one.

    ``bound`` is authenticated with what is wrapped and must be given again to unwrap it.
    """

    @property
    def name(self) -> str:
        """What the settings call it."""

    def make(self, name: str) -> None:
        """Make a key; one of that name stays as it is, because a crash may have left it."""

    def wrap(self, name: str, data: bytes, bound: bytes) -> bytes:
        """Wrap bytes under a key."""

    def unwrap(self, name: str, sealed: bytes, bound: bytes) -> bytes:
        """Give wrapped bytes back."""

    def destroy(self, name: str) -> bool:
        """Destroy a key for good; whether it was there."""

    def names(self) -> frozenset[str]:
        """Name every key of this domain that the service holds."""


@dataclass(frozen=True, repr=False)
class FileKeys:
    """Keys as files: roots in one folder, ends in another that is never copied.

    Whoever copies both folders while a key lives keeps it; a token or a KMS is for sites to which that matters.
    """

    roots: Path
    ends: Path
    name: str = "file"

    def make(self, name: str) -> None:
        """Make a key from the operating system's randomness (law 9)."""
        path = self._path(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            write_new(path, secrets.token_bytes(KEY_BYTES))

    def wrap(self, name: str, data: bytes, bound: bytes) -> bytes:
        """Wrap bytes with AES-256-GCM.

        Raises:
            MissingPartError: the key is not there, or is no key (law 7).
        """
        return wrap_with(self._key(name), data, bound)

    def unwrap(self, name: str, sealed: bytes, bound: bytes) -> bytes:
        """Give wrapped bytes back.

        Raises:
            MissingPartError: the key is not there, or these bytes were not wrapped under it for this purpose.
        """
        return unwrap_with(self._key(name), sealed, bound, name)

    def destroy(self, name: str) -> bool:
        """Overwrite and unlink the key's file."""
        return destroy(self._path(name))

    def names(self) -> frozenset[str]:
        """Name the keys of both folders."""
        found = {path.stem for folder in (self.roots, self.ends) for path in folder.glob("*.key")}
        return frozenset(name for name in found if _NAME.fullmatch(name))

    def _path(self, name: str) -> Path:
        check_name(name)
        return (self.roots if name.startswith("root-") else self.ends) / f"{name}.key"

    def _key(self, name: str) -> bytes:
        key = read(self._path(name))
        if len(key) != KEY_BYTES:
            raise MissingPartError("key.does-not-open", key=name)
        return key


def check_name(name: str) -> None:
    """Check that a key's name is one of the tree's: it becomes a file name, a label, a path of a URL.

    Raises:
        MissingPartError: it is not.
    """
    if _NAME.fullmatch(name) is None:
        raise MissingPartError("key.missing", key=name)


def wrap_with(key: bytes, data: bytes, bound: bytes) -> bytes:
    """Wrap bytes under a 32-byte key: nonce of 12 bytes, then AES-256-GCM (NIST SP 800-38D) with ``bound`` authenticated."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, bound)


def unwrap_with(key: bytes, sealed: bytes, bound: bytes, name: str) -> bytes:
    """Give wrapped bytes back.

    Raises:
        MissingPartError: they do not open; ``name`` is for the message.
    """
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError) as error:
        raise MissingPartError("key.does-not-open", key=name) from error


def key_service(setting: str, *, store: str, roots: Path, ends: Path) -> KeyService:
    """Give the service that the domain's setting ``root_keys`` names; ``store`` keeps domains apart that share a token or a KMS.

    ``file``; ``pkcs11:token=NAME?module-path=PATH&pin-source=FILE`` (RFC 7512); ``kms:https://HOST/v1/transit?token-file=…&ca-file=…``.

    Raises:
        MissingPartError: the setting is none of these, or what it names is not there; nothing falls back (law 7).
    """
    kind, _, rest = setting.partition(":")
    if setting == "file":
        return FileKeys(roots, ends)
    if kind == "pkcs11" and rest:
        from sandbox.keys_pkcs11 import Pkcs11Keys

        path, _, query = rest.partition("?")
        attributes = dict(part.partition("=")[::2] for part in path.split(";") if part)
        asked = _query(query, setting, {"module-path", "pin-source"})
        if not attributes.get("token"):
            raise MissingPartError("key.bad-setting", setting=setting)
        pin = asked["pin-source"].removeprefix("file:")
        return Pkcs11Keys(Path(asked["module-path"]), unquote(attributes["token"]), Path(pin), store)
    if kind == "kms" and rest:
        from sandbox.keys_kms import KmsKeys

        url = urlsplit(rest)
        asked = _query(url.query, setting, {"token-file"}, {"ca-file"})
        if url.scheme != "https" or not url.hostname or url.username or url.fragment:
            raise MissingPartError("key.bad-setting", setting=setting)
        authority = Path(asked["ca-file"]) if "ca-file" in asked else None
        return KmsKeys(f"https://{url.netloc}{url.path.rstrip('/')}", Path(asked["token-file"]), authority, store)
    raise MissingPartError("key.bad-setting", setting=setting)


def _query(
    query: str, setting: str, needed: set[str], optional: frozenset[str] | set[str] = frozenset()
) -> Mapping[str, str]:
    found = {name: values[0] for name, values in parse_qs(query).items() if len(values) == 1}
    if not needed <= set(found) <= needed | optional:
        raise MissingPartError("key.bad-setting", setting=setting)
    return found
