"""Inside the jail: one file, one description, one parser; plain values or one problem come out (E2, law 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from export_gate.file.arrow_parquet import read_arrow, read_parquet
from export_gate.file.canonical import Canonical, Text
from export_gate.file.cells import Column
from export_gate.file.csv_ import read_csv
from export_gate.file.jpeg import read_jpeg
from export_gate.file.jsonlines import read_json_lines
from export_gate.file.kind import check_kind
from export_gate.file.limits import MOST_READ
from export_gate.file.png import read_png
from export_gate.file.problem import UnreadableError, unreadable
from export_gate.file.text import read_text


TABLES: Mapping[str, Callable[[bytes, Sequence[Column]], Canonical]] = {
    "csv": read_csv,
    "json-lines": read_json_lines,
    "parquet": read_parquet,
    "arrow": read_arrow,
}
OTHERS: Mapping[str, Callable[[bytes], Canonical]] = {
    "png": read_png,
    "jpeg": read_jpeg,
    "text": lambda data: Text(read_text(data)),
}
FILE = "file"
"""What the one file is called in the jail, whatever its name was."""


def read(data: bytes, form: str, columns: Sequence[Column], most_bytes: int) -> Canonical:
    """Bring a file to its canonical form.

    Raises:
        UnreadableError: it is not of this format, not readable strictly, or longer than its description reserves.
    """
    check_kind(data, form)
    found = TABLES[form](data, columns) if form in TABLES else OTHERS[form](data)
    if len(found.data) > most_bytes:
        raise unreadable("file.longer-than-said")
    return found


def file_lane(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Carry a request of the gate out on the one file of a folder; gives the canonical form, or what is wrong with it."""
    columns = [Column.declared(name, kind) for name, kind in request["columns"]]
    try:
        data = _bytes(folder / FILE)
        return {"canonical": read(data, request["format"], columns, request["bytes"]).wire}
    except UnreadableError as error:
        return {"problem": error.code, "line": error.line}


def _bytes(path: Path) -> bytes:
    if path.stat().st_size > MOST_READ:
        raise unreadable("file.too-large")
    return path.read_bytes()
