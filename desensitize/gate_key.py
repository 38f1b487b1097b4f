"""The gate's own key: seals what the gate remembers of everybody's tables, and marks subjects the same for all tenants (law 4, D9).

It hangs under the root of the key tree and not under a tenant, because what was released of people stays released when the tenant
that asked for it is gone. It is made when the first table about somebody is provisioned.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Connection

from lineage.canonical import encode
from lineage.errors import MissingPartError
from lineage.kinds import Kind
from lineage.log import PLATFORM
from sandbox.domain import Domain


NAME = "gate"
_BYTES = 32
_NONCE = 12


@dataclass(frozen=True, repr=False)
class GateKey:
    """The gate's key of 32 bytes; its repr does not show it (law 9).

    Raises:
        MissingPartError: it is of another length (law 7).
    """

    root: bytes

    def __post_init__(self) -> None:
        if len(self.root) != _BYTES:
            raise MissingPartError("key.missing", key=NAME)

    def derive(self, purpose: str) -> bytes:
        """Give the key of 32 bytes for one purpose."""
        return HKDF(hashes.SHA256(), _BYTES, None, f"shuzha gate {purpose}".encode()).derive(self.root)

    def sealer(self, purpose: str) -> Sealer:
        """Give what seals and opens blobs of one purpose."""
        return Sealer(purpose, AESGCM(self.derive(purpose)))


@dataclass(frozen=True, repr=False)
class Sealer:
    """Seals blobs with AES-256-GCM, each bound to its place, so that none can stand in for another."""

    purpose: str
    cipher: AESGCM

    def seal(self, data: bytes, *place: str | int) -> bytes:
        """Seal a blob for its place; 28 bytes longer than it was."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self.cipher.encrypt(nonce, data, encode([self.purpose, *place]))

    def open(self, sealed: bytes, *place: str | int) -> bytes:
        """Open a blob of a place.

        Raises:
            MissingPartError: it is damaged, of another place, or sealed under another key (law 7).
        """
        try:
            return self.cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], encode([self.purpose, *place]))
        except (InvalidTag, ValueError) as error:
            raise MissingPartError("records.does-not-open", purpose=self.purpose) from error


def ensure_gate_key(domain: Domain) -> GateKey:
    """Give the gate's key; made, on the log, when there has never been one (law 5).

    Raises:
        MissingPartError: the log says that there is one and it is gone: another one would know nobody again (law 7).
    """
    with domain.read() as connection:
        made = _is_logged(domain, connection)
    if not made:
        with domain.change(PLATFORM) as change:
            if not _is_logged(domain, change.connection):
                _make(domain)
                change.record(Kind.KEY_CREATED, [NAME], {"level": NAME})
    return gate_key(domain)


def gate_key(domain: Domain) -> GateKey:
    """Give the gate's key.

    Raises:
        MissingPartError: there is none, or it does not open.
    """
    return GateKey(domain.keys.read_seed(NAME))


def _make(domain: Domain) -> None:
    try:
        domain.keys.write_seed(NAME, secrets.token_bytes(_BYTES))
    except FileExistsError:
        # A crash left a key without its entry; nothing was sealed under it before the entry.
        return


def _is_logged(domain: Domain, connection: Connection) -> bool:
    return any(entry.kind is Kind.KEY_CREATED for entry in domain.log.about(connection, NAME))
