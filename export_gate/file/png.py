"""PNG, walked chunk by chunk before a decoder sees any of it: what a picture needs is kept, the rest dropped or refused (B22, B23).

ISO/IEC 15948. Trailing bytes make a polyglot and are refused; text, time, profile and animation chunks are dropped; the size is known
from the header before a byte is unpacked, and the unpacked length must be exactly what the header says.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from export_gate.file.canonical import Picture
from export_gate.file.limits import MOST_PIXELS, MOST_SIDE
from export_gate.file.pixels import SIGNATURE, chunk, decode_pixels
from export_gate.file.problem import unreadable


_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: {1, 2, 4, 8}, 2: {8}, 3: {1, 2, 4, 8}, 4: {8}, 6: {8}}
"""Bit depths by colour type; 16 bits a colour are twice the bytes for nothing that stays."""
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_FRAME = 12
_BAD = "file.bad-png"


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    depth: int
    colour: int

    @property
    def unpacked(self) -> int:
        """Bytes of the pixels once unpacked, a filter byte a row among them."""
        return self.height * (1 + -(-self.width * self.depth * _CHANNELS[self.colour] // 8))


def read_png(data: bytes) -> Picture:
    """Read a picture that is not animated and not interlaced.

    Raises:
        UnreadableError: its structure, a check sum or its size is not what it should be.
    """
    kept = list(_kept(data))
    header = _header(kept)
    _check_order([name for name, _ in kept])
    _check_unpacked(b"".join(body for name, body in kept if name == b"IDAT"), header.unpacked)
    plain = SIGNATURE + b"".join(chunk(name, body) for name, body in kept)
    return Picture(*decode_pixels(plain, "PNG", _BAD))


def _kept(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give the chunks that the pixels need, in their order, up to the last."""
    place = len(SIGNATURE)
    name = b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, place) if place + _FRAME <= len(data) else (0, b"")
        end = place + _FRAME + length
        if not name.isalpha() or end > len(data):
            raise unreadable(_BAD)
        body = data[place + 8 : end - 4]
        if zlib.crc32(name + body) != int.from_bytes(data[end - 4 : end], "big"):
            raise unreadable(_BAD)
        if name in _KEPT:
            yield name, body
        elif name[:1].isupper():
            # A critical chunk that this reader does not know may mean anything.
            raise unreadable(_BAD)
        place = end
    if place != len(data):
        raise unreadable("file.trailing-bytes")


def _header(kept: list[tuple[bytes, bytes]]) -> _Header:
    name, body = kept[0]
    if name != b"IHDR" or len(body) != 13:
        raise unreadable(_BAD)
    width, height, depth, colour, packing, filtering, interlacing = struct.unpack(">IIBBBBB", body)
    if depth not in _DEPTHS.get(colour, set()) or (packing, filtering, interlacing) != (0, 0, 0):
        raise unreadable(_BAD)
    if not (width and height):
        raise unreadable(_BAD)
    if max(width, height) > MOST_SIDE or width * height > MOST_PIXELS:
        raise unreadable("file.too-many-pixels")
    return _Header(width, height, depth, colour)


def _check_order(names: list[bytes]) -> None:
    """Check that every kept chunk stands once and in order, and the pixels together."""
    once = [name for place, name in enumerate(names) if place == 0 or (name, names[place - 1]) != (b"IDAT", b"IDAT")]
    if once != [name for name in _KEPT if name in once] or b"IDAT" not in once:
        raise unreadable(_BAD)


def _check_unpacked(packed: bytes, size: int) -> None:
    """Check that the pixels unpack to exactly their size and nothing follows; never unpacks more than that."""
    inflater = zlib.decompressobj()
    try:
        unpacked = inflater.decompress(packed, size + 1)
    except zlib.error as error:
        raise unreadable(_BAD) from error
    if len(unpacked) < size or (len(unpacked) == size and not inflater.eof):
        raise unreadable(_BAD)
    if len(unpacked) > size or inflater.unused_data:
        raise unreadable("file.trailing-bytes")
