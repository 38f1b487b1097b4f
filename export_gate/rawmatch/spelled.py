"""Undoing ways of spelling bytes as text: base64, base32, base85, hexadecimal, escapes, lists of numbers (B2).

A run may begin anywhere inside a longer one, so each is read from every place of its unit. Runs are laid one below the other, which
keeps the number of layers small and still shows a stream that begins in one of them.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote_to_bytes


_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}")
_BASE32 = re.compile(rb"[A-Z2-7]{16,}|[a-z2-7]{16,}")
_BASE85 = re.compile(rb"[!-~]{15,}")
_HEX = re.compile(rb"[0-9A-Fa-f]{16,}")
_SEPARATED_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2}[ :,;-]){7,}[0-9A-Fa-f]{2}")
_BITS = re.compile(rb"[01]{64,}")
_LIST = re.compile(rb"\d{1,3}(?:[,;\s]+\d{1,3}){7,}")
_NUMBERS = re.compile(rb"\d+")
_ESCAPE = re.compile(rb"\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})|\\([0-3][0-7]{2})|=([0-9A-F]{2})|%u([0-9A-Fa-f]{4})")
_ENTITY = re.compile(rb"&#?[0-9A-Za-z]{2,8};")
_BLANK = re.compile(rb"\s+")


def base64_(data: bytes) -> Iterator[bytes]:
    """RFC 4648, both alphabets, from each of the four places."""
    runs = [run.translate(bytes.maketrans(b"-_", b"+/")) for run in _BASE64.findall(data)]
    yield from _each(runs, 4, _read64)


def _read64(run: bytes) -> bytes:
    length = len(run) - (len(run) % 4 == 1)
    return binascii.a2b_base64(run[:length] + b"=" * (-length % 4))


def base32(data: bytes) -> Iterator[bytes]:
    """RFC 4648, either case, from each of the eight places."""
    yield from _each([run.upper() for run in _BASE32.findall(data)], 8, _read32)


def _read32(run: bytes) -> bytes:
    whole = run[: len(run) // 8 * 8]
    rest = len(run) - len(whole)
    # A cut tail holds whole bytes only at these lengths.
    tail = max((size for size in (0, 2, 4, 5, 7) if size <= rest), default=0)
    return base64.b32decode(run[: len(whole) + tail] + b"=" * (-tail % 8))


def base85(data: bytes) -> Iterator[bytes]:
    """The alphabets of Ascii85 and of RFC 1924, each run from its beginning."""
    runs = _BASE85.findall(data)
    yield from _each(runs, 1, _ascii85)
    yield from _each(runs, 1, base64.b85decode)


def _ascii85(run: bytes) -> bytes:
    return base64.a85decode(run.removeprefix(b"<~").removesuffix(b"~>"))


def hexadecimal(data: bytes) -> Iterator[bytes]:
    """Pairs of digits, from either place, and pairs with something between them."""
    runs = _HEX.findall(data)
    yield from _each(runs, 2, lambda run: binascii.unhexlify(run[: len(run) // 2 * 2]))
    apart = [re.sub(rb"[ :,;-]", b"", run) for run in _SEPARATED_HEX.findall(data)]
    yield from _each(apart, 1, binascii.unhexlify)


def bits(data: bytes) -> Iterator[bytes]:
    """Noughts and ones, eight a byte, from each of the eight places."""
    yield from _each(_BITS.findall(data), 8, _read_bits)


def _read_bits(run: bytes) -> bytes:
    size = len(run) // 8
    return int(run[: size * 8], 2).to_bytes(size)


def byte_lists(data: bytes) -> Iterator[bytes]:
    """Lists of numbers from 0 to 255, such as some boosters write names of categories."""
    runs = []
    for run in _LIST.findall(data):
        numbers = [int(number) for number in _NUMBERS.findall(run)]
        if max(numbers) <= 255:
            runs.append(bytes(numbers))
    if runs:
        yield b"\n".join(runs)


def escapes(data: bytes) -> Iterator[bytes]:
    r"""Percent signs, ``\u``, ``\x`` and octal escapes, quoted-printable, and entities."""
    if not _is_text(data):
        return
    made = data
    if b"%" in made:
        made = unquote_to_bytes(made)
    made = _ESCAPE.sub(_unescaped, made)
    if _ENTITY.search(made):
        made = html.unescape(made.decode("utf-8", "replace")).encode()
    if made != data:
        yield made


def _unescaped(found: re.Match[bytes]) -> bytes:
    wide, narrow, octal, quoted, percent = found.groups()
    if wide or percent:
        return chr(int(wide or percent, 16)).encode("utf-8", "replace")
    return bytes([int(octal, 8) if octal else int(narrow or quoted, 16)])


def unwrapped(data: bytes) -> Iterator[bytes]:
    """The same text without line ends and blanks: long runs are often wrapped."""
    made = _BLANK.sub(b"", data) if _is_text(data) else data
    if made != data:
        yield made


def _is_text(data: bytes) -> bool:
    """Whether bytes are text: what is not was no wrapped or escaped text either."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _each(runs: list[bytes], unit: int, read: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """Read every run from each place of its unit; what cannot be read is left out."""
    for place in range(unit):
        made = [piece for run in runs if (piece := _tried(read, run[place:]))]
        if made:
            yield b"\n".join(made)


def _tried(read: Callable[[bytes], bytes], run: bytes) -> bytes:
    try:
        return read(run)
    except ValueError:
        return b""
