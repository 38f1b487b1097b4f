"""Showing findings, previews and events to people, in their language."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sandbox.messages import Language, text


if TYPE_CHECKING:
    from pathlib import Path

    from console.door import Door
    from export_gate.exports import Export
    from export_gate.previewing import Preview


def finding_text(reason: Mapping[str, Any], language: Language) -> str:
    """Say one finding in words."""
    return text(reason["reason"], language, **reason["params"])


def reason_text(found: Export, language: Language) -> str:
    """Say everything that keeps an export in, as one text."""
    kept = [one for one in found.reasons if one["verdict"] in {"block", "cannot check"}]
    return " ".join(finding_text(one, language) for one in kept)


def findings_rows(found: Export, language: Language) -> list[tuple[str, str, str]]:
    """Give a row a finding: check, verdict, words."""
    return [
        (one["check"], text(f"label.verdict.{one['verdict'].replace(' ', '-')}", language), finding_text(one, language))
        for one in found.reasons
    ]


def show_files(here: Door, files: Mapping[str, bytes], rows: int) -> None:
    """Show a product's files to those who decide on it: the table's first rows, the card, name and digest of all."""
    import csv
    import hashlib
    import io
    import json

    read = csv.reader(io.StringIO(files.get("data.csv", b"").decode("utf-8")))
    table = [line for line, _ in zip(read, range(rows + 1), strict=False)]
    card = json.loads(files.get("card.json", b"{}"))
    listed = [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
    ]
    if here.as_json:
        here.give({"columns": table[0] if table else [], "rows": table[1:], "card": card, "files": listed})
        return
    print_table(table[0] if table else [], table[1:])
    print("\n".join(_card_lines(card, here.language, 1)))
    here.give_rows(["file", "size", "sha256"], [tuple(one.values()) for one in listed])


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their own column names."""
    if not columns:
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(*map(escape, columns), box=None, pad_edge=False)
    for row in rows:
        # Values are other people's text: neither markup nor a terminal's control sequence may come of them.
        shown = ["-" if value is None else str(value) for value in row]
        table.add_row(*[Text("".join(char if char.isprintable() else "�" for char in one)) for one in shown])
    # A pipe has no width: whatever reads it must not find broken names.
    Console(width=None if sys.stdout.isatty() else 240, highlight=False).print(table)


def _card_lines(value: Mapping[str, Any], language: Language, depth: int) -> Iterator[str]:
    """Give a card's lines in one language; how OpenDP writes a measurement is left to the file."""
    pad = "  " * depth
    for key, item in value.items():
        inner = item[0] if isinstance(item, list) and len(item) == 1 and isinstance(item[0], Mapping) else item
        if key == "measurement":
            continue
        if isinstance(inner, Mapping) and set(inner) == set(Language):
            yield f"{pad}{key}: {inner[language]}"
        elif isinstance(inner, Mapping):
            yield f"{pad}{key}:"
            yield from _card_lines(inner, language, depth + 1)
        elif isinstance(inner, list) and all(isinstance(one, Mapping) for one in inner):
            for number, one in enumerate(inner, 1):
                yield f"{pad}{key} {number}:"
                yield from _card_lines(one, language, depth + 1)
        else:
            yield f"{pad}{key}: {'-' if inner is None else inner}"


def show_preview(here: Door, one: Preview) -> None:
    """Show a preview: its table or card, and what the checks say of the view."""
    if here.as_json:
        files = {name: len(data) for name, data in one.files.items()}
        table = {"columns": one.columns, "rows": one.rows}
        here.give({"product": one.product, "kind": one.kind, **table, "card": one.card, "files": files})
        return
    here.say("preview.title", product=one.product, kind=f"label.product.{one.kind}")
    print_table(one.columns, one.rows[:20])
    for key, value in one.card.items():
        print(f"  {key}: {value}")
    for name, data in one.files.items():
        print(f"  {name}: {len(data)}")
    for code, params in one.remarks:
        here.say("preview.remark", text=text(code, here.language, **params))


def keep_files(files: Mapping[str, bytes], into: Path) -> None:
    """Keep files in a folder.

    Raises:
        DefinitionError: one is there already; it is not written over.
    """
    from lineage.errors import DefinitionError

    for name, data in files.items():
        into.mkdir(parents=True, exist_ok=True)
        try:
            with (into / name).open("xb") as kept:
                kept.write(data)
        except FileExistsError as error:
            raise DefinitionError("export.target-exists", path=str(into / name)) from error
