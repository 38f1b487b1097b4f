"""Counting a population: Spark reduces the table to who stands in which class, the driver chooses the levels over that.

Everything here happens on the whole granted table, before sampling. Two columns come to the driver, the subject key and a number for
the class, so that canonical spelling, distinct counts and the sample are exact and no row passes through a Python worker.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import TYPE_CHECKING, Any

from desensitize.entities import canonical_array
from desensitize.kanonymity import Classes, Histogram, Node, choose, distinct
from desensitize.policy import ColumnPlan, Plan
from desensitize.pseudonym import ScenarioKeys, sampled_tokens
from desensitize.sampling import SampleRate
from desensitize.treatments import Drop, Token, ValueTreatment
from lineage.errors import DefinitionError, GateRefusedError


if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame

    from desensitize.kanonymity import Counts

MOST_CLASSES = 5_000_000
"""More classes than this do not fit the search on the driver; the table then needs coarser first levels."""

MOST_PAIRS = 50_000_000
"""More combinations of subject and class than this do not fit the driver."""

_DIRECT_ROWS = 5_000_000
_SUBJECT, _CLASS, _ROWS = "subject", "class", "rows"


@dataclass(frozen=True, eq=False)
class Population:
    """What was counted and chosen.

    Attributes:
        levels: the chosen level of each quasi-identifier, by column name.
        allowed: the classes that may be shown, one row a class, one column named like each quasi-identifier that is shown; None
            when none is.
        subjects, rows: of the whole population; rows of nobody (no subject key) are counted apart in ``orphan_rows``.
        suppressed_subjects, suppressed_rows: left out because their class is too small; such a subject may keep other rows.
        shown_rows: ``(subjects,)``, rows of each subject in allowed classes.
        classes: number of classes shown; smallest: subjects in the smallest of them; kept_subjects: subjects summed over them.
    """

    levels: dict[str, int]
    allowed: pa.Table | None
    subjects: int
    rows: int
    orphan_rows: int
    suppressed_subjects: int
    suppressed_rows: int
    shown_rows: Counts
    classes: int
    smallest: int
    kept_subjects: int


@dataclass(frozen=True, eq=False)
class Spellings:
    """The subjects of a table.

    Attributes:
        raw: every spelling of a subject key in the table, as text.
        subject: ``(spellings,)``, the number of the subject it means, -1 for nobody.
        canonical: ``(subjects,)``, the canonical spelling.
    """

    raw: pa.Array
    subject: Counts
    canonical: pa.Array

    def sample(self, token: Token, keys: ScenarioKeys, rate: Fraction) -> Sample:
        """Draw the subjects of a sample and give each its token."""
        import numpy as np
        import pyarrow as pa

        tokens = sampled_tokens(self.canonical, token.entity, keys, rate)
        drawn = tokens.is_valid().to_numpy(zero_copy_only=False)
        # One place more, for nobody: the number -1 points at it.
        chosen = np.append(drawn, np.False_)[self.subject]
        spelled = {"spelling": self.raw.filter(pa.array(chosen)), "token": tokens.take(pa.array(self.subject[chosen]))}
        return Sample(rate, drawn, pa.table(spelled))


@dataclass(frozen=True, eq=False)
class Sample:
    """The subjects that a view shows.

    Attributes:
        rate: the share they were drawn at.
        drawn: ``(subjects,)``, whether each is in.
        members: every spelling of their keys with the token, two columns of text ``spelling`` and ``token``.
    """

    rate: Fraction
    drawn: NDArray[np.bool_]
    members: pa.Table


@dataclass(frozen=True, eq=False)
class _Places:
    """Rows of the table, brought together: subject number or -1, class number, rows."""

    subject: Counts
    place: Counts
    rows: Counts


def level_expression(planned: ColumnPlan, level: int) -> SparkColumn:
    """The value of a quasi-identifier at one of its levels, of the column's own type.

    Every level is computed from the finest one, so that climbing can only merge classes, whatever the treatments are.
    """
    from pyspark.sql import functions as F  # noqa: N812

    floor = _value(planned, 0).expression(F.col(f"`{planned.column.name}`")).cast(planned.column.type)
    return floor if level == 0 else _value(planned, level).expression(floor).cast(planned.column.type)


def restrict(rows: DataFrame, plan: Plan, population: Population) -> DataFrame:
    """Keep the rows of allowed classes; NULL is a value like any other."""
    from pyspark.sql import functions as F  # noqa: N812

    allowed = population.allowed
    if allowed is None:
        return rows
    classes = rows.sparkSession.createDataFrame(
        allowed.rename_columns([f"allowed {i}" for i in range(allowed.num_columns)])
    )
    planned = {one.column.name: one for one in plan.quasi_identifiers}
    same = [
        level_expression(planned[name], population.levels[name]).eqNullSafe(F.col(f"`allowed {i}`"))
        for i, name in enumerate(allowed.column_names)
    ]
    # Each class stands there once, so an inner join keeps what a semi-join would; that one Spark moves below the join before it.
    return rows.join(F.broadcast(classes), reduce(lambda left, right: left & right, same))


def count_population(
    rows: DataFrame, plan: Plan, keys: ScenarioKeys, rate: SampleRate, most_rows: int
) -> tuple[Population, Sample]:
    """Count the classes of a table, choose the levels, check the choice by a second count, and draw the sample.

    Args:
        rows: the granted rows.
        plan: a plan for a view about somebody.
        keys: the scenario's keys.
        rate: the share of subjects to draw.
        most_rows: how many rows there are at most.

    Raises:
        DefinitionError: too few subjects to reach k, a sample of nobody, or more classes or subjects than the driver holds.
        GateRefusedError: the second count does not agree with the first (law 7).
    """
    token = plan.subject_token
    if token is None:
        raise DefinitionError("desensitize.subject-missing", column="")
    # Spark counts classes while this thread spells and draws: the two need nothing of each other.
    with ThreadPoolExecutor(max_workers=1) as pool:
        counting = pool.submit(_classes, rows, plan)
        pairs = _pairs(rows, plan, most_rows)
        spellings, subject = _spell(pairs.column(_SUBJECT), token)
        drawn = spellings.sample(token, keys, rate.effective(len(spellings.canonical)))
        base = counting.result()
    places = _places(pairs, base, subject)
    histogram = _histogram(plan, base, places)
    node, classes = choose(histogram, plan.k, plan.tolerance)
    _verify(places, classes)
    if not drawn.drawn.any():
        raise DefinitionError("desensitize.too-few-subjects", k=plan.k)
    return _summary(plan, histogram, base, node, classes, places), drawn


def _value(planned: ColumnPlan, level: int) -> ValueTreatment:
    treatment = planned.treatments[level]
    if not isinstance(treatment, ValueTreatment) or not isinstance(planned.treatments[-1], Drop):
        raise TypeError("the levels of a quasi-identifier are computed from the value alone, and the last one drops it")
    return treatment


def _shown_levels(planned: ColumnPlan) -> range:
    """The levels that show something; the last one drops."""
    return range(len(planned.treatments) - 1)


def _class_number(plan: Plan) -> SparkColumn:
    from pyspark.sql import functions as F  # noqa: N812

    return F.xxhash64(*[level_expression(planned, 0) for planned in plan.quasi_identifiers], F.lit(0))


def _classes(rows: DataFrame, plan: Plan) -> pa.Table:
    """One row a class of the finest levels: its number, its rows, its value at every level."""
    from pyspark.sql import functions as F  # noqa: N812

    planned = plan.quasi_identifiers
    floors = [level_expression(one, 0).alias(f"q{i}_0") for i, one in enumerate(planned)]
    grouped = rows.groupBy(_class_number(plan).alias(_CLASS), *floors).agg(F.count(F.lit(1)).alias(_ROWS))
    higher = [
        _value(one, level).expression(F.col(f"q{i}_0")).cast(one.column.type).alias(f"q{i}_{level}")
        for i, one in enumerate(planned)
        for level in _shown_levels(one)[1:]
    ]
    table: pa.Table = grouped.select("*", *higher).limit(MOST_CLASSES + 1).toArrow()
    if table.num_rows > MOST_CLASSES:
        raise DefinitionError("desensitize.too-many-classes", most=MOST_CLASSES)
    return table


def _pairs(rows: DataFrame, plan: Plan, most_rows: int) -> pa.Table:
    """Subject key as text, class number, rows. A large table is first brought together by Spark, a small one comes as it is."""
    from pyspark.sql import functions as F  # noqa: N812

    pairs = rows.select(
        F.col(f"`{plan.subject}`").cast("string").alias(_SUBJECT),
        _class_number(plan).alias(_CLASS),
        F.lit(1).alias(_ROWS),
    )
    if most_rows > _DIRECT_ROWS:
        pairs = pairs.groupBy(_SUBJECT, _CLASS).agg(F.sum(_ROWS).alias(_ROWS)).limit(MOST_PAIRS + 1)
    table: pa.Table = pairs.toArrow()
    if table.num_rows > MOST_PAIRS:
        raise DefinitionError("desensitize.too-many-classes", most=MOST_PAIRS)
    return table


def _spell(keys: pa.ChunkedArray, token: Token) -> tuple[Spellings, Counts]:
    """Bring all spellings of a subject together; gives them, and the subject's number of each row or -1."""
    import numpy as np

    written = _encoded(keys)
    meant = _encoded(canonical_array(written.dictionary, token.entity))
    spellings = Spellings(written.dictionary, _indices(meant), meant.dictionary)
    return spellings, np.append(spellings.subject, -1)[_indices(written)]


