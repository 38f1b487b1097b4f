"""The object that a job's ``main`` receives."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from . import errors
from .tables import Tables


OUTBOX: Final = Path("/out")
DEVELOPMENT: Final = "development"

_FILE: Final = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,99}/)?[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_PLAIN: Final = (bool, int, float, str)


class Job:
    """A running job: its tables, its outbox and its log."""

    def __init__(self, tables: Tables, stage: str, outbox: Path = OUTBOX) -> None:
        self._tables = tables
        self._outbox = outbox
        self.stage = stage

    @property
    def tables(self) -> list[str]:
        """Names of the tables granted to this job, and of its steps."""
        return self._tables.names

    @property
    def spark(self) -> Any:
        """The Spark session of a job with ``runtime = "spark"``."""
        return self._tables.spark

    def table(self, name: str) -> Any:
        """Give a granted table: a Spark data frame, or a pandas data frame in a ``python`` job.

        Raises:
            JobError: the table is not granted; the text lists those that are.
        """
        return self._tables.table(name)

    def sql(self, query: str) -> Any:
        """Run SQL (Spark SQL, or DuckDB in a ``python`` job) over the granted tables by their names."""
        return self._tables.sql(query)

    def log(self, text: object) -> None:
        """Write a line to the job's log; shown in development, kept inside the domain in production."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def save(self, name: str, content: Any) -> Path:
        """Leave a file in the outbox for the gate.

        Args:
            name: plain file name, at most one folder deep; for a data frame it ends in ``.csv``, ``.parquet`` or ``.json``.
            content: bytes, text, or a Spark or pandas data frame.

        Raises:
            JobError: the name or the kind of content is not allowed.
        """
        if not _FILE.fullmatch(name):
            raise errors.bad_name(name)
        path = self._outbox / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes | bytearray | memoryview):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            _save_frame(path, content)
        return path

    def model(self, name: str, estimator: Any, features: str = "SELECT ...", target: str = "...") -> Path:
        """Describe a model, so that the gate can train it: its class and parameters, never its fitted state (E3).

        In development the lines for ``job.toml`` are printed. A description is saved as ``<name>.model.json``.

        Raises:
            JobError: not a scikit-learn estimator, or a parameter is not a plain value.
        """
        kind, params = _public_name(type(estimator)), _changed_params(estimator)
        if self.stage == DEVELOPMENT:
            self.log(product_lines(name, kind, params, features, target))
        description = {"estimator": kind, "params": params}
        return self.save(f"{name}.model.json", json.dumps(description, sort_keys=True, indent=2) + "\n")


def _save_frame(path: Path, frame: Any) -> None:
    if hasattr(frame, "toPandas"):
        frame = frame.toPandas()
    writers = {".csv": "to_csv", ".parquet": "to_parquet", ".json": "to_json"}
    if path.suffix not in writers or not hasattr(frame, writers[path.suffix]):
        raise errors.bad_content(type(frame).__name__)
    options: dict[str, Any] = {"orient": "records", "lines": True} if path.suffix == ".json" else {"index": False}
    getattr(frame, writers[path.suffix])(path, **options)


def _public_name(kind: type) -> str:
    """Give the shortest public path a class can be imported by: ``sklearn.ensemble._forest.X`` is ``sklearn.ensemble.X``."""
    parts = kind.__module__.split(".")
    public = [part for part in parts if not part.startswith("_")]
    for length in range(1, len(public) + 1):
        module = ".".join(public[:length])
        try:
            found = getattr(importlib.import_module(module), kind.__qualname__, None)
        except ImportError:
            continue
        if found is kind:
            return f"{module}.{kind.__qualname__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def _changed_params(estimator: Any) -> dict[str, Any]:
    """Give the parameters that differ from the class's own defaults."""
    if not hasattr(estimator, "get_params"):
        raise errors.bad_estimator(type(estimator).__name__)
    defaults: Mapping[str, Any] = type(estimator)().get_params(deep=False)
    params = {
        name: value for name, value in estimator.get_params(deep=False).items() if not _same(value, defaults.get(name))
    }
    if not all(value is None or isinstance(value, _PLAIN) for value in params.values()):
        raise errors.bad_estimator(type(estimator).__name__)
    return params


def _same(value: Any, default: Any) -> bool:
    """Compare two parameters without asking arrays; a missing number (NaN) is the same as another."""
    return type(value) is type(default) and (value == default or value != value)  # noqa: PLR0124


def product_lines(name: str, estimator: str, params: Mapping[str, Any], features: str, target: str) -> str:
    """Write the ``[[product]]`` lines that describe a model; TOML has no null, so such a parameter becomes a comment."""
    given = ", ".join(f"{key} = {json.dumps(value)}" for key, value in sorted(params.items()) if value is not None)
    lines = [
        "[[product]]",
        f"name = {json.dumps(name)}",
        'kind = "model"',
        f"estimator = {json.dumps(estimator)}",
        f"params = {{ {given} }}" if given else "params = {}",
        *(f"# {key} = None" for key, value in sorted(params.items()) if value is None),
        f"features = {json.dumps(features, ensure_ascii=False)}",
        f"target = {json.dumps(target, ensure_ascii=False)}",
    ]
    return "\n".join(lines)
