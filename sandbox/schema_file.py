"""A table's declaration as a person writes it: one TOML file that says what the source is and what its columns must be (I2, I6).

``draft`` writes a first version from what was inferred; a person corrects and confirms it by importing with it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from lineage.errors import DefinitionError
from sandbox.columns import SubjectKind
from sandbox.ingest.rules import RULES, Rule
from sandbox.ingest.schema import ColumnSchema, ColumnType, TableSchema
from sandbox.ingest.source import Format, Source


@dataclass(frozen=True)
class Declaration:
    """What a provider says of a table and of the form its files come in."""

    name: str
    title: str
    format: Format
    encoding: str
    delimiter: str
    schema: TableSchema
    subject_kind: SubjectKind | None

    def __post_init__(self) -> None:
        """A table names the kind of its subjects exactly when it has a subject key."""
        if (self.schema.subject_key is None) != (self.subject_kind is None):
            raise DefinitionError("declaration.subject", name=self.name)

    def source(self, path: Path) -> Source:
        """Give a file in the declared form."""
        return Source(path, self.format, self.encoding, self.delimiter)


_TABLE_KEYS = {"name", "title", "format", "encoding", "delimiter", "subject", "subject_kind", "make_subject", "unique"}
_COLUMN_KEYS = {"name", "type", "required", "rule", "source"}


def read_declaration(path: Path) -> Declaration:
    """Read a declaration file.

    Raises:
        DefinitionError: it is no TOML, a key is unknown or missing, or a value makes no sense.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DefinitionError("declaration.not-found", file=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DefinitionError("declaration.not-toml", file=path.name, detail=str(error)[:200]) from error
    try:
        return _declaration(values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DefinitionError("declaration.wrong", file=path.name, detail=str(error)[:200]) from error


def _declaration(values: Mapping[str, Any]) -> Declaration:
    table: Mapping[str, Any] = values["table"]
    _only(values, {"table", "column"}, "")
    _only(table, _TABLE_KEYS, "[table]")
    columns = tuple(_column(one) for one in values["column"])
    schema = TableSchema(
        columns=columns,
        subject_key=table.get("subject"),
        make_subject=bool(table.get("make_subject", False)),
        unique_key=tuple(table.get("unique", ())),
    )
    kind = table.get("subject_kind")
    return Declaration(
        name=table["name"],
        title=table["title"],
        format=Format(table["format"]),
        encoding=table.get("encoding", "utf-8"),
        delimiter=table.get("delimiter", ","),
        schema=schema,
        subject_kind=None if kind is None else SubjectKind(kind),
    )


def _only(values: Mapping[str, Any], known: set[str], place: str) -> None:
    for key in values:
        if key not in known:
            raise DefinitionError("declaration.unknown-key", place=place, key=key[:60], known=", ".join(sorted(known)))


def _column(value: Mapping[str, Any]) -> ColumnSchema:
    _only(value, _COLUMN_KEYS, "[[column]]")
    return ColumnSchema(
        name=value["name"],
        type=ColumnType.parse(value["type"]),
        required=bool(value.get("required", False)),
        rule=_rule(value.get("rule")),
        source_name=value.get("source", ""),
    )


def _rule(value: Any) -> Rule | None:
    if value is None:
        return None
    settings = {"name": value} if isinstance(value, str) else dict(value)
    name = settings.pop("name")
    if name not in RULES:
        raise DefinitionError("declaration.unknown-rule", rule=str(name)[:60], known=", ".join(RULES))
    return RULES[name](**{key: _setting(name, key, item) for key, item in settings.items()})


def _setting(rule: str, key: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if rule == "decimal-range":
        return Decimal(str(value))
    if rule == "date-range" and key in {"earliest", "latest"} and not isinstance(value, date):
        return date.fromisoformat(value)
    return value


def schema_to_json(schema: TableSchema) -> dict[str, Any]:
    """Give the stored form of a schema."""
    return {
        "columns": [
            {
                "name": column.name,
                "type": str(column.type),
                "required": column.required,
                "rule": _rule_to_json(column.rule),
                "source": column.source_name,
            }
            for column in schema.columns
        ],
        "subject": schema.subject_key,
        "make_subject": schema.make_subject,
        "unique": list(schema.unique_key),
    }


def schema_from_json(value: Mapping[str, Any]) -> TableSchema:
    """Read a stored schema."""
    return TableSchema(
        columns=tuple(_column(one) for one in value["columns"]),
        subject_key=value["subject"],
        make_subject=value["make_subject"],
        unique_key=tuple(value["unique"]),
    )


def _rule_to_json(rule: Rule | None) -> dict[str, Any] | None:
    if rule is None:
        return None
    name = next(name for name, kind in RULES.items() if kind is type(rule))
    settings = {key: _plain(item) for key, item in asdict(rule).items() if item is not None}
    return {"name": name, **settings}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Decimal | date) else value


def draft(name: str, title: str, source: Source, schema: TableSchema) -> str:
    """Write a declaration for what was inferred, for a person to correct."""
    lines = ["[table]", f'name = "{name}"', f'title = "{title}"', f'format = "{source.format}"']
    lines += [f'encoding = "{source.encoding}"', f'delimiter = "{source.delimiter}"']
    lines += ['# subject = "…"', '# subject_kind = "person"  # person | company', "make_subject = false", ""]
    for column in schema.columns:
        lines += ["[[column]]", f'name = "{column.name}"', f'type = "{column.type}"']
        if column.source_name != column.name:
            lines.append(f'source = "{column.source_name}"')
        rule = _rule_to_json(column.rule)
        if rule is not None:
            lines.append(f'rule = "{rule["name"]}"')
        lines.append("")
    return "\n".join(lines)
