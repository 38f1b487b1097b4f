"""A released table as an attacker reads it: of whom it is, by which attributes, and between which bounds each number lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


Value = str | int | None

OTHER = "\x00other"
"""Stands for every value of an attribute that no table names; no key holds the character."""


@dataclass(frozen=True, order=True)
class Measure:
    """What is added up.

    Attributes:
        kind: ``count`` (whole numbers of rows or subjects) or ``sum``.
        argument: what of, over the columns of datasets; ``*`` for rows.
    """

    kind: str
    argument: str

    def __post_init__(self) -> None:
        """Refuse a measure for which there is no rule (law 7)."""
        if self.kind not in {"count", "sum"} or not self.argument:
            raise ValueError("a measure counts or sums something")


@dataclass(frozen=True)
class Interval:
    """Between what a number lies, both ends included: one point when it was released exactly."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse an empty interval."""
        if not self.low <= self.high:
            raise ValueError("an interval has its lower end first")


@dataclass(frozen=True)
class Told:
    """A table that was released, or is about to be.

    Attributes:
        name: the export it is or was.
        population: text that is equal for tables over the same rows, conditions left out.
        keys: attributes it is grouped by, as text over the columns of datasets.
        only: for attributes that its conditions restrict, the values they leave.
        cells: values of ``keys`` of each cell; a combination that is missing says that nobody has it.
        numbers: for each measure one interval a cell, or None where nothing was said.
        behind: for each measure how many subjects are behind the number of each cell; known to the gate alone, may be missing.
    """

    name: str
    population: str
    keys: tuple[str, ...]
    only: Mapping[str, frozenset[Value]]
    cells: tuple[tuple[Value, ...], ...]
    numbers: Mapping[Measure, tuple[Interval | None, ...]]
    behind: Mapping[Measure, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Cells and numbers fit, and no cell is told twice."""
        if len(set(self.keys)) != len(self.keys) or len(set(self.cells)) != len(self.cells):
            raise ValueError("keys and cells of a table are told once")
        wrong = any(len(cell) != len(self.keys) for cell in self.cells)
        if wrong or any(len(each) != len(self.cells) for each in (*self.numbers.values(), *self.behind.values())):
            raise ValueError("cells and numbers of a table do not fit")

    @property
    def subjects(self) -> Told:
        """Give the same table with the numbers of subjects behind each sum in place of the sums."""
        found = {m: tuple(Interval(one, one) for one in each) for m, each in self.behind.items()}
        counts = {Measure("count", measure.argument): told for measure, told in found.items()}
        return Told(self.name, self.population, self.keys, self.only, self.cells, counts)

    @property
    def attributes(self) -> frozenset[str]:
        """Everything its cells are distinguished by."""
        return frozenset(self.keys) | frozenset(self.only)

    @property
    def contents(self) -> tuple[object, ...]:
        """Equal for tables that say the same, whatever they are called."""
        only = tuple(sorted((name, tuple(sorted(map(repr, values)))) for name, values in self.only.items()))
        numbers = tuple((measure, self.numbers[measure]) for measure in sorted(self.numbers))
        return (self.population, self.keys, only, self.cells, numbers)