def _places(pairs: pa.Table, base: pa.Table, subject: Counts) -> _Places:
    import numpy as np
    import pyarrow.compute as pc

    known = base.column(_CLASS).combine_chunks()
    place = pc.index_in(pairs.column(_CLASS), known)
    if place.null_count or len(distinct(_numbers(base, _CLASS))) != len(known):
        # Two classes met in one 64-bit number and could not be told apart, or the table changed between two looks.
        raise GateRefusedError("desensitize.recount")
    return _Places(subject, place.to_numpy().astype(np.int64), _numbers(pairs, _ROWS))


def _histogram(plan: Plan, base: pa.Table, places: _Places) -> Histogram:
    import numpy as np

    number, known = base.num_rows, places.subject >= 0
    codes = tuple(
        (
            *(_indices(_encoded(base.column(f"q{i}_{level}"))) + 1 for level in _shown_levels(one)),
            np.zeros(number, dtype=np.int64),
        )
        for i, one in enumerate(plan.quasi_identifiers)
    )
    pairs = distinct(places.subject[known] * number + places.place[known])
    subject, place = np.divmod(pairs, max(number, 1))
    several = np.bincount(subject)[subject] > 1 if len(subject) else np.zeros(0, dtype=bool)
    rows = np.bincount(places.place[known], weights=places.rows[known], minlength=number).astype(np.int64)
    single = np.bincount(place[~several], minlength=number)
    return Histogram(codes, single, rows, (subject[several], place[several]))


