"""``job.toml`` with line numbers, and one reader for its tables that collects every problem before it complains."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

from lineage.errors import DefinitionError, Param


FILE = "job.toml"
HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*\]\]?\s*(#.*)?")
ENTRY = re.compile(r"\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*[=.]")
SYNTAX_LINE = re.compile(r"\(at line (\d+)")
Value = TypeVar("Value")


class InvalidJobError(DefinitionError):
    """A job folder with problems: ``problems`` holds one :class:`DefinitionError` each, with ``file`` and ``line``."""

    def __init__(self, problems: tuple[DefinitionError, ...]) -> None:
        first = problems[0]
        super().__init__(
            "job.invalid",
            count=len(problems),
            file=str(first.params.get("file", FILE)),
            line=int(first.params.get("line", 1)),
            first=first.code,
        )
        self.problems = problems


@dataclass
class Problems:
    """What is wrong so far."""

    found: list[DefinitionError] = field(default_factory=list)

    def add(self, code: str, line: int, /, *, file: str = FILE, **params: Param) -> None:
        """Note a problem."""
        self.found.append(DefinitionError(code, file=file, line=line, **params))

    def attempt(self, work: Callable[[], Value], line: int) -> Value | None:
        """Do something that may raise a problem; note it with the line of ``job.toml`` that led to it."""
        try:
            return work()
        except DefinitionError as error:
            here: dict[str, Param] = {"file": FILE, "line": line}
            if "path" in error.params and "line" in error.params:
                here["file"] = error.params["path"]
            self.found.append(DefinitionError(error.code, **{**here, **error.params}))
            return None

    def check(self) -> None:
        """Complain about everything at once.

        Raises:
            InvalidJobError: there is at least one problem.
        """
        if self.found:
            raise InvalidJobError(tuple(self.found))


def parse_toml(text: str) -> Mapping[str, Any]:
    """Parse TOML; fractions stay exact because a privacy budget is never a float.

    Raises:
        InvalidJobError: ``job.toml-syntax`` with the line.
    """
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        match = SYNTAX_LINE.search(str(error))
        line = int(match.group(1)) if match else max(1, len(text.splitlines()))
        raise InvalidJobError((DefinitionError("job.toml-syntax", file=FILE, line=line),)) from error


def line_index(text: str) -> Mapping[tuple[str, int, str], int]:
    """Map (table, its number, key) to a line, counted from 1; an empty key stands for the table's header.

    The standard parser keeps no positions, so headers and keys are found by scanning, multi-line strings left out.
    """
    lines: dict[tuple[str, int, str], int] = {}
    counts: dict[str, int] = {}
    table, number, inside = "", 0, ""
    for position, line in enumerate(text.splitlines(), start=1):
        header, entry = HEADER.fullmatch(line), ENTRY.match(line)
        if not inside and header:
            table = header.group(2)
            number = counts.get(table, -1) + 1 if header.group(1) == "[[" else 0
            counts[table] = number
            lines[table, number, ""] = position
        elif not inside and entry:
            lines.setdefault((table, number, entry.group(1)), position)
        for mark in ('"""', "'''"):
            if inside in {"", mark} and line.count(mark) % 2:
                inside = "" if inside else mark
    return lines


@dataclass
class Section:
    """One table of the file: takes its keys one by one, notes what is missing or wrong, and at the end what is left over."""

    table: str
    number: int
    values: Mapping[str, Any]
    lines: Mapping[tuple[str, int, str], int]
    problems: Problems
    taken: set[str] = field(default_factory=set)

    def line(self, key: str = "") -> int:
        """Give the line of a key, else of the table."""
        below = f"{self.table}.{key}" if self.table else key
        here = self.lines.get((self.table, self.number, key)) or self.lines.get((below, 0, ""))
        return here or self.lines.get((self.table, self.number, ""), 1)

    def wrong(self, key: str, needs: str) -> None:
        """Note that a key holds something else than it needs (``needs`` is a short form such as ``1…64``)."""
        self.problems.add("job.wrong-value", self.line(key), table=self.table, key=key, needs=needs)

    def raw(self, key: str, *, required: bool = True) -> Any:
        """Take a value as it is; None when it is not there."""
        self.taken.add(key)
        if key not in self.values and required:
            self.problems.add("job.missing-key", self.line(), table=self.table, key=key)
        return self.values.get(key)

    def text(self, key: str, pattern: str = r"(?s).+", default: str | None = None, needs: str = "") -> str:
        """Take a text that matches a pattern; a problem gives the empty text."""
        value = self.raw(key, required=default is None)
        if value is None:
            return default or ""
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            self.wrong(key, needs or pattern)
            return ""
        return value

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Take an integer within limits; a problem gives ``low``."""
        value = self.raw(key, required=default is None)
        if value is None:
            return low if default is None else default
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.wrong(key, f"{low}…{high}")
            return low
        return value

    def fraction(self, key: str, high: int) -> Fraction:
        """Take an exact number above 0; a problem gives 1."""
        value = self.raw(key)
        number = exact(value)
        if number is None or not 0 < number <= high:
            if value is not None:
                self.wrong(key, f"0 < x ≤ {high}")
            return Fraction(1)
        return number

    def mapping(self, key: str) -> Mapping[str, Any]:
        """Take an optional inline table."""
        value = self.raw(key, required=False)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.wrong(key, "{ … }")
            return {}
        return value

    def done(self) -> None:
        """Note every key that nobody asked for: a misspelt limit must not silently be no limit."""
        for key in self.values:
            if key not in self.taken:
                self.problems.add("job.unknown-key", self.line(key), table=self.table or FILE, key=key[:80])


def exact(value: object) -> Fraction | None:
    """Give a TOML number as a fraction; None for anything else, infinities included."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if isinstance(value, Decimal) and (not value.is_finite() or abs(value.adjusted()) > 30):
        return None
    return Fraction(value)
