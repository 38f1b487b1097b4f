"""Placeholders of a report: ``{{ product.cell("column", key="value") }}``, ``{{ product.table() }}`` and ``{{ product.chart() }}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lineage.errors import DefinitionError


_BRACED = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_TEXT = r'"([^"\\\n]{0,200})"'
_CALL = re.compile(r"\s*([a-z][a-z0-9_]{0,62})\.(cell|table|chart)\((.*)\)\s*", re.DOTALL)
_KEY = rf"[^\W\d]\w{{0,62}}\s*=\s*{_TEXT}"
_ARGUMENTS = re.compile(rf"\s*{_TEXT}((?:\s*,\s*{_KEY})*)\s*,?\s*")
_PAIR = re.compile(rf"([^\W\d]\w{{0,62}})\s*=\s*{_TEXT}")
_OPEN, _CLOSE = "\ue000", "\ue001"
MARKED = re.compile(f"{_OPEN}([0-9]{{1,4}}){_CLOSE}")
"""Where a placeholder stood; both characters are private-use, which no text of people may hold."""
MOST = 500


@dataclass(frozen=True)
class Placeholder:
    """What a released product is asked for: one cell, its whole table, or its picture."""

    product: str
    asked: str
    column: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)


def mark(text: str) -> tuple[str, tuple[Placeholder, ...]]:
    """Replace each placeholder by its number between two private marks.

    Raises:
        DefinitionError: ``report.bad-placeholder`` with the line; ``report.too-long``.
    """
    found: list[Placeholder] = []

    def replaced(braced: re.Match[str]) -> str:
        found.append(_read(braced[1], text.count("\n", 0, braced.start()) + 1))
        return f"{_OPEN}{len(found) - 1}{_CLOSE}"

    marked = _BRACED.sub(replaced, text)
    for brace in ("{{", "}}"):
        if brace in marked:
            raise DefinitionError("report.bad-placeholder", line=marked.count("\n", 0, marked.index(brace)) + 1)
    if len(found) > MOST:
        raise DefinitionError("report.too-long", most=MOST)
    return marked, tuple(found)


def _read(inside: str, line: int) -> Placeholder:
    call = _CALL.fullmatch(inside)
    if call is None:
        raise DefinitionError("report.bad-placeholder", line=line)
    product, asked, arguments = call.groups()
    if asked != "cell":
        if arguments.strip():
            raise DefinitionError("report.bad-placeholder", line=line)
        return Placeholder(product, asked)
    given = _ARGUMENTS.fullmatch(arguments)
    if given is None:
        raise DefinitionError("report.bad-placeholder", line=line)
    pairs = _PAIR.findall(given[2])
    if len({name for name, _ in pairs}) != len(pairs):
        raise DefinitionError("report.bad-placeholder", line=line)
    return Placeholder(product, asked, given[1], dict(pairs))


def products_of(text: str) -> tuple[str, ...]:
    """Give the names of the products that a report is filled from, each once.

    Raises:
        DefinitionError: as ``mark``; ``report.no-source``: none at all: a text alone is no product of data.
    """
    names = tuple(dict.fromkeys(one.product for one in mark(text)[1]))
    if not names:
        raise DefinitionError("report.no-source")
    return names
