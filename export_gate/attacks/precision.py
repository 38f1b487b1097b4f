"""Channels in the way numbers are written: more digits than the data support, low digits that carry something, order of rows (B11).

A recomputed table has one form, which leaves no such room: digits by sample size, rows by key. A file that a run wrote has; here its
columns and rows are measured against that form. Low digits of rounded measurements are nearly uniform, and so are those of a well
coded message: therefore it is the number of digits that is judged first, and the distribution only shows the clumsy.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from export_gate.finding import Finding, Verdict
from export_gate.table.canonical import significant_digits
from lineage.errors import Param


CHECK, VERSION = "attacks.precision", 1
_NUMBER = re.compile(r"(?P<sign>[+-]?)(?P<whole>\d+)(?:\.(?P<part>\d*))?(?:[eE](?P<power>[+-]?\d+))?")
_SPECIAL = frozenset({"nan", "inf", "infinity"})
_FEWEST_DIGITS = 100
_CHI_SQUARE = 33.7
"""Nine degrees of freedom, one in 10,000 (Abramowitz and Stegun, table 26.8)."""


@dataclass(frozen=True)
class Sheet:
    """A table of texts, as a file holds it.

    Attributes:
        columns: its names.
        rows: its values as written; the empty text for none.
        subjects: from how many subjects a number was made at most; None when that is not known.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    subjects: int | None = None

    def __post_init__(self) -> None:
        """Every row has a value for each column."""
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("rows and columns of a sheet do not fit")


def check_precision(sheet: Sheet) -> tuple[Finding, ...]:
    """Judge how a table is written; one finding. Whether a digit is needed only people can say: it is never more than a review.

    Forms that no canonical writer gives (a signed zero, NaN, a sign that says nothing, padded digits of different lengths, an
    exponent) block: rewriting the table takes them away and costs nobody anything.
    """
    odd = _odd_forms(sheet)
    wide = _too_precise(sheet)
    skewed = _skewed(sheet)
    moved = not _ordered(sheet)
    evidence: dict[str, Param] = {
        "odd_forms": json.dumps(odd, ensure_ascii=False),
        "too_precise": json.dumps(wide, ensure_ascii=False),
        "skewed_digits": json.dumps(skewed, ensure_ascii=False),
        "rows_in_order": int(not moved),
    }
    parameters: dict[str, Param] = {"digits": "ceil(log10(sqrt(n))) + 1", "chi_square": str(_CHI_SQUARE)}
    if odd:
        return (Finding(CHECK, VERSION, Verdict.BLOCK, "attacks.precision-form", {}, parameters, evidence),)
    if wide or skewed or moved:
        return (Finding(CHECK, VERSION, Verdict.REVIEW, CHECK, {}, parameters, evidence),)
    passed = Verdict.NO_ATTACK_SUCCEEDED
    return (Finding(CHECK, VERSION, passed, "attacks.passed", {"check": CHECK}, parameters, evidence),)


def _numbers(sheet: Sheet) -> list[tuple[str, list[re.Match[str]]]]:
    """Give the columns that hold fractions, with their values."""
    found = []
    for place, name in enumerate(sheet.columns):
        values = [_NUMBER.fullmatch(row[place]) for row in sheet.rows if row[place]]
        read = [one for one in values if one is not None]
        if read and len(read) == len(values) and any(one["part"] is not None for one in read):
            found.append((name, read))
    return found


def _odd_forms(sheet: Sheet) -> list[str]:
    odd = []
    for place, name in enumerate(sheet.columns):
        for row in sheet.rows:
            text = row[place]
            read = _NUMBER.fullmatch(text)
            if text.strip("+-").lower() in _SPECIAL or (read is not None and _is_odd(read)):
                odd.append(name)
                break
    for name, values in _numbers(sheet):
        lengths = {len(one["part"] or "") for one in values}
        padded = any((one["part"] or "").endswith("0") for one in values)
        # Zeros at the end of all numbers alike are a format, of some of them a message.
        if padded and len(lengths) > 1 and name not in odd:
            odd.append(name)
    return odd


def _is_odd(read: re.Match[str]) -> bool:
    zero = not (read["whole"] + (read["part"] or "")).strip("0")
    padded = len(read["whole"]) > 1 and read["whole"].startswith("0") and read["part"] is not None
    return read["sign"] == "+" or (read["sign"] == "-" and zero) or read["power"] is not None or padded


def _too_precise(sheet: Sheet) -> list[str]:
    """Name columns with more digits than the subjects support; every subject there is, where it is not known of how many."""
    if sheet.subjects is None:
        return [name for name, _ in _numbers(sheet)]
    most = significant_digits(max(sheet.subjects, 1))
    return [name for name, values in _numbers(sheet) if max(_significant(one) for one in values) > most]


def _significant(read: re.Match[str]) -> int:
    return len((read["whole"] + (read["part"] or "")).lstrip("0"))


def _skewed(sheet: Sheet) -> list[str]:
    """Name columns whose last digits are far from uniform though earlier digits vary: a coded alphabet, copies of one value."""
    skewed = []
    for name, values in _numbers(sheet):
        longest = max(len(one["part"] or "") for one in values)
        last = [one["part"][-1] for one in values if one["part"] and len(one["part"]) == longest]
        if len(last) >= _FEWEST_DIGITS and longest >= 3 and _chi_square(last) > _CHI_SQUARE:
            skewed.append(name)
    return skewed


def _chi_square(digits: Sequence[str]) -> float:
    seen, expected = Counter(digits), len(digits) / 10
    return math.fsum((seen[str(digit)] - expected) ** 2 / expected for digit in range(10))


def _ordered(sheet: Sheet) -> bool:
    """Whether rows stand in the one order of their texts, numbers as numbers, so that their order says nothing."""
    keys = [tuple(_order(value) for value in row) for row in sheet.rows]
    return all(one <= other for one, other in pairwise(keys))


def _order(value: str) -> tuple[int, float, str]:
    if not value:
        return (0, 0.0, "")
    return (1, float(value), "") if _NUMBER.fullmatch(value) else (2, 0.0, value)
