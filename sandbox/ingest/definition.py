"""Schemas as plain mappings, for definition files (TOML) and the catalogue (JSON): complete, and nothing unknown is ignored.

::

    subject_key = "resident_id"                    # or make_subject = true, or neither
    unique_key = ["resident_id"]
    [[column]]
    name = "resident_id"
    source_name = "身份证号"
    type = "string"
    required = true
    rule = { kind = "resident-id" }
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from lineage.errors import DefinitionError
from sandbox.ingest.rules import RULES, DateRange, DecimalRange, IntegerRange, MaxLength, OneOf, Rule
from sandbox.ingest.schema import ColumnSchema, ColumnType, TableSchema


_TABLE_KEYS = {"column": list, "subject_key": str, "make_subject": bool, "unique_key": list}
_COLUMN_KEYS = {"name": str, "type": str, "required": bool, "source_name": str, "rule": dict}


def schema_from_mapping(data: Mapping[str, Any]) -> TableSchema:
    """Read a schema.

    Raises:
        DefinitionError: a key is missing, unknown or of the wrong kind, or the schema itself is wrong.
    """
    _check_keys(data, _TABLE_KEYS, ("column",))
    return TableSchema(
        tuple(_column(entry) for entry in data["column"]),
        subject_key=data.get("subject_key"),
        make_subject=data.get("make_subject", False),
        unique_key=_texts("unique_key", data.get("unique_key", [])),
    )


def schema_to_mapping(schema: TableSchema) -> dict[str, Any]:
    """Write a schema with strings, integers, booleans and lists alone; ``schema_from_mapping`` gives an equal one back."""
    data: dict[str, Any] = {"column": [_column_to_mapping(column) for column in schema.columns]}
    if schema.make_subject:
        data["make_subject"] = True
    elif schema.subject_key is not None:
        data["subject_key"] = schema.subject_key
    if schema.unique_key:
        data["unique_key"] = list(schema.unique_key)
    return data


def _column(entry: Any) -> ColumnSchema:
    if not isinstance(entry, Mapping):
        raise DefinitionError("import.schema-definition", key="column")
    _check_keys(entry, _COLUMN_KEYS, ("name", "type"))
    name = entry["name"]
    rule = _rule(name, entry["rule"]) if "rule" in entry else None
    kind = ColumnType.parse(entry["type"])
    return ColumnSchema(name, kind, entry.get("required", False), rule, entry.get("source_name", ""))


def _column_to_mapping(column: ColumnSchema) -> dict[str, Any]:
    data: dict[str, Any] = {"name": column.name, "type": str(column.type)}
    if column.required:
        data["required"] = True
    if column.source_name != column.name:
        data["source_name"] = column.source_name
    if column.rule is not None:
        data["rule"] = _rule_to_mapping(column.rule)
    return data


def _rule(column: str, entry: Mapping[str, Any]) -> Rule:
    kind = RULES.get(str(entry.get("kind")))
    given = {key: value for key, value in entry.items() if key != "kind"}
    wrong = DefinitionError(
        "import.rule-unknown", column=column[:60], rule=str(entry.get("kind"))[:60], known=", ".join(RULES)
    )
    if kind is None or not {field.name for field in fields(kind)}.issuperset(given):
        raise wrong
    try:
        return _made(kind, given)
    except (KeyError, TypeError, ValueError, InvalidOperation):
        raise wrong from None


def _made(kind: type[Rule], given: Mapping[str, Any]) -> Rule:
    if kind is IntegerRange:
        return IntegerRange(**{key: _integer(value) for key, value in given.items()})
    if kind is DecimalRange:
        return DecimalRange(**{key: Decimal(str(value)) for key, value in given.items()})
    if kind is DateRange:
        days = {key: _day(value) for key, value in given.items() if key != "not_future"}
        return DateRange(**days, not_future=_flag(given.get("not_future", False)))
    if kind is OneOf:
        return OneOf(_texts("values", given["values"]))
    if kind is MaxLength:
        return MaxLength(_integer(given["characters"]))
    return cast("Callable[[], Rule]", kind)()


def _rule_to_mapping(rule: Rule) -> dict[str, Any]:
    word = next(word for word, kind in RULES.items() if type(rule) is kind)
    values = {field.name: getattr(rule, field.name) for field in fields(rule)}
    return {"kind": word} | {
        key: _plain(value) for key, value in values.items() if value is not None and value is not False
    }


def _plain(value: object) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, date):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) else value


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError("not a whole number")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def _day(value: object) -> date:
    return value if type(value) is date else date.fromisoformat(str(value))


def _texts(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DefinitionError("import.schema-definition", key=key)
    return tuple(value)


def _check_keys(data: Mapping[str, Any], known: Mapping[str, type], needed: tuple[str, ...]) -> None:
    missing = [key for key in needed if key not in data]
    wrong = [key for key, value in data.items() if key not in known or not isinstance(value, known[key])]
    if missing or wrong:
        raise DefinitionError("import.schema-definition", key=str((missing + wrong)[0])[:60])
