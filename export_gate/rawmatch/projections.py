"""Ways of looking at one layer: what is the same for all disguises of a family is compared instead of the text itself (B2).

Folding undoes full-width forms, zero-width characters, case and Chinese numerals. Differences of neighbours are the same whatever is
added to each byte, exclusive-ors whatever each is masked with, differences modulo ten whatever is added to each digit: one look finds
all 255 keys of such a cipher.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache


_NOT_DIGIT = re.compile(rb"[^0-9]+")
_PUNCTUATION = bytes(code for code in range(128) if not chr(code).isalnum())
_NUMERALS = {ord(char): str(number % 10) for number, char in enumerate("〇一二三四五六七八九零壹贰叁肆伍陆柒捌玖")}
_MOST_HEX = 16 << 20


@dataclass(frozen=True)
class View:
    """One way of looking: its name, what it makes of a layer, and which form of the patterns it is compared with."""

    name: str
    look: Callable[[bytes], bytes]
    patterns: str


def fold(data: bytes) -> bytes:
    """Give text in one spelling: NFKC, upper case, ASCII digits, without invisible characters; what is no UTF-8 is left out."""
    if not data.isascii():
        text = unicodedata.normalize("NFKC", data.decode("utf-8", "ignore"))
        data = text.translate(_table("".join(sorted(set(text))))).encode("utf-8", "ignore")
    # UTF-16 and UTF-32 of ASCII are ASCII with zero bytes between.
    return data.replace(b"\0", b"").upper()


@lru_cache(maxsize=64)
def _table(characters: str) -> dict[int, str | None]:
    """What becomes of each character: digits of any script are digits, marks and format characters nothing."""
    table: dict[int, str | None] = {}
    for char in characters:
        category = unicodedata.category(char)
        if ord(char) in _NUMERALS:
            table[ord(char)] = _NUMERALS[ord(char)]
        elif category == "Nd":
            table[ord(char)] = str(unicodedata.digit(char))
        elif category in {"Cf", "Mn", "Me", "Cn", "Co"}:
            table[ord(char)] = None
        else:
            table[ord(char)] = char.upper()
    return table


def squeeze(folded: bytes) -> bytes:
    """Leave letters and digits: what was split over neighbouring cells of a row, or by punctuation, comes together."""
    return folded.translate(None, _PUNCTUATION)


def digits_only(folded: bytes) -> bytes:
    """Leave ASCII digits: what was split over named fields comes together."""
    return _NOT_DIGIT.sub(b"", folded)


def differences(data: bytes) -> bytes:
    """Give each byte less the one before, modulo 256."""
    import numpy as np

    return np.diff(np.frombuffer(data, dtype=np.uint8)).tobytes()


def xors(data: bytes) -> bytes:
    """Give each byte exclusive-or the one before."""
    import numpy as np

    values = np.frombuffer(data, dtype=np.uint8)
    return (values[1:] ^ values[:-1]).tobytes()


def shifted_digits(digits: bytes) -> bytes:
    """Give each digit less the one before, modulo ten."""
    import numpy as np

    values = np.frombuffer(digits, dtype=np.uint8).astype(np.int16)
    return (np.diff(values) % 10).astype(np.uint8).tobytes()


def _packed(data: bytes) -> bytes:
    """Show binary data as its hexadecimal digits: packed decimals are digits then."""
    return b"" if data.isascii() or len(data) > _MOST_HEX else data.hex().encode()


VIEWS = (
    View("as it is", fold, "text"),
    View("backwards", lambda data: fold(data)[::-1], "text"),
    View("without punctuation", lambda data: squeeze(fold(data)), "text"),
    View("digits alone", lambda data: digits_only(fold(data)), "text"),
    View("packed decimals", _packed, "text"),
    View("bytes shifted", differences, "differences"),
    View("bytes masked", xors, "xors"),
    View("digits shifted", lambda data: shifted_digits(digits_only(fold(data))), "shifted digits"),
    View("machine numbers", lambda data: data, "numbers"),
)
"""Every way of looking. Folding is done anew for each, which costs less than keeping it for large layers."""
