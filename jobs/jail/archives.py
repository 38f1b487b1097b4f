"""Tell archives and compressed files by their content: one small file of them may unpack to a full disk, or hide what it holds (E2).

Signatures: PKWARE APPNOTE 6.3.10 (zip), RFC 1952 (gzip), RFC 8878 (zstandard), POSIX.1-2001 pax (tar), and the formats' own manuals.
"""

from __future__ import annotations

import os
import re
import struct
from typing import BinaryIO, Final


_AT_START: Final = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x07\x08",
    b"\x1f\x8b",
    b"\x1f\x9d",
    b"\x1f\xa0",
    b"\xfd7zXZ\x00",
    b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"MSCF",
    b"!<arch>\n",
    b"xar!",
    b"LZIP",
    b"\x5d\x00\x00\x80",
    b"\xed\xab\xee\xdb",
    b"hsqs",
    b"sqsh",
)
# Marks made of letters and digits need more than themselves: a table may well begin with the code 070701.
_BZIP2: Final = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_CPIO: Final = re.compile(rb"07070[127][0-9A-Fa-f]{70}")
_HEAD_BYTES: Final = 512
_TAR_MARK: Final = (257, b"ustar")
_ISO_MARK: Final = (32769, b"CD001")
_ZIP_END: Final = b"PK\x05\x06"
_ZIP_ENTRY: Final = b"PK\x01\x02"
_ZIP_END_BYTES: Final = 22
_ZIP_COMMENT_BYTES: Final = 65535


def looks_like_archive(file: BinaryIO) -> bool:
    """Tell whether a file opened for reading is an archive or compressed, whatever its name says."""
    head = file.read(_HEAD_BYTES)
    return (
        head.startswith(_AT_START)
        or _BZIP2.match(head) is not None
        or _CPIO.match(head) is not None
        or _has_mark(file, _TAR_MARK)
        or _has_mark(file, _ISO_MARK)
        or _is_old_tar(head)
        or _has_zip_end(file)
    )


def _has_mark(file: BinaryIO, mark: tuple[int, bytes]) -> bool:
    file.seek(mark[0])
    return file.read(len(mark[1])) == mark[1]


def _is_old_tar(head: bytes) -> bool:
    """Recognise tar from before its mark existed: the checksum in octal must fit the header."""
    if len(head) < _HEAD_BYTES:
        return False
    field = head[148:156].strip(b"\0 ")
    if not field or not all(byte in b"01234567" for byte in field):
        return False
    return int(field, 8) == sum(head[:148]) + 8 * ord(" ") + sum(head[156:])


def _has_zip_end(file: BinaryIO) -> bool:
    """Recognise a zip behind other bytes: readers look for the directory at the end, so the start proves nothing."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _ZIP_END_BYTES - _ZIP_COMMENT_BYTES)
    file.seek(start)
    tail = file.read()
    place = tail.rfind(_ZIP_END)
    while place >= 0:
        if _directory_precedes(file, tail[place : place + _ZIP_END_BYTES], start + place):
            return True
        place = tail.rfind(_ZIP_END, 0, place)
    return False


def _directory_precedes(file: BinaryIO, end: bytes, place: int) -> bool:
    """Tell whether the end record's directory really lies before it; four bytes alone occur by chance."""
    if len(end) < _ZIP_END_BYTES:
        return False
    directory_bytes = int(struct.unpack_from("<I", end, 12)[0])
    if directory_bytes == 0 or directory_bytes > place:
        return False
    file.seek(place - directory_bytes)
    return file.read(len(_ZIP_ENTRY)) == _ZIP_ENTRY
