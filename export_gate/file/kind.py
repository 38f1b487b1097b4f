"""What a file is, by its content alone; its name plays no part (E2, B19, B21–B23).

Seven formats are read. Everything else is told apart only to say what to use instead: nothing is parsed to find that out. Signatures from
the formats' own specifications: ISO/IEC 15948 (PNG), ITU-T T.81 (JPEG), Apache Parquet and Arrow IPC, PEP 307 and 3154 (pickle),
ISO 32000 (PDF), MS-CFB, HDF5, SQLite, NumPy's NEP 1, safetensors.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping

from export_gate.file.pixels import SIGNATURE
from export_gate.file.problem import unreadable
from jobs.jail.archives import looks_like_archive


JPEG_START = b"\xff\xd8\xff"
PARQUET_MARK = b"PAR1"
ARROW_MARK = b"ARROW1\0\0"
_BINARY: Mapping[bytes, str] = {
    SIGNATURE: "png",
    JPEG_START: "jpeg",
    PARQUET_MARK: "parquet",
    ARROW_MARK: "arrow",
}
_LINES = ("csv", "json-lines", "text")
"""Told apart by strict parsing alone: any of them is UTF-8."""

_FOREIGN: Mapping[bytes, str] = {
    b"PARE": "file.foreign-store",
    b"\x93NUMPY": "file.foreign-store",
    b"SQLite format 3\0": "file.foreign-store",
    b"Obj\x01": "file.foreign-store",
    b"ORC": "file.foreign-store",
    b"\x89HDF\r\n\x1a\n": "file.foreign-model",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "file.foreign-document",
    b"GIF8": "file.foreign-picture",
    b"BM": "file.foreign-picture",
    b"RIFF": "file.foreign-picture",
    b"II*\0": "file.foreign-picture",
    b"MM\0*": "file.foreign-picture",
    b"\x8aMNG": "file.foreign-picture",
    b"\0\0\0\x0cjP": "file.foreign-picture",
}
_PICKLE = re.compile(
    rb"\x80[\x02-\x05]|\([dl]p0\n|c(?:os|nt|posix|builtins|__builtin__|subprocess|copy_reg|numpy[.a-z_]*)\n"
)
_SAFETENSORS = re.compile(rb"(?s).{6}\0\0\{")
_PAGE = re.compile(rb"\s*<(?:!doctype|html|svg|\?xml|head|body|script|math)\b", re.IGNORECASE)
_NOTEBOOK = re.compile(rb'\s*\{\s*"(?:cells|nbformat|metadata)"')
_HEAD = 1024


def check_kind(data: bytes, said: str) -> None:
    """Check that a file's content is of the format that its description says.

    Raises:
        UnreadableError: it is another one, or one that nobody reads here; the code says what to use instead.
    """
    if not data:
        raise unreadable("file.empty")
    found = next((form for mark, form in _BINARY.items() if data.startswith(mark)), None)
    if found is None:
        _refuse_foreign(data[:_HEAD], data)
        found = said if said in _LINES else "text"
    if found != said:
        raise unreadable("file.other-format")


def _refuse_foreign(head: bytes, data: bytes) -> None:
    # Readers of PDF look for its mark anywhere in the first 1024 bytes.
    if b"%PDF-" in head or head.startswith(b"{\\rtf"):
        raise unreadable("file.foreign-document")
    if _PAGE.match(head.removeprefix(b"\xef\xbb\xbf")):
        raise unreadable("file.foreign-page")
    if _NOTEBOOK.match(head):
        raise unreadable("file.foreign-document")
    if _PICKLE.match(head) or _SAFETENSORS.match(head):
        raise unreadable("file.foreign-model")
    known = next((code for mark, code in _FOREIGN.items() if head.startswith(mark)), None)
    # Letters alone may well begin a table; the binary formats named by letters go on with a zero byte soon.
    if known is not None and (b"\0" in head or not _is_letters(head)):
        raise unreadable(known)
    if looks_like_archive(io.BytesIO(data)):
        raise unreadable("file.archive")


def _is_letters(head: bytes) -> bool:
    return all(32 <= byte < 127 or byte >= 128 or byte in b"\r\n\t" for byte in head)
