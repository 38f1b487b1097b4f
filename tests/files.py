"""Files as a tenant's code may leave them, honest and hostile, for the tests of the gate's file lane."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from export_gate.file.cells import Column
from export_gate.file.pixels import SIGNATURE, chunk


COLUMNS = (Column("district", "text"), Column("visits", "integer"), Column("share", "decimal", 2))
ROWS: Sequence[tuple[str, int, float]] = (("south", 20, 0.25), ("north", 7, 0.5), ("east", 100, 0.125))
CANONICAL = b"district,visits,share\neast,100,0.12\nnorth,7,0.50\nsouth,20,0.25\n"
"""What each honest file below comes to, whatever it was written with."""


def frame() -> pa.Table:
    """The rows as an Arrow table."""
    return pa.table({column.name: [row[place] for row in ROWS] for place, column in enumerate(COLUMNS)})


def parquet(table: pa.Table | None = None, **options: Any) -> bytes:
    """Write a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(frame() if table is None else table, sink, **options)
    return sink.getvalue()


def arrow(table: pa.Table | None = None, compression: str | None = None) -> bytes:
    """Write an Arrow file."""
    given, sink = frame() if table is None else table, io.BytesIO()
    with pa.ipc.new_file(sink, given.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(given)
    return sink.getvalue()


def csv_text() -> bytes:
    """The rows as CSV, as pandas writes them on Windows."""
    return b"district,visits,share\r\n" + b"".join(f"{a},{b},{c}\r\n".encode() for a, b, c in ROWS)


def json_lines() -> bytes:
    """The rows as JSON lines."""
    return b"".join(f'{{"share": {c}, "visits": {b}, "district": "{a}"}}\n'.encode() for a, b, c in ROWS)


def picture(size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    """A plain drawing: a blue bar on white."""
    drawn = Image.new("RGB", size, (255, 255, 255))
    drawn.paste((0, 85, 170), (5, 5, size[0] // 2, size[1] - 5))
    return drawn.convert(mode)


def image(drawn: Image.Image | None = None, form: str = "PNG", **options: Any) -> bytes:
    """Write a picture."""
    sink = io.BytesIO()
    (picture() if drawn is None else drawn).save(sink, form, **options)
    return sink.getvalue()


def png_of(width: int, height: int, packed: bytes, *others: tuple[bytes, bytes]) -> bytes:
    """Write a grey PNG with any header over any packed pixels, and any chunks before them."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *(chunk(name, data) for name, data in others)]
    return SIGNATURE + b"".join([*parts, chunk(b"IDAT", packed), chunk(b"IEND", b"")])


def bomb(size: int) -> bytes:
    """Pack so many zero bytes without ever holding them."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(min(1 << 20, size - done))) for done in range(0, size, 1 << 20)]
    return b"".join([*parts, packer.flush()])


HONEST: Mapping[str, bytes] = {
    "csv": csv_text(),
    "json-lines": json_lines(),
    "parquet": parquet(),
    "arrow": arrow(),
}
