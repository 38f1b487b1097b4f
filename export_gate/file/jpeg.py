"""JPEG, walked marker by marker before a decoder sees any of it (B22, B23).

ITU-T T.81, sequential only: a progressive picture may name thousands of scans over the same pixels, each of which costs its reader.
Comments, EXIF, XMP, profiles and thumbnails are dropped; bytes behind the end make a polyglot and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from export_gate.file.canonical import Picture
from export_gate.file.limits import MOST_PIXELS, MOST_SIDE
from export_gate.file.pixels import decode_pixels
from export_gate.file.problem import unreadable


_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_FRAMES = (0xC0, 0xC1)
_TABLES = (0xC4, 0xDB, 0xDD)
_ADOBE = 0xEE
"""Says how the three colours are meant, so it is kept; written anew, for it has room for more."""
_DROPPED = (*range(0xE0, 0xEE), 0xEF, 0xFE)
_MOST_SCANS = 4
_MOST_SEGMENTS = 64
_BAD = "file.bad-jpeg"


def read_jpeg(data: bytes) -> Picture:
    """Read a sequential JPEG of one or three colours.

    Raises:
        UnreadableError: its structure or its size is not what it should be.
    """
    kept = [b"\xff\xd8"]
    frames = scans = 0
    for marker, segment in _segments(data):
        frames += marker in _FRAMES
        scans += marker == _SCAN
        if marker in _FRAMES:
            _check_frame(segment[4:])
        if marker == _ADOBE:
            kept.append(_adobe(segment[4:]))
        elif marker not in _DROPPED:
            kept.append(segment)
    if frames != 1 or not 1 <= scans <= _MOST_SCANS:
        raise unreadable(_BAD)
    return Picture(*decode_pixels(b"".join([*kept, b"\xff\xd9"]), "JPEG", _BAD))


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give each marker between the first and the last with its whole segment; a scan's has its pixels in it."""
    place, number = 2, 0
    while True:
        number += 1
        if place + 2 > len(data) or data[place] != 0xFF or number > _MOST_SEGMENTS:
            raise unreadable(_BAD)
        marker = data[place + 1]
        if marker == _END:
            break
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if marker not in (*_FRAMES, *_TABLES, *_DROPPED, _ADOBE, _SCAN) or end < place + 4 or end > len(data):
            raise unreadable(_BAD)
        if marker == _SCAN:
            end = _scan_end(data, end)
        yield marker, data[place:end]
        place = end
    if place + 2 != len(data):
        raise unreadable("file.trailing-bytes")


def _scan_end(data: bytes, place: int) -> int:
    """Find the marker that ends a scan's pixels: there, 0xFF is followed by 0 or by a restart marker."""
    while True:
        place = data.find(b"\xff", place)
        if place < 0 or place + 1 >= len(data):
            raise unreadable(_BAD)
        if data[place + 1] != 0 and not 0xD0 <= data[place + 1] <= 0xD7:
            return place
        place += 2


def _check_frame(body: bytes) -> None:
    if len(body) < 6 or body[0] != 8 or body[5] not in {1, 3} or len(body) != 6 + 3 * body[5]:
        raise unreadable(_BAD)
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    if not (width and height):
        raise unreadable(_BAD)
    if max(width, height) > MOST_SIDE or width * height > MOST_PIXELS:
        raise unreadable("file.too-many-pixels")


def _adobe(body: bytes) -> bytes:
    return b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + body[11:12] if body[:5] == b"Adobe" and len(body) >= 12 else b""
