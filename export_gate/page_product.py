"""What would leave, shown safely on the evidence page: values as text, pictures as pictures, nothing of it as markup of ours.

A product's bytes may hold anything a person wrote. Every value is escaped and unprintable signs are replaced; pictures go into ``img``,
where an SVG runs no script and loads nothing; a report goes into a frame without any right.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from sandbox.messages import Language, text


MOST_ROWS = 60
"""Rows of a table on the page; beyond that nobody reads it, and the file is beside the evidence."""

_PICTURES: Mapping[str, str] = {".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}
_WORDS = frozenset({".txt", ".md"})


def product_html(files: Mapping[str, bytes], language: Language) -> str:
    """Show every file of a product that can be shown; the others are named."""
    # The same numbers twice help nobody: what a CSV shows, its Parquet twin holds too; one form of a chart is enough.
    twins = {"data.parquet"} if "data.csv" in files else set()
    twins |= {"chart.svg"} if "chart.png" in files else set()
    return "\n".join(_file(name, data, language) for name, data in files.items() if name not in twins)


def _file(name: str, data: bytes, language: Language) -> str:
    ending = name[name.rfind(".") :]
    if ending in _PICTURES:
        return f"<figure>{picture(data, _PICTURES[ending], name)}<figcaption>{clean(name)}</figcaption></figure>"
    shows: Mapping[str, Callable[[str, str, Language], str]] = {
        ".csv": _table,
        ".json": _card,
        ".html": _report,
        **dict.fromkeys(_WORDS, _words),
    }
    if ending in shows:
        try:
            return shows[ending](name, data.decode("utf-8"), language)
        except ValueError:
            # It says what it is not; what cannot be read as what it claims to be is listed by its digest.
            pass
    return f'<p class="quiet">{escape(text("page.binary", language, file=name))}</p>'


def picture(data: bytes, form: str, title: str) -> str:
    """Give a picture as a data address."""
    return f'<img alt="{clean(title)}" src="data:{form};base64,{base64.b64encode(data).decode()}">'


def clean(value: object) -> str:
    """Give a value as text of the page: escaped, and without signs that would hide or reorder the text around them."""
    shown = "-" if value is None or value == "" else str(value)
    return escape("".join("\ufffd" if unicodedata.category(one) in _HIDING and one != "\n" else one for one in shown))


_HIDING = frozenset({"Cc", "Cf", "Cs", "Cn", "Co"})


def rows_html(
    columns: Sequence[str], rows: Iterable[Sequence[object]], numbers: Iterable[int] = (), kind: str = "facts-table"
) -> str:
    """Give a table; columns of numbers by place, cells are escaped here."""
    right = frozenset(numbers)

    def cell(tag: str, place: int, value: object) -> str:
        number = ' class="n"' if place in right else ""
        return f"<{tag}{number}>{clean(value)}</{tag}>"

    head = "".join(cell("th", place, name) for place, name in enumerate(columns))
    body = "\n".join(
        "<tr>" + "".join(cell("td", place, value) for place, value in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>'


def _table(name: str, data: str, language: Language) -> str:
    columns, *rows = list(csv.reader(io.StringIO(data))) or [[]]
    shown = rows[:MOST_ROWS]
    numbers = [
        place
        for place in range(len(columns))
        if shown and all(_is_number("".join(row[place : place + 1])) for row in shown)
    ]
    facts = {"rows": len(rows), "columns": len(columns)}
    if len(shown) < len(rows):
        said = text("page.rows-cut", language, shown=len(shown), **facts)
    else:
        said = text("page.rows", language, **facts)
    return f'<h3>{clean(name)}</h3><p class="quiet">{escape(said)}</p>{rows_html(columns, shown, numbers, kind="data")}'


def _is_number(value: str) -> bool:
    if not value:
        return True
    try:
        float(value)
    except ValueError:
        return False
    return True


def _card(name: str, data: str, language: Language) -> str:
    title = escape(text("page.card", language))
    return f"<details open><summary>{title} · {clean(name)}</summary>{_value(json.loads(data), language)}</details>"


def _value(value: Any, language: Language) -> str:
    if isinstance(value, Mapping):
        if set(value) == set(Language):
            return clean(value[language])
        # How OpenDP writes a measurement is for programs; it is in the file.
        rows = "".join(
            f"<dt>{clean(key)}</dt><dd>{_value(item, language)}</dd>"
            for key, item in value.items()
            if key != "measurement"
        )
        return f"<dl>{rows}</dl>"
    if isinstance(value, list):
        if all(not isinstance(one, list | Mapping) for one in value):
            return clean(", ".join(str(one) for one in value))
        return "<ol>" + "".join(f"<li>{_value(one, language)}</li>" for one in value) + "</ol>"
    return clean(value)


def _words(name: str, data: str, _: Language) -> str:
    return f"<h3>{clean(name)}</h3><pre>{clean(data)}</pre>"


def _report(name: str, data: str, _: Language) -> str:
    return f'<h3>{clean(name)}</h3><iframe sandbox title="{clean(name)}" srcdoc="{escape(data)}"></iframe>'
