"""Reading what people type: formats, renames, grades, days, request items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lineage.errors import DefinitionError


if TYPE_CHECKING:
    from sandbox.catalogue import ListedColumn
    from sandbox.columns import Grade, Role
    from sandbox.ingest import Format
    from sandbox.requests import Item

_SUFFIXES = {".csv": "csv", ".txt": "csv", ".parquet": "parquet", ".jsonl": "json_lines", ".ndjson": "json_lines"}


def guess_format(file: Path, given: str) -> Format:
    """Choose a format by option, else by the file's name; a folder is a Delta table.

    Raises:
        DefinitionError: neither says one.
    """
    from sandbox.ingest import Format

    name = given or ("delta" if file.is_dir() else _SUFFIXES.get(file.suffix.lower(), ""))
    for known in Format:
        if name.replace("-", "_").lower() in {known.name.lower(), known.value}:
            return known
    raise DefinitionError("typed.format", known=", ".join(Format))


def read_renames(pairs: Sequence[str]) -> dict[str, str]:
    """Read ``marital-status=marital_status`` pairs."""
    return dict(_pair(one) for one in pairs)


def read_grades(
    pairs: Sequence[str], listed: Sequence[ListedColumn], *, accept: bool
) -> Mapping[str, tuple[Role, Grade, str]]:
    """Read ``column=role:grade`` pairs; with ``accept`` suggestions fill what is not named and not confirmed yet.

    Raises:
        DefinitionError: a pair is malformed, names no role or grade, or nothing would be confirmed.
    """
    from sandbox.columns import Grade, Role

    confirmed: dict[str, tuple[Role, Grade, str]] = {}
    entities = {column.name: str((column.suggestion or {}).get("entity") or "") for column in listed}
    for column in listed if accept else ():
        if column.suggestion and column.role is None:
            role, level = Role(column.suggestion["role"]), Grade(int(column.suggestion["grade"]))
            confirmed[column.name] = (role, level, entities[column.name])
    for one in pairs:
        name, value = _pair(one)
        role_name, _, level_text = value.partition(":")
        role_name = role_name.replace("-", "_")
        if role_name not in set(Role) or level_text not in {"1", "2", "3", "4"}:
            raise DefinitionError("typed.grade", text=one[:80], known=", ".join(Role))
        confirmed[name] = (Role(role_name), Grade(int(level_text)), entities.get(name, ""))
    if not confirmed:
        raise DefinitionError("typed.nothing-to-grade")
    return confirmed


def read_day(text: str) -> date:
    """Read a day.

    Raises:
        DefinitionError: it is no date.
    """
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise DefinitionError("typed.day", text=text[:40]) from error


def read_until(text: str) -> datetime:
    """Read the last day of a term as the moment it ends, in UTC."""
    return datetime.combine(read_day(text), datetime.max.time(), tzinfo=UTC)


def read_item(text: str) -> Item:
    """Read ``provider.table:column,column[:row filter]``.

    Raises:
        DefinitionError: it is malformed.
    """
    from sandbox.requests import Item

    dataset, _, rest = text.partition(":")
    columns, _, row_filter = rest.partition(":")
    names = tuple(name.strip() for name in columns.split(",") if name.strip())
    if not dataset or not names:
        raise DefinitionError("typed.item", text=text[:80])
    return Item(dataset, names, row_filter.strip() or None)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise DefinitionError("typed.pair", text=text[:80])
    return name, value
