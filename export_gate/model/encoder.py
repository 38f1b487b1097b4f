"""From named columns to the matrix the estimator sees, by constants that themselves give nobody away (E2).

Missing numbers and truth values become the median of the training rows; missing text is a category of its own, written "".
Numbers are read to a step (see `precision`). A category is kept only if enough data subjects have it; all others together are
"other", and "other" itself is made large enough by adding the next smallest category, because a small rest is a small group too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export_gate.model.precision import feature_step
from export_gate.model.rows import ColumnKind, Rows, distinct_subjects
from lineage.errors import DefinitionError


Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class NumberColumn:
    """A number or truth value: filled, rounded to ``step``, then centred and scaled (0 and 1 for trees)."""

    name: str
    kind: ColumnKind
    fill: float
    step: float
    center: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuse constants that would divide by nothing."""
        if not (self.step > 0 and self.scale > 0 and np.isfinite([self.fill, self.center]).all()):
            raise ValueError("a number column has a positive step and scale and a finite fill and centre")


@dataclass(frozen=True)
class TextColumn:
    """A text column: one indicator a kept category in this order, then one for all others if ``has_other``."""

    name: str
    categories: tuple[str, ...]
    has_other: bool

    @property
    def width(self) -> int:
        """Number of indicators."""
        return len(self.categories) + self.has_other


@dataclass(frozen=True)
class Encoder:
    """All columns: first the numbers, then the texts, each in the order of the description."""

    numbers: tuple[NumberColumn, ...]
    texts: tuple[TextColumn, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each column of the matrix; indicators are numbered, so that no name holds a category."""
        indicators = [f"{text.name}#{place}" for text in self.texts for place in range(text.width)]
        return (*(number.name for number in self.numbers), *indicators)

    def encode(self, rows: Rows) -> Matrix:
        """Give the matrix (rows, width) in float32, by the same arithmetic as the exported graph."""
        parts = [_encode_number(column, rows.columns[column.name]) for column in self.numbers]
        parts += [_encode_text(column, rows.columns[column.name]) for column in self.texts]
        return np.column_stack(parts).astype(np.float32)


def fit_encoder(rows: Rows, kinds: Mapping[str, ColumnKind], *, minimum: int, scaled: bool) -> Encoder:
    """Learn the constants from the training rows.

    Args:
        rows: training rows only.
        kinds: how each feature is read.
        minimum: least number of data subjects behind a category or a median.
        scaled: whether numbers are centred and scaled, for linear models.

    Raises:
        DefinitionError: a feature has one value only, or too few people have any.
    """
    numbers, texts = [], []
    for name, kind in kinds.items():
        if kind is ColumnKind.TEXT:
            texts.append(_fit_text(name, rows, minimum))
        else:
            numbers.append(_fit_number(name, kind, rows, minimum, scaled=scaled))
    return Encoder(tuple(numbers), tuple(texts))


def _encode_number(column: NumberColumn, values: NDArray[Any]) -> Matrix:
    """Fill, round and scale one column (rows,)."""
    step, center, scale = (np.float32(constant) for constant in (column.step, column.center, column.scale))
    filled = np.where(np.isnan(values), np.float32(column.fill), values).astype(np.float32)
    scaled: Matrix = (np.rint(filled / step) * step - center) / scale
    return scaled


def _encode_text(column: TextColumn, values: NDArray[Any]) -> Matrix:
    """Give the indicators (rows, width) of one column."""
    kept: Matrix = (values[:, None] == np.array(column.categories, dtype=str)[None, :]).astype(np.float32)
    if not column.has_other:
        return kept
    other = 1 - kept.sum(axis=1, keepdims=True)
    return np.hstack([kept, other]).astype(np.float32)


def _fit_number(name: str, kind: ColumnKind, rows: Rows, minimum: int, *, scaled: bool) -> NumberColumn:
    """Learn fill, step and, if asked, centre and scale of one number."""
    values = rows.columns[name]
    known = ~np.isnan(values)
    if np.unique(rows.subjects[known]).size < minimum:
        # the median of a few people is one of them (E2)
        raise DefinitionError("model.feature-too-few", column=name, minimum=minimum)
    present = values[known].astype(np.float64)
    step = 1.0 if kind is ColumnKind.BOOLEAN else feature_step(present)
    fill = float(np.rint(np.median(present) / step) * step)
    plain = NumberColumn(name, kind, fill, step)
    encoded = _encode_number(plain, values).astype(np.float64)
    if np.ptp(encoded) == 0:
        raise DefinitionError("model.feature-constant", column=name)
    if not scaled:
        return plain
    center = float(np.rint(encoded.mean() / step) * step)
    scale = float(f"{np.std(encoded):.2g}")
    return NumberColumn(name, kind, fill, step, center, scale)


def _fit_text(name: str, rows: Rows, minimum: int) -> TextColumn:
    """Choose the categories that are kept; rare ones, and what must join them, become "other"."""
    categories, codes = np.unique(rows.columns[name], return_inverse=True)
    counts = distinct_subjects(codes, rows.subjects, len(categories))
    by_size = np.lexsort([categories, counts])
    merged = counts < minimum
    for place in by_size:
        if not 0 < np.unique(rows.subjects[merged[codes]]).size < minimum:
            break
        merged[place] = True
    kept = tuple(str(category) for category in categories[~merged])
    if len(kept) + bool(merged.any()) < 2:
        raise DefinitionError("model.feature-constant", column=name)
    return TextColumn(name, kept, has_other=bool(merged.any()))
