"""The record of a destruction as a page that can be printed and signed: what, when, by whom, and what was tried (D11, C28)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sandbox.messages import Language, text


if TYPE_CHECKING:
    from lineage.log import Entry


def page(entry: Entry, agreement: str, language: Language) -> str:
    """Write the page of one entry of a destruction.

    Whoever holds it can have the entry proved: ``shuzha audit prove`` with its number.
    """
    return "\n".join(_lines(entry, agreement, language))


def _lines(entry: Entry, agreement: str, language: Language) -> Iterator[str]:
    told = entry.payload
    yield text("ending.page-title", language, agreement=agreement)
    yield ""
    yield text("ending.page-when", language, time=entry.time, person=entry.actor.person, seq=entry.seq)
    yield text("ending.page-how", language, service=_said(told, "key_service"), storage=_said(told, "storage"))
    yield ""
    yield text("ending.page-keys", language, count=len(told.get("keys", ())))
    yield from (f"  - {name}" for name in told.get("keys", ()))
    yield text("ending.page-tables", language, count=len(told.get("tables", ())))
    for one in told.get("tables", ()):
        yield f"  - {one['table']} ({one['zone']}, {one['dataset']}, {one['version']}, {one['grant']})"
    yield text("ending.page-tried", language, count=len(told.get("tried", {}).get("opened", ())))
    yield from (f"  - {one}" for one in told.get("tried", {}).get("opened", ()))
    yield text("ending.page-left", language)
    yield from _copies(told, language)
    yield ""
    yield text("ending.page-kept", language)


def _copies(told: Any, language: Language) -> Iterator[str]:
    """Say which key copies were reached, and say it plainly where they were not."""
    copies = told.get("copies", ())
    yield text("ending.page-copies", language, count=len(copies))
    for one in copies:
        code = "ending.page-reached" if one["reached"] else "ending.page-not-reached"
        yield "  - " + text(code, language, vault=one["vault"], place=one["place"], backups=len(one["backups"]))


def _said(told: Any, name: str) -> str:
    return str(told.get(name, "-"))
