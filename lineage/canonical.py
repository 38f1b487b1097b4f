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
    _check(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("utf-8")


def decode(data: bytes) -> Json:
    """Read canonical bytes back; refuses what ``encode`` would not have written (law 7)."""
    value: Json = json.loads(data)
    if encode(value) != data:
        raise ValueError("the bytes are JSON, but not in canonical form")
    return value


def _check(value: Json) -> None:
    match value:
        case None | bool() | str():
            return
        case int():
            if abs(value) > _LARGEST_EXACT:
                raise ValueError("an integer beyond 2**53 - 1 has no canonical form; write it as a string")
        case Mapping():
            _check_mapping(value)
        case list() | tuple():
            for item in value:
                _check(item)
        case _:
            raise TypeError(f"{type(value).__name__} has no canonical form")


def _check_mapping(value: Mapping[Any, Json]) -> None:
    for key, item in value.items():
        # Sorting by code point equals RFC 8785's order by UTF-16 unit only below the surrogates' range.
        if not isinstance(key, str) or any(ord(char) > 0xD7FF for char in key):
            raise TypeError("object keys are strings of the basic plane")
        _check(item)
