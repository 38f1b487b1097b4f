"""Undoing compression and columnar formats, wherever in the bytes they begin, within a bound that no bomb can pass (B2, B20)."""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


_SHORTEST = 8
_SHORTEST_BROKEN = 64
"""Noise that begins like a stream decodes to a few bytes before it breaks."""
_MOST_STARTS = 100_000
_PIECE = 1 << 16
_ENTRY = struct.Struct("<4s5H3I2H")
_STARTS = re.compile(
    rb"(?P<gzip>\x1f\x8b\x08)|(?P<bz2>BZh[1-9]1AY&SY)|(?P<xz>\xfd7zXZ\x00)|(?P<lzma>\x5d\x00\x00(?s:.)(?s:.)\xff{8})"
    rb"|(?P<zstd>\x28\xb5\x2f\xfd)|(?P<zip>PK\x03\x04)|(?P<zlib>[\x18\x28\x38\x48\x58\x68\x78](?s:.))"
)


@dataclass
class Room:
    """How many bytes may still be made; ``overflowed`` turns true when there were more."""

    left: int
    overflowed: bool = False

    def take(self, data: bytes) -> bytes:
        """Count bytes that were made."""
        if len(data) >= self.left:
            self.overflowed = True
        data = data[: max(self.left, 0)]
        self.left -= len(data)
        return data


def unpack(data: bytes, room: Room) -> Iterator[bytes]:
    """Give what each compressed stream holds, of which the beginning is found anywhere in the bytes; as much as can be read of it."""
    view = memoryview(data)
    for number, start in enumerate(_STARTS.finditer(data)):
        if number >= _MOST_STARTS or room.left <= 0:
            room.overflowed = True
            return
        made = _READERS[str(start.lastgroup)](view[start.start() :], room.left)
        if len(made) >= _SHORTEST:
            yield room.take(made)
    if room.left > 0 and len(whole := _raw(view, room.left)) >= _SHORTEST:
        yield room.take(whole)


def _gzip(data: memoryview, most: int) -> bytes:
    return _pieces(zlib.decompressobj(31), data, most)


def _zlib(data: memoryview, most: int) -> bytes:
    # Header check of RFC 1950: of random pairs of bytes one in 31 passes.
    if (data[0] << 8 | data[1]) % 31:
        return b""
    return _pieces(zlib.decompressobj(), data, most)


def _raw(data: memoryview, most: int) -> bytes:
    """A stream without a header is believed only when it fills the bytes from the first to the last."""
    reader = zlib.decompressobj(-15)
    try:
        made = reader.decompress(data, most)
    except zlib.error:
        return b""
    return made if (reader.eof and not reader.unused_data) or reader.unconsumed_tail else b""


def _entry(data: memoryview, most: int) -> bytes:
    """One entry of a zip archive, read without the directory at its end, which may be missing or lie."""
    if len(data) < _ENTRY.size:
        return b""
    fields = _ENTRY.unpack_from(data)
    method, name, extra = fields[3], fields[9], fields[10]
    # Other methods than this one store the bytes as they are, or begin with a mark of their own.
    body = data[_ENTRY.size + name + extra :]
    return _pieces(zlib.decompressobj(-15), body, most) if method == zlib.DEFLATED else b""


def _pieces(reader: Any, data: memoryview, most: int) -> bytes:
    """Read a stream piece by piece, keeping what came before a fault in it."""
    made, size = [], 0
    try:
        for start in range(0, len(data), _PIECE):
            made.append(reader.decompress(data[start : start + _PIECE], most - size))
            size += len(made[-1])
            if reader.eof or size >= most:
                break
    except (zlib.error, OSError, lzma.LZMAError, EOFError):
        return b"".join(made) if size >= _SHORTEST_BROKEN else b""
    return b"".join(made) if reader.eof or size >= _SHORTEST_BROKEN else b""


def _zstd(data: memoryview, most: int) -> bytes:
    import zstandard

    made, size = [], 0
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data) as reader:
            while size < most and (piece := reader.read(min(most - size, 1 << 20))):
                made.append(piece)
                size += len(piece)
    except zstandard.ZstdError:
        return b"".join(made)
    return b"".join(made)


_READERS: Mapping[str, Callable[[memoryview, int], bytes]] = {
    "gzip": _gzip,
    "zlib": _zlib,
    "bz2": lambda data, most: _pieces(bz2.BZ2Decompressor(), data, most),
    "xz": lambda data, most: _pieces(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 28), data, most),
    "lzma": lambda data, most: _pieces(lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=1 << 28), data, most),
    "zstd": _zstd,
    "zip": _entry,
}


def columnar(data: bytes, room: Room) -> Iterator[bytes]:
    """Give the rows of a Parquet or Arrow file as text, one line a row, and its key-value metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if data[:4] == b"PAR1":
            table = pq.read_table(pa.BufferReader(data))
        elif data[:6] == b"ARROW1":
            table = pa.ipc.open_file(data).read_all()
        else:
            return
    except (pa.ArrowException, OSError):
        # It only looks like one; its bytes are searched as they are.
        return
    notes = [item for pair in (table.schema.metadata or {}).items() for item in pair]
    yield room.take(b"\n".join(notes))
    if table.nbytes > room.left:
        room.overflowed = True
        return
    lines = ("\t".join("" if value is None else _text(value) for value in row.values()) for row in table.to_pylist())
    yield room.take("\n".join(["\t".join(table.column_names), *lines]).encode())


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
