"""What no opaque file may hold, found by shape alone in its canonical form: resident IDs, tokens of inputs, columns of pseudonyms (B1, B3).

A match against the raw identifiers themselves is another check's; these need nothing but the file, so they run before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from export_gate.file.canonical import Canonical, Table
from export_gate.file.cells import Cell
from export_gate.finding import Finding, Verdict


_TOKEN = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", re.IGNORECASE)
"""How a direct identifier stands in an input: HMAC-SM3 cut to 128 bits, in hex."""
_CODE = re.compile(r"[A-Za-z0-9+/=_-]{12,}", re.ASCII)
_FEWEST = 20
"""Rows below which nine tenths of distinct codes may well be chance."""
_DISTINCT_TENTHS = 9
_VERSION = 1


def look_for_persons(found: Canonical) -> tuple[Finding, ...]:
    """Judge a canonical file: one finding for each thing that it holds, or one that says that none was found."""
    counted = {
        "file.holds-resident-id": _resident_ids(found.texts),
        "file.holds-token": sum(_TOKEN.search(text) is not None for text in found.texts),
        "file.pseudonym-column": _pseudonyms(found) if isinstance(found, Table) else 0,
    }
    blocked = tuple(
        Finding("file.persons", _VERSION, Verdict.BLOCK, reason, evidence={"count": count})
        for reason, count in counted.items()
        if count
    )
    return blocked or (Finding("file.persons", _VERSION, Verdict.NO_ATTACK_SUCCEEDED, "file.no-person-found"),)


def _resident_ids(texts: Sequence[str]) -> int:
    import pyarrow as pa

    from desensitize.recognizers import holds_resident_id

    return int(bool(texts) and holds_resident_id(pa.array(texts, pa.string())))


def _pseudonyms(table: Table) -> int:
    """Count the columns that name their rows: nearly all distinct, of one length, longer than a plain code."""
    return sum(
        _names_rows([row[place] for row in table.rows])
        for place, column in enumerate(table.columns)
        if column.kind in {"text", "integer"}
    )


def _names_rows(cells: Sequence[Cell]) -> bool:
    known = [cell for cell in cells if cell is not None]
    if len(known) < _FEWEST or len({len(cell) for cell in known}) != 1:
        return False
    return len(set(known)) * 10 >= len(known) * _DISTINCT_TENTHS and all(map(_CODE.fullmatch, known))
