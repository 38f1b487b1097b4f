"""The one message catalogue: every sentence a user reads, in Chinese first and in English.

Each ``*.toml`` file beside this module holds entries by code. A plain message has ``zh`` and ``en``; an error has for each language
``what``, ``why`` and ``fix``, and may name the ``article`` that asks for it (``C25`` is article 25 of the Changchun measures; the
letters are listed in ``docs/glossary.md``).
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from lineage.errors import Param, ShuzhaError


class Language(StrEnum):
    """The two languages of the product; the first is the default."""

    ZH = "zh"
    EN = "en"


@dataclass(frozen=True)
class Explanation:
    """An error in one language: what happened, why, what to do, and the article that asks for it (empty when none does)."""

    what: str
    why: str
    fix: str
    article: str


def language_from_environment() -> Language:
    """Choose the language: ``SHUZHA_LANG`` (zh or en), Chinese when it is unset."""
    return Language.EN if os.environ.get("SHUZHA_LANG", "zh").lower().startswith("en") else Language.ZH


@cache
def catalogue() -> Mapping[str, Mapping[str, Any]]:
    """Load every entry; a code defined twice is a programming error."""
    entries: dict[str, Mapping[str, Any]] = {}
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        for code, entry in tomllib.loads(path.read_text(encoding="utf-8")).items():
            if code in entries:
                raise ValueError(f"message {code} is defined twice, again in {path.name}")
            entries[code] = entry
    return entries


def text(code: str, language: Language, /, **params: Param) -> str:
    """Render a plain message.

    Raises:
        KeyError: the catalogue has no such message, or a parameter is missing.
    """
    entry = catalogue()[code][language.value]
    template = entry if isinstance(entry, str) else entry["what"]
    return str(template).format(**params)


def explain(error: ShuzhaError, language: Language) -> Explanation:
    """Render an error as what, why, what to do and the article behind it."""
    entry = catalogue()[error.code]
    parts: Mapping[str, str] = entry[language.value]
    return Explanation(
        what=parts["what"].format(**error.params),
        why=parts["why"].format(**error.params),
        fix=parts["fix"].format(**error.params),
        article=str(entry.get("article", "")),
    )
