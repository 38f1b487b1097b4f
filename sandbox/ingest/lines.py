"""A text file as chunks of whole lines: strictly decoded, measured and digested in the same read, in constant memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from lineage.errors import DataFileError
from sandbox.ingest.source import Source


if TYPE_CHECKING:
    from hashlib import _Hash

LINE_CAP = 1 << 20
"""Bytes of the longest line (1 MiB); a longer one is no table row but an attack or a damaged file."""

BLOCK = 1 << 18
"""Bytes a read: a line over the cap is refused after at most ``LINE_CAP + BLOCK`` bytes."""

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_ENOUGH_TO_TELL = 30


@dataclass
class Tally:
    """What the read has seen so far; the digest is of exactly the bytes that were parsed, so the file cannot change between."""

    digest: _Hash = field(default_factory=hashlib.sha256)
    size: int = 0
    lines: int = 0

    def add(self, block: bytes) -> None:
        """Count a block of the file."""
        self.digest.update(block)
        self.size += len(block)


def text_chunks(handle: BinaryIO, source: Source, tally: Tally) -> Iterator[str]:
    r"""Yield the text in chunks that end at a line end (``\n``), the last one wherever the file ends.

    Raises:
        DataFileError: a line over the cap, a NUL byte, bytes that are not the declared encoding; each with the line number.
    """
    carry = b""
    while block := handle.read(BLOCK):
        if not tally.size:
            head, block = block, _without_mark(block, source)
            tally.add(head)
        else:
            tally.add(block)
        first = block.find(b"\n")
        if len(carry) + (len(block) if first < 0 else first) > LINE_CAP:
            raise DataFileError("import.line-too-long", file=source.shown, line=tally.lines + 1, limit=LINE_CAP)
        cut = block.rfind(b"\n") + 1
        if cut:
            yield _decode(carry + block[:cut], source, tally)
            carry = block[cut:]
        else:
            carry += block
    if carry:
        yield _decode(carry, source, tally)


def _without_mark(block: bytes, source: Source) -> bytes:
    if block.startswith(_UTF16):
        raise DataFileError("import.encoding-utf16", file=source.shown)
    if block.startswith(_BOM):
        if source.codec != "utf-8":
            raise DataFileError("import.encoding-is-utf8", file=source.shown, encoding=source.encoding)
        return block[len(_BOM) :]
    return block


def _decode(data: bytes, source: Source, tally: Tally) -> str:
    nul = data.find(b"\0")
    if nul >= 0:
        line = tally.lines + data.count(b"\n", 0, nul) + 1
        raise DataFileError("import.nul-byte", file=source.shown, line=line)
    try:
        text = data.decode(source.codec)
    except UnicodeDecodeError as error:
        line = tally.lines + data.count(b"\n", 0, error.start) + 1
        raise _wrong_encoding(data, source, line) from None
    if source.codec != "utf-8" and _is_really_utf8(data):
        raise DataFileError("import.encoding-is-utf8", file=source.shown, encoding=source.encoding)
    tally.lines += data.count(b"\n")
    return text


def _wrong_encoding(data: bytes, source: Source, line: int) -> DataFileError:
    if source.codec == "utf-8" and _decodes(data, "gb18030"):
        return DataFileError("import.encoding-is-gb18030", file=source.shown, line=line)
    return DataFileError("import.encoding", file=source.shown, line=line, encoding=source.encoding)


def _decodes(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _is_really_utf8(data: bytes) -> bool:
    # UTF-8 Chinese often decodes as GB 18030 without an error, into wrong characters. The other way round it is next to
    # impossible for more than a few characters.
    if data.isascii() or not _decodes(data, "utf-8"):
        return False
    return sum(byte > 0x7F for byte in data) >= _ENOUGH_TO_TELL
