"""Canonical JSON (RFC 8785) for the values that the log and the releases hold: no floats, so equal values are equal bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias


Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"

_LARGEST_EXACT = 2**53 - 1
"""RFC 8785 numbers are IEEE doubles; a larger integer would not read back equal elsewhere."""


def encode(value: Json) -> bytes:
    """Give the RFC 8785 bytes of a value.

    Raises:
        TypeError: a float, or anything JSON does not know. Measures are written as decimal strings.
        ValueError: an integer beyond 2**53 - 1, or a string that is not Unicode text.
    """
    ordered = _ordered(value)
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


def decode(data: bytes) -> Json:
    """Read canonical bytes back; refuses what ``encode`` would not have written (law 7).

    Raises:
        TypeError, ValueError: the bytes are not the canonical form of any value.
    """
    try:
        value: Json = json.loads(data)
        same = encode(value) == data
    except RecursionError as error:
        raise ValueError("the bytes are nested too deeply") from error
    if not same:
        raise ValueError("the bytes are JSON, but not in canonical form")
    return value


def _ordered(value: Json) -> Json:
    match value:
        case None | bool() | str():
            return value
        case int():
            if abs(value) > _LARGEST_EXACT:
                raise ValueError("an integer beyond 2**53 - 1 has no canonical form; write it as a string")
            return value
        case Mapping():
            return _ordered_mapping(value)
        case list() | tuple():
            return [_ordered(item) for item in value]
        case _:
            raise TypeError(f"{type(value).__name__} has no canonical form")


def _ordered_mapping(value: Mapping[Any, Json]) -> Json:
    if not all(isinstance(key, str) for key in value):
        raise TypeError("object keys are strings")
    # RFC 8785 §3.2.3 sorts by UTF-16 unit, which is not code point order once a key leaves the basic plane.
    return {key: _ordered(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be"))}
