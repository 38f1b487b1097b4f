"""Where data comes from: one file, or one Delta folder, in a declared form. Nothing is guessed from a name or from content."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from lineage.errors import DataFileError, DefinitionError


class Format(StrEnum):
    """The forms that can be imported; anything else is an error, never a guess (law 7)."""

    CSV = "csv"
    PARQUET = "parquet"
    JSON_LINES = "json-lines"
    DELTA = "delta"


ENCODINGS = {"utf-8": "utf-8", "utf8": "utf-8", "gb18030": "gb18030", "gbk": "gb18030", "gb2312": "gb18030"}
"""Names a person may write → codec. GB 18030 contains the two older sets, so one strict decoder serves all three."""


@dataclass(frozen=True)
class Source:
    """A file or Delta folder to import.

    Attributes:
        path: the file, or the folder that holds ``_delta_log``.
        format: its form.
        encoding: of CSV and JSON lines: one of ``ENCODINGS``. A UTF-8 byte order mark is accepted and left out.
        delimiter: of CSV: one ASCII character. Fields are quoted with ``"``, doubled inside quotes (RFC 4180).

    Raises:
        DefinitionError: the encoding or the delimiter is none that can be read strictly.
    """

    path: Path
    format: Format
    encoding: str = "utf-8"
    delimiter: str = ","

    def __post_init__(self) -> None:
        """Refuse what no strict reader exists for."""
        if self.encoding.lower() not in ENCODINGS:
            raise DefinitionError("import.encoding-unknown", known="utf-8, gb18030, gbk, gb2312")
        if len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n\0 ':
            raise DefinitionError("import.delimiter")

    @property
    def codec(self) -> str:
        """Python codec of the text."""
        return ENCODINGS[self.encoding.lower()]

    @property
    def shown(self) -> str:
        """Name for messages: the last part only, the folders above it are nobody's business."""
        return self.path.name


@contextmanager
def open_file(source: Source) -> Iterator[BinaryIO]:
    """Open the file for one sequential read.

    Raises:
        DataFileError: it is missing, cannot be read, or is no regular file (a pipe or device would block or never end).
    """
    try:
        # Non-blocking, because opening a pipe that nobody writes to would wait for ever; regular files ignore it.
        descriptor = os.open(source.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DataFileError("import.no-file", file=source.shown) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataFileError("import.not-a-file", file=source.shown)
    with os.fdopen(descriptor, "rb", buffering=0) as handle:
        yield handle
