"""A statistic's answer: rows by key, each number with its standard error and a 95 % interval, and the release card (E3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Any

from export_gate.statistic.question import SUFFIXES


Value = str | int | None
"""A key, a count, a decimal written out, or nothing where no number can be given."""

NORMAL_95 = Decimal("1.959964")


@dataclass(frozen=True)
class Answer:
    """What the gate measured; safe to show because it is a function of noisy numbers alone.

    Attributes:
        columns: names; a number ``n`` is followed by ``n_stderr``, ``n_low`` and ``n_high``.
        rows: sorted by key.
        card: what was done, in the shape of the deployments registry of OpenDP (registry.opendp.org).
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    card: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Refuse ragged rows."""
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("every row has one value a column")

    def to_json(self) -> str:
        """Write the answer in one form: equal answers are equal text."""
        whole = {"columns": self.columns, "rows": self.rows, "card": self.card}
        return json.dumps(whole, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Answer:
        """Read what :meth:`to_json` wrote."""
        raw = json.loads(text)
        return cls(tuple(raw["columns"]), tuple(tuple(row) for row in raw["rows"]), raw["card"])


@dataclass(frozen=True)
class Number:
    """A noisy number and the standard deviation of its noise, in the aggregate's own unit, within public limits if it has any."""

    value: Decimal
    stderr: Decimal
    lowest: Decimal | None = None
    highest: Decimal | None = None

    def shown(self, *, whole: bool, finest: int) -> tuple[Value, ...]:
        """Give value, standard error, low and high end of the 95 % interval.

        Digits far below the noise say nothing: the value keeps two digits of its standard error, at most ``finest`` (a power of
        ten); the interval is widened by what the rounding took.
        """
        exponent = max(self.stderr.adjusted() - 1, finest)
        step = Decimal(1).scaleb(exponent)
        value = _rounded(self.value, step, ROUND_HALF_EVEN)
        half = self.stderr * NORMAL_95
        low, high = _rounded(self.value - half, step, ROUND_FLOOR), _rounded(self.value + half, step, ROUND_CEILING)
        low = low if self.lowest is None else max(low, self.lowest)
        high = high if self.highest is None else min(high, self.highest)
        error = _rounded(self.stderr, Decimal(1).scaleb(self.stderr.adjusted() - 2), ROUND_CEILING)
        if whole:
            return int(value), _plain(error), int(low), int(high)
        return _plain(value), _plain(error), _plain(low), _plain(high)


NOT_KNOWN: tuple[Value, ...] = (None, None, None, None)


def number_columns(name: str) -> tuple[str, ...]:
    """Give the columns of one number."""
    return (name, *(name + suffix for suffix in SUFFIXES))


def mean(total: Number, count: Number, low: Decimal, high: Decimal) -> Number | None:
    """Divide a noisy sum by a noisy count; None when the count cannot be told from zero.

    The standard error is that of the first-order expansion. The value is kept within the declared bounds, which are public.
    """
    if count.value <= 2 * count.stderr:
        return None
    value = min(max(total.value / count.value, low), high)
    variance = total.stderr**2 + (value * count.stderr) ** 2
    return Number(value, variance.sqrt() / count.value, low, high)


def _rounded(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    return (value / step).to_integral_value(rounding) * step


def _plain(value: Decimal) -> str:
    """Write a decimal without an exponent and without a negative zero."""
    return f"{value or abs(value):f}"
