"""The key service as a KMS that speaks the Transit API of OpenBao and Vault, over TLS and nothing else (D9).

Each named key is a Transit key of its own, of type ``aes256-gcm96``, which cannot be exported nor backed up in clear; ending a
tenant deletes its key there. The policy of the token needs create, read, update and delete on ``keys/<store>-*``, update on
``encrypt/`` and ``decrypt/`` of the same, and list on ``keys``. See https://openbao.org/api-docs/secret/transit/ .
"""

from __future__ import annotations

import base64
import binascii
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from lineage.errors import MissingPartError
from sandbox.keys_service import check_name


_TIMEOUT = 10
_LARGEST = 1 << 20


@dataclass(frozen=True, repr=False)
class KmsKeys:
    """Named keys of one Transit mount, called ``<store>-<name>`` there so that domains may share it.

    Attributes:
        base: the mount's address, such as ``https://kms.example:8200/v1/transit``.
        token: the file that holds the token; for its owner alone, read at each call so that an agent may renew it.
        authority: the certificate of who signed the server's; the system's where it is None.
        store: the key folder's id.
    """

    base: str
    token: Path
    authority: Path | None
    store: str
    name: str = "kms"

    def make(self, name: str) -> None:
        """Make a key that cannot be exported."""
        if name in self.names():
            return
        told = {"type": "aes256-gcm96", "exportable": False, "allow_plaintext_backup": False}
        self._ask("POST", f"keys/{self._key(name)}", told)

    def wrap(self, name: str, data: bytes, bound: bytes) -> bytes:
        """Wrap bytes in the KMS.

        Raises:
            MissingPartError: the key or the KMS is not there, or it refuses the token (law 7).
        """
        # Transit makes a key that it does not know; a key that was destroyed must not come back by that.
        self._check_there(name)
        told = {"plaintext": _text(data), "associated_data": _text(bound)}
        answer = self._ask("POST", f"encrypt/{self._key(name)}", told)
        return str(self._field(answer, "ciphertext")).encode("ascii")

    def unwrap(self, name: str, sealed: bytes, bound: bytes) -> bytes:
        """Give wrapped bytes back.

        Raises:
            MissingPartError: as ``wrap``; or these bytes were not wrapped under the key for this purpose.
        """
        self._check_there(name)
        told = {"ciphertext": sealed.decode("ascii", errors="replace"), "associated_data": _text(bound)}
        answer = self._ask("POST", f"decrypt/{self._key(name)}", told, refused=name)
        try:
            return base64.b64decode(str(self._field(answer, "plaintext")), validate=True)
        except binascii.Error as error:
            raise MissingPartError("key.does-not-open", key=name) from error

    def destroy(self, name: str) -> bool:
        """Delete a key in the KMS, and look that it is gone.

        Raises:
            MissingPartError: the KMS kept it, or is down.
        """
        if not self._there(name):
            return False
        self._ask("POST", f"keys/{self._key(name)}/config", {"deletion_allowed": True})
        self._ask("DELETE", f"keys/{self._key(name)}")
        if self._there(name):
            raise MissingPartError("key.not-destroyed", key=name, service=self.name)
        return True

    def names(self) -> frozenset[str]:
        """Name the keys of this store."""
        answer = self._ask("GET", "keys?list=true", absent_is_none=True)
        found = [] if answer is None else self._field(answer, "keys")
        prefix = f"{self.store}-"
        return frozenset(str(one).removeprefix(prefix) for one in found if str(one).startswith(prefix))

    def _key(self, name: str) -> str:
        check_name(name)
        return f"{self.store}-{name}"

    def _there(self, name: str) -> bool:
        return self._ask("GET", f"keys/{self._key(name)}", absent_is_none=True) is not None

    def _check_there(self, name: str) -> None:
        if not self._there(name):
            raise MissingPartError("key.missing", key=name)

    def _field(self, answer: Mapping[str, Any] | None, field: str) -> Any:
        data = (answer or {}).get("data")
        if not isinstance(data, Mapping) or field not in data:
            self._down(f"no {field}")
        return data[field]

    def _ask(
        self,
        method: str,
        path: str,
        told: Mapping[str, Any] | None = None,
        *,
        absent_is_none: bool = False,
        refused: str = "",
    ) -> Mapping[str, Any] | None:
        """Ask once. ``refused`` names the key of which a 400 says that these bytes do not open under it."""
        body = None if told is None else json.dumps(told).encode()
        # The mount's address was held to https when the setting was read.
        request = Request(f"{self.base}/{path}", data=body, method=method, headers=self._headers())  # noqa: S310
        try:
            with self._opener().open(request, timeout=_TIMEOUT) as response:
                data = response.read(_LARGEST)
        except HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND and absent_is_none:
                return None
            if error.code == HTTPStatus.BAD_REQUEST and refused:
                raise MissingPartError("key.does-not-open", key=refused) from error
            self._down(f"HTTP {error.code}")
        except (OSError, HTTPException) as error:
            self._down(type(getattr(error, "reason", error)).__name__)
        return self._read(data)

    def _read(self, data: bytes) -> Mapping[str, Any]:
        try:
            answer = json.loads(data) if data else {}
        except ValueError:
            self._down("no JSON")
        return answer if isinstance(answer, Mapping) else {}

    def _headers(self) -> Mapping[str, str]:
        try:
            token = self.token.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            self._down(f"token-file {self.token}")
        return {"X-Vault-Token": token, "X-Vault-Request": "true", "Content-Type": "application/json"}

    def _opener(self) -> OpenerDirector:
        try:
            context = ssl.create_default_context(cafile=None if self.authority is None else str(self.authority))
        except OSError:
            self._down(f"ca-file {self.authority}")
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # No proxy and no redirect: the token goes to the server that the settings name.
        return build_opener(ProxyHandler({}), HTTPSHandler(context=context), _NoRedirect())

    def _down(self, detail: str) -> NoReturn:
        raise MissingPartError("key.service-down", service=self.name, detail=detail)


class _NoRedirect(HTTPRedirectHandler):
    """Follows nothing: a redirect becomes the error that it is here."""

    def redirect_request(self, *_about: object) -> None:
        """Refuse."""


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
