"""Pixels: few levels a colour, nothing transparent, one fixed PNG (B22, B23).

Sixteen levels a colour leave nothing of the low bits in which pictures are made to carry data; what lies under a transparent pixel is
painted over with white. The encoder is written out here because a library's has choices, and a choice is a channel.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import TYPE_CHECKING

from export_gate.file.problem import unreadable


if TYPE_CHECKING:
    from PIL.Image import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LEVELS = bytes(range(0, 256, 17))
_TO_LEVEL = [((value * 15 + 127) // 255) * 17 for value in range(256)]


def decode_pixels(data: bytes, form: str, problem: str) -> tuple[int, int, bytes]:
    """Decode a picture whose structure was checked; gives width, height, and rows of three levels a pixel.

    Raises:
        UnreadableError: ``problem``: the decoder does not take it.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=[form]) as opened:
                return _levels(opened)
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Warning, Image.DecompressionBombError) as error:
        raise unreadable(problem) from error


def _levels(opened: Image) -> tuple[int, int, bytes]:
    from PIL import Image

    shown = Image.new("RGBA", opened.size, (255, 255, 255, 255))
    shown.alpha_composite(opened.convert("RGBA"))
    flat = shown.convert("RGB").point(_TO_LEVEL * 3)
    return flat.width, flat.height, flat.tobytes()


def png_bytes(width: int, height: int, pixels: bytes) -> bytes:
    """Write a PNG (ISO/IEC 15948) of 8 bits a colour: no filter, no interlacing, no chunk but the three it needs."""
    row = 3 * width
    plain = b"".join(b"\0" + pixels[start : start + row] for start in range(0, row * height, row))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(plain, 9)), (b"IEND", b""))
    return SIGNATURE + b"".join(chunk(name, data) for name, data in chunks)


def chunk(name: bytes, data: bytes) -> bytes:
    """Write one chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
