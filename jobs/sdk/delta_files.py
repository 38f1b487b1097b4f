"""Find the files of a plain Delta table without Spark: asking Delta for them costs a small job a third of its processor time.

Delta answers "which files, which columns" by several Spark queries over its log. A granted table is written once by the platform, so
its log is a handful of JSON lines (Delta protocol, "Delta log entries"), and reading them takes a millisecond. Whatever is not plain
(a checkpoint, a newer reader version, partitions, deletion vectors, typed metadata) is left to Delta itself: this never guesses.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote


_MOST_COMMITS: Final = 100
_PLAIN_READER: Final = 1


@dataclass(frozen=True)
class PlainTable:
    """A table as its log describes it: the data files, and the schema in Spark's JSON form."""

    files: tuple[str, ...]
    schema: Mapping[str, Any]


class _NotPlainError(Exception):
    """The log says something that only Delta should read."""


def read_plain(place: str) -> PlainTable | None:
    """Read a table's log; None when Delta itself should read the table."""
    log = Path(place) / "_delta_log"
    try:
        names = sorted(entry.name for entry in os.scandir(log) if not entry.name.endswith(".crc"))
        if names != [f"{version:020}.json" for version in range(len(names))] or len(names) > _MOST_COMMITS:
            return None
        return _replay(Path(place), [log / name for name in names])
    except (OSError, ValueError, KeyError, TypeError, _NotPlainError):
        return None


def _replay(place: Path, commits: list[Path]) -> PlainTable:
    """Replay the log from its beginning; every later action about a file replaces the earlier one."""
    files: dict[str, bool] = {}
    schema: Mapping[str, Any] = {}
    for commit in commits:
        for line in commit.read_text(encoding="utf-8").splitlines():
            ((kind, action),) = json.loads(line).items()
            if kind == "metaData":
                schema = _checked_schema(action)
            elif kind == "protocol" and action["minReaderVersion"] != _PLAIN_READER:
                raise _NotPlainError
            elif kind in {"add", "remove"}:
                files[_checked_file(place, action)] = kind == "add"
    return PlainTable(tuple(name for name, there in files.items() if there), schema)


def _checked_schema(action: Mapping[str, Any]) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = json.loads(action["schemaString"])
    plain = action["format"]["provider"] == "parquet" and not action["partitionColumns"] and schema["fields"]
    if not plain or any(field["metadata"] or not isinstance(field["type"], str) for field in schema["fields"]):
        raise _NotPlainError
    return schema


def _checked_file(place: Path, action: Mapping[str, Any]) -> str:
    name = unquote(action["path"])
    if action.get("deletionVector") or action.get("partitionValues") or "/" in name or ":" in name:
        raise _NotPlainError
    return str(place / name)
