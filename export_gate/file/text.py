"""Text that shows all it holds: UTF-8 in NFC, without anything invisible, one kind of space, one kind of line end (B2, B11, B23).

What would make a document of it (a tag of HTML or SVG) is refused too, because whoever opens it would run it. Categories of characters
as in the Unicode Character Database; what renders as nothing although its category is a letter's or a symbol's is listed by hand.
"""

from __future__ import annotations

import re
import unicodedata

from export_gate.file.limits import MOST_LINE_CHARACTERS
from export_gate.file.problem import unreadable


_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufffc\ufffd")
_VARIATION = re.compile("[\ufe00-\ufe0f\u180b-\u180d\u180f\U000e0100-\U000e01ef]")
_MARKUP = re.compile(r"<[A-Za-z!/?]")
_MOST_MARKS = 3
"""Combining marks upon one letter; Vietnamese needs two, a payload more."""


def decode(data: bytes) -> str:
    """Decode UTF-8, without a byte order mark, with line feeds for every line end.

    Raises:
        UnreadableError: it is not UTF-8.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise unreadable("file.not-utf8", data.count(b"\n", 0, error.start) + 1) from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def clean(text: str, line: int = 1) -> str:
    """Bring one line to its canonical form: NFC, plain spaces, none at its end.

    Raises:
        UnreadableError: a character that nobody sees, a tag, or a line that is too long.
    """
    if len(text) > MOST_LINE_CHARACTERS:
        raise unreadable("file.long-line", line)
    composed = text if text.isascii() else unicodedata.normalize("NFC", text)
    if not (composed.isascii() and composed.isprintable()):
        composed = _visible(composed, line)
    if _MARKUP.search(composed):
        raise unreadable("file.markup", line)
    return composed.rstrip(" ")


def _visible(text: str, line: int) -> str:
    shown: list[str] = []
    marks = 0
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        hidden = category in _INVISIBLE_CATEGORIES or char in _INVISIBLE or _VARIATION.match(char) is not None
        if hidden or category in {"Zl", "Zp"} or marks > _MOST_MARKS:
            raise unreadable("file.invisible-character", line)
        shown.append(" " if category == "Zs" else char)
    return "".join(shown)


def read_text(data: bytes) -> str:
    """Bring a whole text to its canonical form; it ends in one line feed.

    Raises:
        UnreadableError: as ``decode`` and ``clean``, or nothing is left.
    """
    lines = decode(data).split("\n")
    text = "\n".join(clean(one, number) for number, one in enumerate(lines, 1)).strip("\n")
    if not text:
        raise unreadable("file.empty")
    return text + "\n"
