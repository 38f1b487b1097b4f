"""One wrapped key as a file: a line that says what it is and under which keys it lies, then the bytes that only those keys open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lineage.canonical import decode, encode
from lineage.errors import MissingPartError
from sandbox.keys_files import read


@dataclass(frozen=True)
class SealedKey:
    """A wrapped key as it lies in the tree. The line is authenticated with the key, so nobody can relabel or re-date it.

    Attributes:
        purpose: what the key is for: ``tenant:<id>``, ``secret:<id>``, ``grant:<id>`` or ``seed:<name>``.
        generation: how often the key itself was made anew, from 1.
        made: when, RFC 3339.
        under: the key above: ``root-<generation>`` or ``tenant:<id>:<generation>``.
    """

    purpose: str
    generation: int
    made: str
    under: str
    sealed: bytes = b""

    def __post_init__(self) -> None:
        """Refuse a header that names nothing."""
        if not (self.purpose and self.made and self.under) or self.generation < 1:
            raise MissingPartError("key.does-not-open", key=self.purpose)

    @property
    def bound(self) -> bytes:
        """The line that the wrapping authenticates."""
        return encode(
            {"purpose": self.purpose, "generation": self.generation, "made": self.made, "under": self.under, "v": 2}
        )

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return self.bound + b"\n" + self.sealed


def read_sealed(path: Path, purpose: str) -> SealedKey:
    """Read a wrapped key and hold it to the purpose it is wanted for.

    Raises:
        MissingPartError: there is none, it is another's, or its line is not one that this program writes (law 7).
    """
    line, _, sealed = read(path).partition(b"\n")
    try:
        told = cast("dict[str, Any]", decode(line))
        found = SealedKey(str(told["purpose"]), int(told["generation"]), str(told["made"]), str(told["under"]), sealed)
    except (ValueError, TypeError, KeyError) as error:
        raise MissingPartError("key.does-not-open", key=purpose) from error
    if found.purpose != purpose or found.bound != line:
        raise MissingPartError("key.does-not-open", key=purpose)
    return found