def _verify(places: _Places, classes: Classes) -> None:
    """Count the distinct subjects of every class again, another way, from the pairs and not from the histogram."""
    import numpy as np
    import pyarrow as pa

    known = places.subject >= 0
    table = pa.table({"class": classes.of[places.place[known]], "subject": places.subject[known]})
    counted = table.group_by("class").aggregate([("subject", "count_distinct")])
    again = np.zeros_like(classes.subjects)
    again[counted.column("class").to_numpy()] = counted.column("subject_count_distinct").to_numpy()
    if not np.array_equal(again, classes.subjects):
        raise GateRefusedError("desensitize.recount")


def _summary(
    plan: Plan, histogram: Histogram, base: pa.Table, node: Node, classes: Classes, places: _Places
) -> Population:
    import numpy as np

    large = classes.subjects >= plan.k
    shown = large[classes.of]
    seen = (places.subject >= 0) & shown[places.place]
    number = int(places.subject.max(initial=-1)) + 1
    _, example = np.unique(classes.of, return_index=True)
    names = {
        one.column.name: f"q{i}_{level}"
        for i, (one, level) in enumerate(zip(plan.quasi_identifiers, node, strict=True))
    }
    visible = {name: column for name, column in names.items() if column in base.column_names}
    allowed = base.select(list(visible.values())).rename_columns(list(visible)).take(example[large])
    return Population(
        levels=dict(zip(names, node, strict=True)),
        allowed=allowed if visible else None,
        subjects=histogram.subjects,
        rows=int(histogram.rows.sum()),
        orphan_rows=int(places.rows[places.subject < 0].sum()),
        suppressed_subjects=classes.suppressed_subjects,
        suppressed_rows=int(histogram.rows[~shown].sum()),
        shown_rows=np.bincount(places.subject[seen], weights=places.rows[seen], minlength=number).astype(np.int64),
        classes=int(large.sum()),
        smallest=int(classes.subjects[large].min()),
        kept_subjects=int(classes.subjects[large].sum()),
    )


def _encoded(column: Any) -> Any:
    import pyarrow as pa

    return (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).dictionary_encode()


def _indices(encoded: Any) -> Counts:
    """Numbers of the dictionary's values, -1 where there is none."""
    import numpy as np
    import pyarrow.compute as pc

    indices: Counts = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return indices


def _numbers(table: pa.Table, name: str) -> Counts:
    import numpy as np

    numbers: Counts = table.column(name).to_numpy().astype(np.int64)
    return numbers
