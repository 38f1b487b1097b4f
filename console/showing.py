"""Showing findings, previews and events to people, in their language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sandbox.messages import Language, text


if TYPE_CHECKING:
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


def show_preview(here: Door, one: Preview) -> None:
    """Show a preview: its table or card, and what the checks say of the view."""
    if here.as_json:
        here.give(
            {"product": one.product, "kind": one.kind, "columns": one.columns, "rows": one.rows, "card": one.card}
        )
        return
    here.say("preview.title", product=one.product, kind=f"label.product.{one.kind}")
    if one.columns:
        from rich.console import Console
        from rich.table import Table

        table = Table(*one.columns, box=None, pad_edge=False)
        for row in one.rows[:20]:
            table.add_row(*["-" if value is None else str(value) for value in row])
        Console(highlight=False).print(table)
    for key, value in one.card.items():
        print(f"  {key}: {value}")
    for code, params in one.remarks:
        here.say("preview.remark", text=text(code, here.language, **params))
