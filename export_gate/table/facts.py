"""What the gate knows of a recomputed table: the numbers to publish, and the private facts the checks are made of.

Private facts never leave the gate. They are plain values with one JSON form, so that a jail can compute them and hand them over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from jobs.query import Function


KeyValue = str | int | None
SHAPE = "shuzha-recomputed-1"


@dataclass(frozen=True)
class Column:
    """One aggregate of the table.

    Attributes:
        name: its name.
        function: what it is.
        plain: its argument is a bare column or a constant.
        constant: its argument is a constant.
        varies: its argument has more than one value (NULL counts as one) in the whole table.
        indicator: its argument is 0, 1 or NULL everywhere, so that its sum is a count.
        exact_type: its values are integers or decimals, no floating-point numbers.
        counts_subjects: it is ``COUNT(DISTINCT subject)``.
    """

    name: str
    function: Function
    plain: bool
    constant: bool
    varies: bool
    indicator: bool
    exact_type: bool
    counts_subjects: bool

    @property
    def counts(self) -> bool:
        """Whether it says how many there are, whatever its argument is made of."""
        return self.function in {Function.COUNT, Function.COUNT_DISTINCT} or self.constant or self.indicator


@dataclass(frozen=True)
class Measure:
    """Facts of one aggregate in one cell. Totals are one subject's sum (or count) of the argument, taken without its sign.

    Attributes:
        contributors: subjects with at least one value.
        values: rows with a value.
        top1: largest total.
        top2: second largest total, 0 when there is none.
        total: sum of the totals.
        distinct: different values of the argument in the cell, NULL counted as one.
        rarest: subjects behind the value that fewest of them have.
    """

    contributors: int
    values: int
    top1: Decimal
    top2: Decimal
    total: Decimal
    distinct: int
    rarest: int


@dataclass(frozen=True)
class Cell:
    """One row of the table.

    Attributes:
        key: values of the keys.
        rows: rows behind it.
        subjects: distinct subjects behind it (persons or companies).
        values: the exact values of the aggregates; None for NULL.
        measures: the facts behind each of them.
        difference: fewest subjects in whom some linear combination of the cell's published totals differs from nothing, so that
            the combination tells their values alone; as far as the search found.
    """

    key: tuple[KeyValue, ...]
    rows: int
    subjects: int
    values: tuple[Decimal | None, ...]
    measures: tuple[Measure, ...]
    difference: int


@dataclass(frozen=True)
class Recomputed:
    """A table as the gate computed it (law 2).

    Attributes:
        subject: column that names the subjects; None when no input is about subjects.
        keys: names of the keys.
        columns: the aggregates.
        cells: the rows, sorted by key.
        subjects: distinct subjects in the whole table.
        rows_without_subject: rows whose subject is NULL.
        near: pairs of cells, by index, whose sets of subjects differ in few subjects, with their number, ascending.
        near_limit: such pairs are listed when they differ in fewer subjects than this.
        near_complete: all such pairs are listed; False when there was too much to compare.
        difference_complete: the search for telling combinations was carried out; False when there are too many aggregates.
    """

    subject: str | None
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: tuple[Cell, ...]
    subjects: int
    rows_without_subject: int
    near: tuple[tuple[int, int, int], ...]
    near_limit: int
    near_complete: bool
    difference_complete: bool

    def __post_init__(self) -> None:
        """A cell has one value and one set of facts for each aggregate."""
        wide, deep = len(self.columns), len(self.keys)
        if any(len(c.values) != wide or len(c.measures) != wide or len(c.key) != deep for c in self.cells):
            raise ValueError("cells and columns of a recomputed table do not fit")

    def to_json(self) -> str:
        """Write it as JSON; decimals are strings."""
        return json.dumps({"shape": SHAPE, **asdict(self)}, default=str, ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Recomputed:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: it is something else (law 7).
        """
        try:
            found = json.loads(text)
            if found.pop("shape") != SHAPE:
                raise ValueError("not a recomputed table")
            found["keys"] = tuple(found["keys"])
            found["columns"] = tuple(Column(**{**c, "function": Function(c["function"])}) for c in found["columns"])
            found["cells"] = tuple(_cell(cell) for cell in found["cells"])
            found["near"] = tuple((int(a), int(b), int(n)) for a, b, n in found["near"])
            return cls(**found)
        except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise ValueError("not a recomputed table") from error


def _cell(found: Mapping[str, Any]) -> Cell:
    measures = tuple(
        Measure(**{**m, **{name: Decimal(m[name]) for name in ("top1", "top2", "total")}}) for m in found["measures"]
    )
    values = tuple(None if value is None else Decimal(value) for value in found["values"])
    return Cell(**{**found, "key": tuple(found["key"]), "values": values, "measures": measures})
