"""Counting a population with Spark: one scan gives the classes, the choice of levels is made over them, a second count checks it.

Everything here runs on the whole granted table, before sampling. The scan is kept in a compact form, one row for each subject and
class, on disk and never in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from desensitize.kanonymity import Classes, Histogram, Node, choose
from desensitize.policy import ColumnPlan, Plan
from desensitize.pseudonym import identity_expression
from desensitize.treatments import Drop, Token, ValueTreatment
from lineage.errors import DefinitionError, GateRefusedError


if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame

MOST_CLASSES = 5_000_000
"""More classes than this do not fit the search on the driver; the table then needs coarser first levels."""

_SUBJECT = "subject"
_CLASS = "class"


@dataclass(frozen=True, eq=False)
class Population:
    """What was counted and chosen.

    Attributes:
        levels: the chosen level of each quasi-identifier, by column name.
        allowed: the classes that may be shown: one column for each shown quasi-identifier, one row a class; None when there is none.
        subjects, rows: of the whole population; rows of nobody (no subject key) are counted apart in ``orphan_rows``.
        suppressed_subjects, suppressed_rows: left out because their class is too small; such a subject may keep other rows.
        classes: number of classes shown; smallest: subjects in the smallest of them.
        kept_subjects: subjects summed over the classes shown.
    """

    levels: dict[str, int]
    allowed: pa.Table | None
    subjects: int
    rows: int
    orphan_rows: int
    suppressed_subjects: int
    suppressed_rows: int
    classes: int
    smallest: int
    kept_subjects: int


def level_expression(planned: ColumnPlan, level: int) -> SparkColumn:
    """The value of a quasi-identifier at one of its levels."""
    from pyspark.sql import functions as F  # noqa: N812

    treatment = planned.treatments[level]
    if not isinstance(treatment, ValueTreatment):
        raise TypeError("a level is computed from the value alone")
    return treatment.expression(F.col(f"`{planned.column.name}`"))


def count_population(rows: DataFrame, plan: Plan, token: Token) -> Population:
    """Count the classes of a table, choose the levels and check the choice by a second count.

    Raises:
        DefinitionError: too few subjects to reach k, or too many classes for the search.
        GateRefusedError: the second count does not agree with the first (law 7).
    """
    with _counted(rows, plan, token) as pairs:
        names = _level_names(plan)
        base = _collect(pairs, names)
        histogram = _histogram(plan, base, pairs)
        node, classes = choose(histogram, plan.k, plan.tolerance)
        allowed = _allowed(plan, base, node, classes)
        population = _summary(plan, histogram, base, node, classes, allowed)
        _verify(pairs, plan, node, population)
    return population


@contextmanager
def _counted(rows: DataFrame, plan: Plan, token: Token) -> Iterator[DataFrame]:
    from pyspark import StorageLevel
    from pyspark.sql import functions as F  # noqa: N812

    levels = [
        level_expression(planned, level).alias(f"q{i}_{level}")
        for i, planned in enumerate(plan.quasi_identifiers)
        for level in _shown_levels(planned)
    ]
    # 64 bits: two subjects that meet in one number are counted as one, which errs on the safe side.
    subject = identity_expression(F.col(f"`{plan.subject}`"), token.entity)
    identified = rows.select(subject.alias(_SUBJECT), *levels)
    keyed = identified.withColumn(_SUBJECT, F.when(F.col(_SUBJECT).isNotNull(), F.xxhash64(_SUBJECT)))
    names = _level_names(plan)
    pairs = (
        keyed.groupBy(_SUBJECT, *names)
        .agg(F.count(F.lit(1)).alias("rows"))
        .withColumn(_CLASS, F.xxhash64(*names, F.lit(0)))
    )
    pairs = pairs.persist(StorageLevel.DISK_ONLY)
    try:
        yield pairs
    finally:
        pairs.unpersist(blocking=True)


def _shown_levels(planned: ColumnPlan) -> range:
    """The levels that show something; the last one drops."""
    if not isinstance(planned.treatments[-1], Drop):
        raise TypeError("the last level of a quasi-identifier drops it")
    return range(len(planned.treatments) - 1)


def _level_names(plan: Plan) -> list[str]:
    return [f"q{i}_{level}" for i, planned in enumerate(plan.quasi_identifiers) for level in _shown_levels(planned)]


def _collect(pairs: DataFrame, names: list[str]) -> pa.Table:
    """One row a class: its levels, its distinct subjects, its rows, rows without a subject."""
    from pyspark.sql import functions as F  # noqa: N812

    known = F.col(_SUBJECT).isNotNull()
    classes = pairs.groupBy(_CLASS, *names).agg(
        F.count(_SUBJECT).alias("subjects"),
        F.sum(F.when(known, F.col("rows")).otherwise(0)).alias("rows"),
        F.sum(F.when(~known, F.col("rows")).otherwise(0)).alias("orphans"),
    )
    table: pa.Table = classes.limit(MOST_CLASSES + 1).toArrow()
    if table.num_rows > MOST_CLASSES:
        raise DefinitionError("desensitize.too-many-classes", most=MOST_CLASSES)
    return table


def _histogram(plan: Plan, base: pa.Table, pairs: DataFrame) -> Histogram:
    import numpy as np

    subjects = base.column("subjects").to_numpy()
    subject, place = _repeated(pairs, base)
    codes = tuple(
        (
            *(_codes(base.column(f"q{i}_{level}")) for level in _shown_levels(planned)),
            np.zeros(base.num_rows, dtype=np.int64),
        )
        for i, planned in enumerate(plan.quasi_identifiers)
    )
    single = subjects - np.bincount(place, minlength=base.num_rows)
    return Histogram(codes, single, base.column("rows").to_numpy(), (subject, place))


def _repeated(pairs: DataFrame, base: pa.Table) -> tuple[Any, Any]:
    """Subjects with rows in several classes, as arrays of subject and class."""
    import numpy as np
    from pyspark.sql import functions as F  # noqa: N812

    several = pairs.filter(F.col(_SUBJECT).isNotNull()).groupBy(_SUBJECT).count().filter("count > 1")
    nothing = np.zeros(0, dtype=np.int64)
    if several.isEmpty():
        return nothing, nothing
    table = pairs.join(several.select(_SUBJECT), _SUBJECT, "left_semi").select(_SUBJECT, _CLASS).toArrow()
    known = base.column(_CLASS).to_numpy()
    order = np.argsort(known)
    if len(np.unique(known)) != len(known):
        # Two classes met in one 64-bit number: counts could be too high.
        raise GateRefusedError("desensitize.recount")
    place = order[np.searchsorted(known, table.column(_CLASS).to_numpy(), sorter=order)]
    _, subject = np.unique(table.column(_SUBJECT).to_numpy(), return_inverse=True)
    return subject.astype(np.int64), place.astype(np.int64)


def _codes(column: pa.ChunkedArray) -> Any:
    import numpy as np

    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _allowed(plan: Plan, base: pa.Table, node: Node, classes: Classes) -> pa.Table | None:
    import numpy as np

    shown = _shown_columns(plan, node)
    _, example = np.unique(classes.of, return_index=True)
    table = base.select([f"q{i}_{level}" for i, level in shown]).take(example[classes.subjects >= plan.k])
    return table if shown else None


def _shown_columns(plan: Plan, node: Node) -> list[tuple[int, int]]:
    return [(i, level) for i, level in enumerate(node) if level < len(plan.quasi_identifiers[i].treatments) - 1]


def _summary(
    plan: Plan, histogram: Histogram, base: pa.Table, node: Node, classes: Classes, allowed: pa.Table | None
) -> Population:
    large = classes.subjects >= plan.k
    return Population(
        levels={planned.column.name: level for planned, level in zip(plan.quasi_identifiers, node, strict=True)},
        allowed=allowed,
        subjects=histogram.subjects,
        rows=int(histogram.rows.sum()),
        orphan_rows=int(base.column("orphans").to_numpy().sum()),
        suppressed_subjects=classes.suppressed_subjects,
        suppressed_rows=int(histogram.rows[~large[classes.of]].sum()),
        classes=int(large.sum()),
        smallest=int(classes.subjects[large].min()),
        kept_subjects=int(classes.subjects[large].sum()),
    )


def _verify(pairs: DataFrame, plan: Plan, node: Node, population: Population) -> None:
    """Count the distinct subjects of every allowed class again, this time by Spark from the treated values."""
    from pyspark.sql import functions as F  # noqa: N812

    names = [f"q{i}_{level}" for i, level in _shown_columns(plan, node)]
    counted = pairs.groupBy(*names).agg(F.count_distinct(_SUBJECT).alias("subjects"))
    shown = restrict(counted, {name: F.col(name) for name in names}, population.allowed)
    seen = shown.agg(F.count(F.lit(1)), F.min("subjects"), F.sum("subjects")).first()
    expected = (population.classes, population.smallest, population.kept_subjects)
    if seen is None or tuple(seen) != expected or population.smallest < plan.k:
        raise GateRefusedError("desensitize.recount")


def restrict(rows: DataFrame, values: dict[str, SparkColumn], allowed: pa.Table | None) -> DataFrame:
    """Keep the rows whose values are one of the allowed classes; NULL is a value like any other. ``values`` by column of ``allowed``."""
    from functools import reduce

    from pyspark.sql import functions as F  # noqa: N812

    if allowed is None:
        return rows
    classes = rows.sparkSession.createDataFrame(
        allowed.rename_columns([f"allowed_{name}" for name in allowed.column_names])
    )
    same = reduce(
        lambda left, right: left & right,
        (values[name].eqNullSafe(F.col(f"allowed_{name}")) for name in allowed.column_names),
    )
    return rows.join(F.broadcast(classes), same, "left_semi")
