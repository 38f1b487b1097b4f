"""Signed notes and checkpoints in the C2SP forms (signed-note, tlog-checkpoint), with Ed25519 of the ``cryptography`` package.

A note is text, an empty line, and signature lines; a verifier ignores signatures of keys it does not know, so a second, national
algorithm can stand beside Ed25519 without a new format (D9).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from lineage.errors import GateRefusedError


_ED25519 = b"\x01"
_DASH = "—"


def decode_base64(text: str) -> bytes:
    """Read standard base64; refuses a second spelling of the same bytes, so that no bit of a note or a proof is free.

    Raises:
        ValueError: the text is not the base64 of any bytes.
    """
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not the canonical base64 of its bytes")
    return raw


def _check_name(name: str) -> None:
    if not name or "+" in name or any(char.isspace() or not char.isprintable() for char in name):
        raise ValueError("the name of a key is printable text without spaces and plus signs")


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


@dataclass(frozen=True)
class Verifier:
    """A public key with the name it signs under; ``encoded`` is the vkey form ``name+hash+key``."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.public) != 32:
            raise ValueError("an Ed25519 public key has 32 bytes")

    @classmethod
    def decode(cls, encoded: str) -> Verifier:
        """Read a vkey.

        Raises:
            GateRefusedError: the text is no vkey of a known algorithm, or its hash does not fit.
        """
        try:
            name, key_id, key = encoded.strip().split("+", 2)
            raw = decode_base64(key)
            verifier = cls(name, raw[1:])
        except ValueError as error:
            raise GateRefusedError("log.bad-key") from error
        if raw[:1] != _ED25519 or _key_id(name, raw[1:]).hex() != key_id:
            raise GateRefusedError("log.bad-key")
        return verifier

    @property
    def encoded(self) -> str:
        """The vkey text that is given to recipients and auditors."""
        key = base64.b64encode(_ED25519 + self.public).decode()
        return f"{self.name}+{_key_id(self.name, self.public).hex()}+{key}"

    def open(self, note: str) -> str:
        """Give the text of a note that this key signed.

        Raises:
            GateRefusedError: the form is wrong, or no signature of this key holds.
        """
        text, separator, signatures = note.rpartition("\n\n")
        if not separator or not signatures.endswith("\n"):
            raise GateRefusedError("log.bad-note")
        text += "\n"
        expected = _key_id(self.name, self.public)
        for line in signatures[:-1].split("\n"):
            if self._holds(line, text, expected):
                return text
        raise GateRefusedError("log.bad-signature", name=self.name)

    def _holds(self, line: str, text: str, expected: bytes) -> bool:
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != _DASH or parts[1] != self.name:
            return False
        try:
            raw = decode_base64(parts[2])
            if raw[:4] != expected:
                return False
            Ed25519PublicKey.from_public_bytes(self.public).verify(raw[4:], text.encode())
        except (ValueError, InvalidSignature):
            return False
        return True


@dataclass(frozen=True, repr=False)
class Signer:
    """A private key with the name it signs under; its repr shows no key (law 9)."""

    name: str
    private: Ed25519PrivateKey

    def __post_init__(self) -> None:
        _check_name(self.name)

    @classmethod
    def generate(cls, name: str) -> Signer:
        """Make a new key from the operating system's randomness (law 9)."""
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> Signer:
        """Load a key from its 32-byte seed."""
        return cls(name, Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def seed(self) -> bytes:
        """The 32 bytes to keep in the key folder."""
        return self.private.private_bytes_raw()

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        raw = self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return Verifier(self.name, raw)

    def sign(self, text: str) -> str:
        """Give the signed note of a text that ends in a newline."""
        if not text.endswith("\n"):
            raise ValueError("the text of a note ends in a newline")
        signature = base64.b64encode(
            _key_id(self.name, self.verifier.public) + self.private.sign(text.encode())
        ).decode()
        return f"{text}\n{_DASH} {self.name} {signature}\n"


@dataclass(frozen=True)
class Checkpoint:
    """The signed state of a log: its name, how many entries it has, and the root over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The body that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def open(cls, note: str, verifier: Verifier) -> Checkpoint:
        """Read a signed checkpoint: the key's signature, over a log of the key's own name.

        Raises:
            GateRefusedError: the signature does not hold, the text is no checkpoint, or it is one of another log.
        """
        checkpoint = cls.parse(verifier.open(note))
        if checkpoint.origin != verifier.name:
            raise GateRefusedError("log.other-log", origin=checkpoint.origin, name=verifier.name)
        return checkpoint

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read the body of a note.

        Raises:
            GateRefusedError: the text is no checkpoint.
        """
        lines = text.split("\n")
        try:
            origin, size, root = lines[0], lines[1], decode_base64(lines[2])
            checkpoint = cls(origin, int(size), root)
        except (IndexError, ValueError) as error:
            raise GateRefusedError("log.bad-note") from error
        if not origin or len(root) != 32 or checkpoint.size < 0 or str(checkpoint.size) != size:
            raise GateRefusedError("log.bad-note")
        return checkpoint
