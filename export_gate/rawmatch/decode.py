"""Every layer of a file: what it holds when it is unpacked, decoded, joined or turned round, as deep as the bounds allow (B2).

A decoder gives few large layers instead of many small ones: all runs of a text that might be base64 are decoded and laid one below the
other. What a layer holds is never run, only looked at. When a bound is met the answer says so, and what was not looked at counts as
not checked (law 7).
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from export_gate.rawmatch.columns import join_columns
from export_gate.rawmatch.packed import Room, columnar, unpack
from export_gate.rawmatch.spelled import (
    base32,
    base64_,
    base85,
    bits,
    byte_lists,
    escapes,
    hexadecimal,
    unwrapped,
)


SHORTEST = 8
_SURE = frozenset({"unpacked", "columnar"})
_READABLE = tuple(bytes([code]) for code in range(32, 127))
_READABLE_PERCENT = 90
_GLANCE = 1 << 16


@dataclass(frozen=True)
class Bounds:
    """How far to go.

    Attributes:
        depth: most steps from the file to a layer.
        most_bytes: most bytes of all layers together.
        most_layers: most layers.
    """

    depth: int = 6
    most_bytes: int = 192 << 20
    most_layers: int = 4000

    def __post_init__(self) -> None:
        """Refuse bounds under which nothing would be looked at."""
        if min(self.depth, self.most_bytes, self.most_layers) < 1:
            raise ValueError("bounds are at least 1")


@dataclass(frozen=True)
class Layer:
    """Bytes, and the steps by which they were reached from the file: ``("data.csv", "base64", "zlib")``."""

    path: tuple[str, ...]
    data: bytes


@dataclass
class Decoding:
    """The layers of files as they are walked; ``complete`` turns false when a bound was met."""

    bounds: Bounds = field(default_factory=Bounds)
    complete: bool = True
    layers: int = 0
    size: int = 0

    def walk(self, files: Mapping[str, bytes]) -> Iterator[Layer]:
        """Give every layer of every file once, files first."""
        queue = deque(Layer((name,), data) for name, data in files.items())
        seen: set[bytes] = set()
        while queue:
            layer = queue.popleft()
            digest = hashlib.sha256(layer.data).digest()
            if digest in seen or len(layer.data) < SHORTEST:
                continue
            if self.layers >= self.bounds.most_layers or self.size + len(layer.data) > self.bounds.most_bytes:
                self.complete = False
                return
            seen.add(digest)
            self.layers += 1
            self.size += len(layer.data)
            yield layer
            if len(layer.path) <= self.bounds.depth:
                queue.extend(self._below(layer))
            elif any(_tells(below) for below in self._below(layer)):
                self.complete = False

    def _below(self, layer: Layer) -> Iterator[Layer]:
        room = Room(self.bounds.most_bytes - self.size)
        for name, decoder in DECODERS.items():
            if (name in _ONCE and name in layer.path) or (name == "reversed" and len(layer.path) > 1):
                continue
            for data in decoder(layer.data, room):
                yield Layer((*layer.path, name), data)
        if room.overflowed:
            self.complete = False


def _spelled(decoder: Callable[[bytes], Iterator[bytes]]) -> Callable[[bytes, Room], Iterator[bytes]]:
    return lambda data, _: decoder(data)


def _reversed(data: bytes) -> Iterator[bytes]:
    yield data[::-1]


DECODERS: Mapping[str, Callable[[bytes, Room], Iterator[bytes]]] = {
    "unpacked": unpack,
    "columnar": columnar,
    "base64": _spelled(base64_),
    "base32": _spelled(base32),
    "base85": _spelled(base85),
    "hex": _spelled(hexadecimal),
    "escapes": _spelled(escapes),
    "byte list": _spelled(byte_lists),
    "bits": _spelled(bits),
    "unwrapped": _spelled(unwrapped),
    "columns": _spelled(join_columns),
    "reversed": _spelled(_reversed),
}
"""Every way of hiding that is undone, by the name that a layer's path shows."""

_ONCE = frozenset({"unwrapped", "columns", "columnar"})
"""Done once on the way to a layer: twice gives nothing new. A file is turned round as a whole; layers are read backwards by a view."""


def _tells(layer: Layer) -> bool:
    """Whether a layer that is one too deep was there on purpose: decoders make noise of any text, and noise is hardly ever readable."""
    readable = sum(map(layer.data.count, _READABLE))
    if layer.path[-1] in _SURE or 100 * readable >= _READABLE_PERCENT * len(layer.data):
        return True
    return any(True for _ in unpack(layer.data, Room(_GLANCE)))
