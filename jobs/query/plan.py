"""The values a checked query is made of. They hold DuckDB SQL that this package wrote itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Function(StrEnum):
    """Aggregates a product may ask for; whether one may leave is for the gate to say."""

    COUNT = "count"
    COUNT_DISTINCT = "count_distinct"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    MEDIAN = "median"


@dataclass(frozen=True, order=True)
class Origin:
    """Where a column comes from, unchanged.

    Attributes:
        occurrence: number of the place in the query at which the input is read; an input joined with itself has two.
        table: name of the job's input.
        column: name of the input's column.
    """

    occurrence: int
    table: str
    column: str


@dataclass(frozen=True)
class Lineage:
    """Which inputs a relation reads, and which of its columns are columns of theirs.

    Attributes:
        occurrences: every place at which an input is read, as (number, table).
        origins: for each column that is nothing but an input's column, where it comes from.
        equal: pairs of columns that joins hold equal wherever both are present.
    """

    occurrences: tuple[tuple[int, str], ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)
    equal: tuple[tuple[Origin, Origin], ...] = ()


@dataclass(frozen=True)
class Key:
    """A column to group by: its name in the result and its DuckDB expression over the columns of ``Query.source``."""

    name: str
    expression: str


@dataclass(frozen=True)
class Aggregate:
    """One number a cell.

    Attributes:
        name: its column in the result.
        function: what is computed.
        argument: DuckDB expression over the columns of ``Query.source``; None for ``COUNT(*)``.
        plain: the argument is a bare column or a constant, so the tenant could not shape its digits.
    """

    name: str
    function: Function
    argument: str | None
    plain: bool = False

    def __post_init__(self) -> None:
        """Only a count may go without an argument."""
        if self.argument is None and self.function is not Function.COUNT:
            raise ValueError(f"{self.function} needs an argument")

    @property
    def constant(self) -> bool:
        """Whether the argument is a literal, so that the number depends on rows alone."""
        return self.plain and self.argument is not None and not self.argument.startswith('"')


@dataclass(frozen=True)
class Query:
    """A checked aggregate query.

    Attributes:
        keys: what to group by, in the order of the SELECT; none means one cell.
        aggregates: the numbers of a cell, in the order of the SELECT; at least one.
        source: DuckDB SQL, a whole SELECT that gives the rows the aggregates run over, with all their columns.
        tables: sorted names of the job's inputs it reads.
        canonical: text that is equal for equal questions; names of result columns and of aliases do not matter.
        lineage: where the columns of ``source`` come from.
    """

    keys: tuple[Key, ...]
    aggregates: tuple[Aggregate, ...]
    source: str
    tables: tuple[str, ...]
    canonical: str
    lineage: Lineage = field(default_factory=Lineage)

    def __post_init__(self) -> None:
        """A query without an aggregate would hand out rows."""
        names = [name.lower() for name in (*(key.name for key in self.keys), *(item.name for item in self.aggregates))]
        if not self.aggregates or len(set(names)) != len(names):
            raise ValueError("a query has at least one aggregate, and its columns have different names")


@dataclass(frozen=True)
class Rows:
    """A checked row-level SELECT, such as the features of a model.

    Attributes:
        select: DuckDB SQL, a whole SELECT.
        columns: its column names, in order.
        tables: sorted names of the job's inputs it reads.
        lineage: where its columns come from.
    """

    select: str
    columns: tuple[str, ...]
    tables: tuple[str, ...]
    lineage: Lineage = field(default_factory=Lineage)
