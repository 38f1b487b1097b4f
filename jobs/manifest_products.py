"""The ``[[product]]`` tables: one reader for each kind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from jobs.manifest_files import read_text
from jobs.manifest_toml import Section, exact
from jobs.manifest_values import (
    FILE_FORMATS,
    TABLE_FORMATS,
    ChartProduct,
    FileProduct,
    KeyValue,
    ModelProduct,
    OpaqueProduct,
    ParameterValue,
    Product,
    ReportProduct,
    StatisticProduct,
    TableProduct,
)


PRODUCT_NAME = r"[a-z][a-z0-9_]{0,62}"
COLUMN = r"[^\W\d]\w{0,62}"
SQL_PATH = re.compile(r"\S+\.sql")
HIGHEST_EPSILON = 100
FILE_PATH = r"(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,99}/)?[A-Za-z0-9_][A-Za-z0-9._-]{0,99}"
FILE_COLUMN_TYPE = r"text|integer|decimal\([1-9]\)|date|boolean"
FILE_BYTES = (16, 4 * 1024 * 1024)
MOST_FILE_COLUMNS = 100


def sql_of(section: Section, key: str, folder: Path) -> str:
    """Take SQL, written in place or as the path of a ``.sql`` file."""
    value = section.text(key, needs="SELECT … | *.sql")
    if not SQL_PATH.fullmatch(value):
        return value
    return section.problems.attempt(lambda: read_text(folder, value), section.line(key)) or ""


def read_product(section: Section, folder: Path) -> Product | None:
    """Read one product; None when its kind is unknown. Problems are noted in the section."""
    kind = section.text("kind", "|".join(READERS), needs=" | ".join(READERS))
    name = section.text("name", PRODUCT_NAME, needs="a-z 0-9 _")
    if not kind:
        return None
    product = READERS[kind](section, name, folder)
    section.done()
    return product


def _statistic(section: Section, name: str, folder: Path) -> StatisticProduct:
    return StatisticProduct(
        name=name,
        sql=sql_of(section, "sql", folder),
        subject=section.text("subject", COLUMN, needs="column"),
        bounds=_bounds(section),
        groups_per_subject=section.whole("groups_per_subject", 1, 1_000_000),
        rows_per_group=section.whole("rows_per_group", 1, 1_000_000),
        epsilon=section.fraction("epsilon", HIGHEST_EPSILON),
        keys=_keys(section),
    )


def _bounds(section: Section) -> Mapping[str, tuple[Fraction, Fraction]]:
    bounds: dict[str, tuple[Fraction, Fraction]] = {}
    for column, pair in section.mapping("bounds").items():
        numbers = [exact(value) for value in pair] if isinstance(pair, list) else []
        low, high = numbers if len(numbers) == 2 else (None, None)
        if low is None or high is None or low >= high:
            section.wrong("bounds", f"{column[:63]} = [low, high]")
        else:
            bounds[column] = (low, high)
    return bounds


def _keys(section: Section) -> Mapping[str, tuple[KeyValue, ...]]:
    keys: dict[str, tuple[KeyValue, ...]] = {}
    for column, values in section.mapping("keys").items():
        good = isinstance(values, list) and all(isinstance(v, str | int) and not isinstance(v, bool) for v in values)
        if not good or not values or len(set(values)) != len(values):
            section.wrong("keys", f"{column[:63]} = [value, …]")
        else:
            keys[column] = tuple(values)
    return keys


def _table(section: Section, name: str, folder: Path) -> TableProduct:
    return TableProduct(name=name, sql=sql_of(section, "sql", folder))


def _model(section: Section, name: str, folder: Path) -> ModelProduct:
    return ModelProduct(
        name=name,
        estimator=section.text("estimator", r"[A-Za-z_]\w*(\.[A-Za-z_]\w*){1,6}", needs="package.Class"),
        params=_params(section),
        features=sql_of(section, "features", folder),
        target=section.text("target", COLUMN, needs="column"),
        train_on=section.text("train_on", "view|input", "view", needs="view | input") or "view",
    )


def _params(section: Section) -> Mapping[str, ParameterValue]:
    params: dict[str, ParameterValue] = {}
    for key, value in section.mapping("params").items():
        items = value if isinstance(value, list) else [value]
        if not key.isidentifier() or not all(isinstance(item, str | int | bool | Decimal) for item in items):
            section.wrong("params", f"{key[:63]} = number | text | true | [ … ]")
            continue
        plain = [float(item) if isinstance(item, Decimal) else item for item in items]
        params[key] = tuple(plain) if isinstance(value, list) else plain[0]
    return params


def _opaque(section: Section, name: str, _: Path) -> OpaqueProduct:
    return OpaqueProduct(name=name, run=section.text("run", COLUMN, "", needs="[[run]] name"))


def _file(section: Section, name: str, _: Path) -> OpaqueProduct:
    """Read a file's description, whole or not at all; without one the gate cannot check the file."""
    run = section.text("run", COLUMN, "", needs="[[run]] name")
    if not {"path", "format", "bytes", "columns"} & set(section.values):
        return FileProduct(name=name, run=run)
    path = section.text("path", FILE_PATH, needs="name.csv | folder/name.csv")
    form = section.text("format", "|".join(FILE_FORMATS), needs=" | ".join(FILE_FORMATS))
    size = section.whole("bytes", *FILE_BYTES)
    columns = _file_columns(section)
    if form and bool(columns) is not (form in TABLE_FORMATS):
        section.wrong("columns", 'column = "integer"' if form in TABLE_FORMATS else "-")
        return FileProduct(name=name, run=run)
    return (
        FileProduct(name, run, path=path, format=form, size=size, columns=columns)
        if path and form
        else FileProduct(name, run)
    )


def _file_columns(section: Section) -> Mapping[str, str]:
    columns = section.mapping("columns")
    good = {
        name: kind
        for name, kind in columns.items()
        if re.fullmatch(COLUMN, name) and isinstance(kind, str) and re.fullmatch(FILE_COLUMN_TYPE, kind)
    }
    if len(good) != len(columns) or len(good) > MOST_FILE_COLUMNS:
        section.wrong("columns", 'column = "text | integer | decimal(1…9) | date | boolean"')
    return good


def _chart(section: Section, name: str, folder: Path) -> ChartProduct:
    path = section.text("spec", r"\S+\.json", needs="*.json")
    text = (section.problems.attempt(lambda: read_text(folder, path), section.line("spec")) or "") if path else ""
    if text and not _is_object(text):
        section.problems.add("job.bad-json", 1, file=path)
    return ChartProduct(name=name, of=section.text("of", PRODUCT_NAME, needs="product"), spec=text)


def _is_object(text: str) -> bool:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)


def _report(section: Section, name: str, folder: Path) -> ReportProduct:
    path = section.text("text", r"\S+\.md", needs="*.md")
    text = (section.problems.attempt(lambda: read_text(folder, path), section.line("text")) or "") if path else ""
    return ReportProduct(name=name, text=text)


READERS: Mapping[str, Callable[[Section, str, Path], Product]] = {
    "statistic": _statistic,
    "table": _table,
    "model": _model,
    "opaque": _opaque,
    "file": _file,
    "chart": _chart,
    "report": _report,
}
