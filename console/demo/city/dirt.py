"""Dirt in a known amount: rows that an import must find, each with exactly one fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from console.demo.city.draw import Ints


Columns = dict[str, NDArray[np.str_]]


class Fault(StrEnum):
    """What is wrong with a dirty row."""

    BAD_CITIZEN_NUMBER = "bad citizen number"
    BAD_CREDIT_CODE = "bad credit code"
    IMPOSSIBLE_DATE = "impossible date"
    NEGATIVE_NUMBER = "negative number"
    TEXT_IN_NUMBER = "text in number"
    MISSING_KEY = "missing key"


@dataclass(frozen=True)
class Dirt:
    """Which rows are dirty and how: ``fault`` has shape (n,), the index of a kind of the file's own order, or -1 for clean rows."""

    kinds: tuple[Fault, ...]
    fault: Ints

    @property
    def counts(self) -> Mapping[Fault, int]:
        """Number of rows of each kind."""
        return {kind: int((self.fault == number).sum()) for number, kind in enumerate(self.kinds)}

    @property
    def clean(self) -> NDArray[np.bool_]:
        """Mask of the rows without a fault, shape (n,)."""
        return self.fault < 0

    def then(self, other: Dirt) -> Dirt:
        """Give the dirt of two files written one after the other."""
        return Dirt(self.kinds, np.concatenate([self.fault, other.fault]))


def spread(rng: np.random.Generator, kinds: tuple[Fault, ...], rows: int, share: float) -> Dirt:
    """Choose ``share`` of the rows, at least one for each kind, in equal parts for the kinds."""
    wanted = min(rows, max(len(kinds), round(rows * share)))
    fault = np.full(rows, -1, dtype=np.int64)
    fault[rng.permutation(rows)[:wanted]] = np.arange(wanted) % len(kinds)
    return Dirt(kinds, fault)


def wrong_last(values: NDArray[np.str_]) -> NDArray[np.str_]:
    """Change the check character of 18-character codes."""
    return np.array([value[:-1] + ("1" if value[-1] == "0" else "0") for value in values], dtype=np.str_)


def no_such_day(values: NDArray[np.str_]) -> NDArray[np.str_]:
    """Turn dates, and months (``2026-04``), into ones that no calendar has."""
    return np.array([value[:4] + ("-02-30" if len(value) > 7 else "-13") for value in values], dtype=np.str_)


def below_zero(values: NDArray[np.str_]) -> NDArray[np.str_]:
    """Put a minus before numbers."""
    return np.strings.add("-", values)


def about(values: NDArray[np.str_]) -> NDArray[np.str_]:
    """Write numbers as a clerk would in a note."""
    return np.strings.add("约", values)


def nothing(values: NDArray[np.str_]) -> NDArray[np.str_]:
    """Leave values out."""
    return np.zeros_like(values)


Spoiler = tuple[str, Callable[[NDArray[np.str_]], NDArray[np.str_]]]


def spoil(columns: Columns, dirt: Dirt, how: Mapping[Fault, Spoiler]) -> Columns:
    """Give the columns with every dirty row spoiled: ``how`` names for each kind the column and what to do to its values."""
    spoiled = dict(columns)
    for number, kind in enumerate(dirt.kinds):
        name, change = how[kind]
        rows = np.flatnonzero(dirt.fault == number)
        if rows.size:
            changed = change(spoiled[name][rows])
            # A longer text needs a wider column.
            widest = np.result_type(spoiled[name].dtype, changed.dtype)
            column = spoiled[name].astype(widest)
            column[rows] = changed
            spoiled[name] = column
    return spoiled
