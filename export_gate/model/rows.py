"""The training rows as plain arrays: typed columns, one code a data subject, in an order that says nothing.

Everything a pandas frame could carry beside its values (index, categories, row order) ends here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export_gate.model.description import ModelDescription
from export_gate.model.estimators import Task
from lineage.errors import DefinitionError


if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]

HOLDOUT_SHARE = 0.3
MINIMUM_SUBJECTS = 100
"""Fewer people leave fewer than 30 in the hold-out, and no attack can be measured against so few."""
MAX_CLASSES = 100


class ColumnKind(StrEnum):
    """How a feature is read."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "text"


@dataclass(frozen=True)
class Rows:
    """Some rows of the table: all arrays have one entry a row.

    Attributes:
        columns: by feature; decimals with NaN for NULL, or text with "" for NULL.
        target: what is to be predicted: text, integers or decimals.
        subjects: code of the data subject, 0 … number of subjects of the whole table - 1.
    """

    columns: Mapping[str, Array]
    target: Array
    subjects: Array

    def __post_init__(self) -> None:
        """Refuse columns of unequal length."""
        if any(len(column) != len(self.target) for column in (*self.columns.values(), self.subjects)):
            raise ValueError("every column has one entry a row")

    def take(self, chosen: Array) -> Rows:
        """Give the rows at ``chosen`` (positions or a mask)."""
        columns = {name: column[chosen] for name, column in self.columns.items()}
        return Rows(columns, self.target[chosen], self.subjects[chosen])

    @property
    def subject_count(self) -> int:
        """Number of distinct data subjects."""
        return int(np.unique(self.subjects).size)


def distinct_subjects(groups: Array, subjects: Array, size: int) -> Array:
    """Count distinct subjects in each of the groups 0 … ``size`` - 1; both inputs have one entry a row."""
    if not len(groups):
        return np.zeros(size, dtype=np.int64)
    width = int(subjects.max()) + 1
    pairs = np.unique(groups.astype(np.int64) * width + subjects.astype(np.int64))
    return np.bincount(pairs // width, minlength=size)


def read_rows(frame: pd.DataFrame, description: ModelDescription) -> tuple[Rows, dict[str, ColumnKind]]:
    """Read a frame into rows and say how each feature is read; rows without a target are left out.

    Raises:
        DefinitionError: a column is missing or repeated, of a kind that cannot be learned from, or without subjects.
    """
    names = (*description.features, description.target, description.subject)
    for name in names:
        if list(frame.columns).count(name) != 1:
            raise DefinitionError("model.column-missing", column=name)
    known = frame[frame[description.target].notna()]
    if known[description.subject].isna().any():
        raise DefinitionError("model.subject-missing", column=description.subject)
    kinds: dict[str, ColumnKind] = {}
    columns: dict[str, Array] = {}
    for name in description.features:
        kinds[name], columns[name] = _read_column(known[name])
    rows = Rows(columns, _read_target(known[description.target], description), _codes(known[description.subject]))
    if rows.subject_count < MINIMUM_SUBJECTS:
        raise DefinitionError("model.too-few-subjects", least=MINIMUM_SUBJECTS)
    return rows.take(_order(rows)), kinds


def split(rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """Divide into training and hold-out rows by whole subjects, so that nobody is in both (P2)."""
    people = np.unique(rows.subjects)
    shuffled = np.random.default_rng(seed).permutation(people)
    held = np.isin(rows.subjects, shuffled[: round(HOLDOUT_SHARE * len(people))])
    return rows.take(~held), rows.take(held)


def _order(rows: Rows) -> Array:
    """Sort by content: the order in which rows arrive is a channel (law 8) and would change the bytes of the model."""
    keys = [_codes_of_array(column) for column in rows.columns.values()]
    return np.lexsort([*keys, _codes_of_array(rows.target), rows.subjects])


def _codes_of_array(values: Array) -> Array:
    """Rank of each value among the distinct ones."""
    return np.unique(values, return_inverse=True)[1]


def _codes(series: pd.Series[Any]) -> Array:
    """Number the subjects in the order of their text, which does not depend on the order of the rows."""
    return np.unique(series.astype(str).to_numpy(dtype=str), return_inverse=True)[1]


def _read_column(series: pd.Series[Any]) -> tuple[ColumnKind, Array]:
    """Read one feature, by the type its values have."""
    from pandas.api import types

    name = str(series.name)
    if types.is_datetime64_any_dtype(series) or types.is_timedelta64_dtype(series):
        raise DefinitionError("model.feature-date", column=name)
    inferred = types.infer_dtype(series, skipna=True)
    if inferred in {"date", "datetime", "datetime64", "time", "timedelta", "timedelta64", "period"}:
        raise DefinitionError("model.feature-date", column=name)
    if types.is_bool_dtype(series) or inferred == "boolean":
        return ColumnKind.BOOLEAN, _decimals(series)
    if types.is_numeric_dtype(series) or inferred in {"integer", "floating", "mixed-integer-float", "decimal"}:
        return ColumnKind.NUMBER, _decimals(series)
    if inferred == "string" or (inferred == "categorical" and types.infer_dtype(series.astype(object)) == "string"):
        return ColumnKind.TEXT, series.astype(object).where(series.notna(), "").to_numpy(dtype=str)
    raise DefinitionError("model.feature-kind", column=name)


def _decimals(series: pd.Series[Any]) -> Array:
    """Read numbers and truth values as float32 with NaN for NULL, as a recipient of the model feeds them."""
    from pandas.api import types

    if types.is_complex_dtype(series):
        raise DefinitionError("model.feature-kind", column=str(series.name))
    with np.errstate(over="ignore"):
        values = series.astype(object).where(series.notna(), np.nan).to_numpy(dtype=np.float64).astype(np.float32)
    if np.isinf(values).any():
        raise DefinitionError("model.column-infinite", column=str(series.name))
    return values


def _read_target(series: pd.Series[Any], description: ModelDescription) -> Array:
    """Read the target: classes as text or integers, numbers as decimals."""
    kind, values = _read_column(series)
    if description.kind.task is Task.NUMBER:
        if kind is ColumnKind.TEXT:
            raise DefinitionError("model.target-not-number", column=description.target)
        return values.astype(np.float64)
    if kind is not ColumnKind.TEXT:
        if not np.array_equal(values, np.rint(values)):
            raise DefinitionError("model.target-not-class", column=description.target)
        values = values.astype(np.int64)
    if np.unique(values).size > MAX_CLASSES:
        raise DefinitionError("model.classes-count", column=description.target, most=MAX_CLASSES)
    return values
