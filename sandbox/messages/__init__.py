"""The one message catalogue: every sentence a user reads, in Chinese first and in English.

Each ``*.toml`` file beside this module holds entries by code. A plain message has ``zh`` and ``en``; an error has for each language
``what``, ``why`` and ``fix``, and may name the ``article`` that asks for it (``C25`` is article 25 of the Changchun measures; the
letters are listed in ``docs/glossary.md``).
"""

from __future__ import annotations

import os
import re
import string
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from lineage.errors import Param, ShuzhaError


# Stored values part their words with these; a code that ends in such a value uses a hyphen.
_PARTING = str.maketrans("_: ", "---")

_ARTICLE = re.compile(r"(?P<law>[A-Z]+)(?P<number>\d[\d.]*)")

_LEFT_OUT = "…"


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
    """Render a plain message, or what an error says happened.

    A code may end in a stored value as it is, such as ``label.permission.agreement:end`` or ``label.term.asset_disposal``.

    Raises:
        KeyError: the catalogue has no such message, or a parameter is missing.
    """
    return _template(code, language).format(**_translated(params, language))


def brief(code: str, language: Language) -> str:
    """Render a message whose parameters were not kept, with an ellipsis in the place of each.

    Of a run's end only the code of the reason is stored, because whatever else it says is not heard (law 8).

    Raises:
        KeyError: the catalogue has no such message.
    """
    template = _template(code, language)
    names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    return template.format(**dict.fromkeys(names, _LEFT_OUT))


def cite(article: str, language: Language) -> str:
    """Name an article in words: ``C25`` is article 25 of the measures that the letter stands for.

    Raises:
        ValueError: it is no letter with a number.
        KeyError: no regulation has this letter.
    """
    found = _ARTICLE.fullmatch(article)
    if found is None:
        raise ValueError(f"not an article: {article!r}")
    law = text(f"label.law.{found['law'].lower()}", language)
    return text("label.article", language, law=law, number=found["number"])


def explain(error: ShuzhaError, language: Language) -> Explanation:
    """Render an error as what, why, what to do and the article behind it."""
    entry = _entry(error.code)
    parts: Mapping[str, str] = entry[language.value]
    params = _translated(error.params, language)
    return Explanation(
        what=parts["what"].format(**params),
        why=parts["why"].format(**params),
        fix=parts["fix"].format(**params),
        article=str(entry.get("article", "")),
    )


def _entry(code: str) -> Mapping[str, Any]:
    found = catalogue().get(code)
    return catalogue()[code.translate(_PARTING)] if found is None else found


def _template(code: str, language: Language) -> str:
    entry = _entry(code)[language.value]
    return str(entry if isinstance(entry, str) else entry["what"])


def _translated(params: Mapping[str, Param], language: Language) -> dict[str, Param]:
    """Translate parameters that are labels themselves: ``label.role.auditor``, or several joined by ``|``."""
    return {name: _translate(value, language) for name, value in params.items()}


def listed(parts: Iterable[str], language: Language) -> str:
    """Join words as the language does."""
    return ("、" if language is Language.ZH else ", ").join(parts)


def _translate(value: Param, language: Language) -> Param:
    parts = value.split("|") if isinstance(value, str) else []
    if not parts or not all(part.startswith("label.") and part.translate(_PARTING) in catalogue() for part in parts):
        return value
    return listed((_template(part, language) for part in parts), language)
