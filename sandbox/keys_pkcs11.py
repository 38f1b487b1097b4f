"""The key service on a PKCS#11 token (OASIS PKCS#11 v2.40): keys are made on it, used on it, and never leave it (D9).

A domain needs AES-256 keys with CKM_AES_GCM. Which cipher machine a site must use is its assessment's matter; what a token cannot
do is an error here.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineage.errors import MissingPartError
from sandbox.keys_service import KEY_BYTES, NONCE_BYTES, check_name


if TYPE_CHECKING:
    from pkcs11 import Session


_TAG_BITS = 128
_ONE_AT_A_TIME = threading.Lock()
"""A login is the whole process's, so that threads with sessions of their own would log each other out."""


@dataclass(frozen=True, repr=False)
class Pkcs11Keys:
    """Named keys on one token, labelled ``<store>:<name>`` so that domains may share it.

    Attributes:
        module: the token's library.
        token: the token's label.
        pin: the file that holds the user's PIN; for its owner alone.
        store: the key folder's id.
    """

    module: Path
    token: str
    pin: Path
    store: str
    name: str = "pkcs11"

    def make(self, name: str) -> None:
        """Make an AES-256 key that is sensitive and cannot be extracted."""
        from pkcs11 import Attribute, KeyType
        from pkcs11.constants import MechanismFlag

        with self._session(write=True) as session:
            if self._find(session, name) is not None:
                return
            session.generate_key(
                KeyType.AES,
                KEY_BYTES * 8,
                label=self._label(name),
                store=True,
                capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
                template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.MODIFIABLE: False},
            )

    def wrap(self, name: str, data: bytes, bound: bytes) -> bytes:
        """Wrap bytes on the token with AES-256-GCM: nonce of 12 bytes, then ciphertext and tag.

        Raises:
            MissingPartError: the key, the token or its library is not there, or the PIN is wrong (law 7).
        """
        from pkcs11 import GCMParams, Mechanism

        nonce = secrets.token_bytes(NONCE_BYTES)
        with self._session() as session:
            key = self._key(session, name)
            param = GCMParams(nonce, bound, _TAG_BITS)
            return nonce + bytes(key.encrypt(data, mechanism=Mechanism.AES_GCM, mechanism_param=param))

    def unwrap(self, name: str, sealed: bytes, bound: bytes) -> bytes:
        """Give wrapped bytes back.

        Raises:
            MissingPartError: as ``wrap``; or these bytes were not wrapped under the key for this purpose.
        """
        from pkcs11 import GCMParams, Mechanism
        from pkcs11.exceptions import (
            ArgumentsBad,
            DataLenRange,
            EncryptedDataInvalid,
            EncryptedDataLenRange,
            FunctionFailed,
            GeneralError,
        )

        nonce, body = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        with self._session() as session:
            key = self._key(session, name)
            try:
                param = GCMParams(nonce, bound, _TAG_BITS)
                return bytes(key.decrypt(body, mechanism=Mechanism.AES_GCM, mechanism_param=param))
            # Tokens do not agree on how they say that a tag is wrong.
            except (
                ArgumentsBad,
                DataLenRange,
                EncryptedDataInvalid,
                EncryptedDataLenRange,
                FunctionFailed,
                GeneralError,
                ValueError,
            ) as error:
                raise MissingPartError("key.does-not-open", key=name) from error

    def destroy(self, name: str) -> bool:
        """Destroy a key on the token, and look that it is gone.

        Raises:
            MissingPartError: the token kept it.
        """
        with self._session(write=True) as session:
            found = self._find(session, name)
            if found is None:
                return False
            found.destroy()
            if self._find(session, name) is not None:
                raise MissingPartError("key.not-destroyed", key=name, service=self.name)
            return True

    def names(self) -> frozenset[str]:
        """Name the keys of this store."""
        from pkcs11 import Attribute, ObjectClass

        prefix = self._label("")
        with self._session() as session:
            found = session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})
            labels = [str(one[Attribute.LABEL]) for one in found]
        return frozenset(label.removeprefix(prefix) for label in labels if label.startswith(prefix))

    def _label(self, name: str) -> str:
        return f"{self.store}:{name}"

    def _key(self, session: Session, name: str) -> Any:
        found = self._find(session, name)
        if found is None:
            raise MissingPartError("key.missing", key=name)
        return found

    def _find(self, session: Session, name: str) -> Any:
        from pkcs11 import Attribute, ObjectClass

        check_name(name)
        found = list(session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: self._label(name)}))
        if len(found) > 1:
            raise MissingPartError("key.does-not-open", key=name)
        return found[0] if found else None

    @contextmanager
    def _session(self, *, write: bool = False) -> Iterator[Session]:
        try:
            import pkcs11
            from pkcs11.exceptions import PKCS11Error
        except ImportError as error:
            raise MissingPartError("key.no-library", library="python-pkcs11") from error
        with _ONE_AT_A_TIME:
            try:
                token = pkcs11.lib(str(self.module)).get_token(token_label=self.token)
                with token.open(rw=write, user_pin=self._read_pin()) as session:
                    yield session
            except (PKCS11Error, RuntimeError) as error:
                detail = type(error).__name__
                raise MissingPartError("key.service-down", service=self.name, detail=detail) from error

    def _read_pin(self) -> str:
        try:
            return self.pin.read_text(encoding="utf-8").strip()
        except OSError as error:
            detail = f"pin-source {self.pin}"
            raise MissingPartError("key.service-down", service=self.name, detail=detail) from error
