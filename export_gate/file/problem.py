"""What is wrong with a file that a run handed over: a code of the catalogue and a line, and nothing else comes out of the parsing jail."""

from __future__ import annotations


PROBLEMS = (
    "file.archive",
    "file.bad-arrow",
    "file.bad-csv",
    "file.bad-date",
    "file.bad-decimal",
    "file.bad-integer",
    "file.bad-jpeg",
    "file.bad-json-line",
    "file.bad-parquet",
    "file.bad-png",
    "file.bad-truth-value",
    "file.columns-missing",
    "file.column-type",
    "file.empty",
    "file.foreign-document",
    "file.foreign-model",
    "file.foreign-page",
    "file.foreign-picture",
    "file.foreign-store",
    "file.invisible-character",
    "file.longer-than-said",
    "file.long-line",
    "file.markup",
    "file.not-utf8",
    "file.other-format",
    "file.too-large",
    "file.too-many-pixels",
    "file.too-many-rows",
    "file.trailing-bytes",
)
"""Everything that can be said of a file that does not leave. What the jail says beside these is not heard."""

HIGHEST_LINE = 2**20
"""A line beyond is given as this one."""


class UnreadableError(Exception):
    """A file is not what it should be.

    Attributes:
        code: one of ``PROBLEMS``.
        line: where, counted from 1; 0 when it is about the whole file.
    """

    def __init__(self, code: str, line: int = 0) -> None:
        if code not in PROBLEMS:
            raise ValueError("not a problem of a file")
        self.code = code
        self.line = min(line, HIGHEST_LINE)
        super().__init__(code, self.line)


def unreadable(code: str, line: int = 0) -> UnreadableError:
    """Make the error to raise: a code of the catalogue, shown as a finding and never as an error of its own."""
    return UnreadableError(code, line)
