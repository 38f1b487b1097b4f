"""Tokens instead of direct identifiers: keyed, one-way, the same everywhere in one scenario and nowhere else (P1, E3).

A token is the first 128 bits of HMAC-SM3 (GB/T 32905-2016, RFC 2104) over the canonical spelling of a value, as 32 hex characters.
The key is HKDF-SM3 (RFC 5869) of the tenant's key over tenant, scenario, key version and the class of the value, so that
values of one class join across all tables of a scenario whatever their columns are called, and two scenarios share nothing.
An unkeyed hash would be no protection: all resident numbers can be hashed in two days.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from desensitize.entities import Entity, canonical_array
from desensitize.sampling import threshold
from lineage.canonical import encode
from lineage.errors import MissingPartError


if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from pyspark.sql import Column as SparkColumn

_KEY_BYTES = 32
_TOKEN_BYTES = 16


@dataclass(frozen=True, repr=False)
class ScenarioKeys:
    """The two keys of one scenario: one makes tokens, the other decides who is sampled; its repr shows neither (law 9).

    Whoever can tell who is in a sample knows more than the sample says, so the keys differ.

    Raises:
        MissingPartError: a key is not 32 bytes (law 7).
    """

    token_key: bytes
    sample_key: bytes
    version: int = 1

    def __post_init__(self) -> None:
        if {len(self.token_key), len(self.sample_key)} != {_KEY_BYTES} or self.token_key == self.sample_key:
            raise MissingPartError("desensitize.key-missing")

    def __repr__(self) -> str:
        """Say that there are keys, not which."""
        return f"ScenarioKeys(version={self.version})"

    @classmethod
    def derive(cls, tenant_key: bytes, *, tenant: str, scenario: str, version: int = 1) -> ScenarioKeys:
        """Derive the keys of a scenario from its tenant's key of 32 bytes.

        Raises:
            MissingPartError: the tenant's key is not 32 bytes (law 7).
        """
        if len(tenant_key) != _KEY_BYTES:
            raise MissingPartError("desensitize.key-missing")
        scope = (tenant, scenario, version)
        return cls(_derive(tenant_key, "token", *scope), _derive(tenant_key, "sample", *scope), version)

    def of(self, entity: Entity) -> bytes:
        """The token key of one class of values."""
        return _derive(self.token_key, "class", entity.value)


def tokens(values: pa.Array, entity: Entity, keys: ScenarioKeys) -> pa.Array:
    """Replace values by tokens; text of 32 hex characters, NULL where there is no value."""
    return _hex(_digests(canonical_array(values, entity), keys.of(entity)))


def token_expression(value: SparkColumn, entity: Entity, keys: ScenarioKeys) -> SparkColumn:
    """Replace a Spark column by tokens; the key travels in the function, never in a query text that a log might keep (law 9)."""
    key = keys.of(entity)

    def tokenise(values: Any) -> Any:
        return _hex(_digests(canonical_array(values, entity), key))

    return _vectorised(tokenise, "string")(value.cast("string"))


def known_tokens(canonical: pa.Array, entity: Entity, keys: ScenarioKeys) -> pa.Array:
    """Give the token of each subject, spelled canonically; text of 32 hex characters."""
    return _hex(_digests(canonical, keys.of(entity)))


def marks(canonical: pa.Array, key: bytes, *scope: str) -> pa.Array:
    """Give the gate's own mark of each subject, spelled canonically: 16 bytes, the same for every tenant and at every time.

    The first 128 bits of HMAC-SM3 under a key of 32 bytes derived for the scope. No tenant holds a mark: two tenants who could
    compare marks could join their tables (D1).
    """
    import pyarrow as pa

    return pa.array(_digests(canonical, _derive(key, "mark", *scope)), pa.binary())


def sampled_tokens(canonical: pa.Array, entity: Entity, keys: ScenarioKeys, rate: Fraction) -> pa.Array:
    """Give the token of each subject, spelled canonically, that the sample of this rate holds; NULL for all others (P2).

    A subject is in iff the first 64 bits of HMAC-SM3 over the token's 16 bytes, under the sample key, lie below ``rate`` of 2**64.
    """
    import pyarrow as pa

    below = threshold(rate)
    # One byte longer, and so above every draw, where the rate is 1.
    bound = min(below, (1 << 64) - 1).to_bytes(8) + (b"\1" if below >> 64 else b"")
    mark, draw = _keyed(keys.of(entity)).copy, _keyed(keys.sample_key).copy
    found: list[str | None] = []
    for value in canonical.cast(pa.binary()).to_pylist():
        one, two = mark(), draw()
        one.update(value)
        token = one.finalize()[:_TOKEN_BYTES]
        two.update(token)
        found.append(token.hex() if two.finalize()[:8] < bound else None)
    return pa.array(found, pa.string())


def _derive(key: bytes, *scope: str | int) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    # A JSON list as info: no two scopes can be spelled alike, whatever characters their names hold.
    return HKDF(hashes.SM3(), _KEY_BYTES, None, encode(["shuzha", *scope])).derive(key)


def _keyed(key: bytes) -> Any:
    """An HMAC that is keyed once and copied for each value: keying costs more than hashing."""
    from cryptography.hazmat.primitives import hashes, hmac

    return hmac.HMAC(key, hashes.SM3())


def _digests(values: pa.Array, key: bytes) -> list[bytes | None]:
    import pyarrow as pa

    copy = _keyed(key).copy
    result: list[bytes | None] = []
    append = result.append
    for value in values.cast(pa.binary()).to_pylist():
        if value is None:
            append(None)
            continue
        one = copy()
        one.update(value)
        append(one.finalize()[:_TOKEN_BYTES])
    return result


def _hex(digests: list[bytes | None]) -> pa.Array:
    import pyarrow as pa

    return pa.array([None if digest is None else digest.hex() for digest in digests], pa.string())


def _vectorised(function: Callable[[Any], Any], returns: str) -> Any:
    import pyarrow as pa
    from pyspark.sql.functions import arrow_udf

    # Spark reads the kind of the function from real types; annotations of this module are text.
    function.__annotations__ = {"values": pa.Array, "return": pa.Array}
    # Left deterministic, the optimiser may evaluate it once for a filter and again for the value.
    return arrow_udf(function, returns).asNondeterministic()
