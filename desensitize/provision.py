"""Make a view or an input out of a RAW table: the only way by which data reach a tenant (P1, P2, P4, E2).

Invariants, each checked here or an error: exactly one version of RAW is read; only granted columns and rows come out; a view is
k-anonymous on its whole population before it is sampled; the order of rows follows the treated values alone; what the tenant can
read holds no key, path, filter or name of RAW; on any failure nothing is left at the target.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from desensitize.output import digest_of, leftovers, rows_of, rows_of_version
from desensitize.policy import RULES_VERSION, ColumnPlan, Plan
from desensitize.population import Population, Sample, count_population, level_expression, restrict
from desensitize.pseudonym import ScenarioKeys, token_expression
from desensitize.record import ColumnRecord, ProvisionRecord, RiskRecord
from desensitize.rowfilter import RowFilter, parse_filter
from desensitize.sampling import SampleRate
from desensitize.treatments import Drop, Keep, Token, Treatment, ValueTreatment
from lineage.errors import DefinitionError, GateRefusedError, MissingPartError, ShuzhaError
from sandbox.columns import Grade, family_of
from sandbox.grants import Zone


if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame, SparkSession

_PSEUDONYM = "member token"
_SPELLING = "member spelling"


@dataclass(frozen=True, eq=False)
class _Chosen:
    """The plan with every open choice made: one treatment a column; for a view about somebody the classes and the sample."""

    plan: Plan
    treatments: dict[str, Treatment]
    population: Population | None = None
    sample: Sample | None = None


def provision(
    spark: SparkSession,
    *,
    raw: Path,
    version: int,
    plan: Plan,
    keys: ScenarioKeys,
    row_filter: str | None,
    into: Path,
    sample: SampleRate | None,
) -> ProvisionRecord:
    """Make a fresh Delta table at ``into`` from one version of a RAW table, all or nothing.

    Args:
        spark: the session of trusted code.
        raw: folder of the RAW Delta table.
        version: the Delta version to read.
        plan: what happens to each column.
        keys: the scenario's keys.
        row_filter: a condition over the table's columns, or None for all rows.
        into: the folder to make; must not exist, its parent must.
        sample: the share of subjects; given for a view about somebody, None otherwise.

    Raises:
        DefinitionError: the row filter, the sample or the plan does not fit the table.
        GateRefusedError: a check of the result failed.
        MissingPartError: a part failed while working: storage full, table or version missing, Spark down.
    """
    _check_sample(plan, sample)
    if into.exists() or not into.parent.is_dir():
        raise MissingPartError("desensitize.target", folder=into.name)
    condition = None if row_filter is None else parse_filter(row_filter, plan.filterable)
    with _all_or_nothing(into) as partial:
        rows = _granted_rows(spark, raw, version, plan, condition)
        chosen = _choose(rows, plan, keys, sample, rows_of_version(raw, version))
        _write(rows, chosen, keys, partial)
        _check_leftovers(chosen, partial)
        return _record(chosen, keys, version, condition, partial)


def subject_keys(spark: SparkSession, *, raw: Path, version: int, plan: Plan, row_filter: str | None) -> pa.Array:
    """Give the subject keys of the granted rows as they stand in RAW, each once, as text: for the registry of subjects alone.

    Raises:
        DefinitionError: the plan has no subject, or does not fit the table.
        MissingPartError: a part failed while reading.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import functions as F  # noqa: N812

    if plan.subject is None:
        raise DefinitionError("desensitize.subject-missing", column="")
    condition = None if row_filter is None else parse_filter(row_filter, plan.filterable)
    try:
        rows = _granted_rows(spark, raw, version, plan, condition)
        key = F.col(f"`{plan.subject}`").cast("string").alias("subject")
        return rows.select(key).distinct().toArrow().column("subject").combine_chunks()
    except (PySparkException, Py4JError, OSError) as error:
        # Not chained: the text of an engine's error may quote a cell of the table.
        raise MissingPartError("desensitize.failed", reason=_class_of(error)) from None


def _check_sample(plan: Plan, sample: SampleRate | None) -> None:
    wanted = plan.zone is Zone.VIEW and plan.subject is not None
    if wanted != (sample is not None):
        raise DefinitionError("desensitize.sample-wanted" if wanted else "desensitize.sample-unwanted")


@contextmanager
def _all_or_nothing(into: Path) -> Iterator[Path]:
    """Give a folder that becomes the target when the block ends well, and is removed when it does not."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    partial = into.with_name(f".{into.name}.{secrets.token_hex(8)}")
    try:
        yield partial
        partial.rename(into)
    except ShuzhaError:
        raise
    except (PySparkException, Py4JError, OSError) as error:
        # Not chained: the text of an engine's error may quote a cell of the table.
        raise MissingPartError("desensitize.failed", reason=_class_of(error)) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _class_of(error: Exception) -> str:
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno else type(error).__name__
    condition = getattr(error, "getCondition", lambda: None)()
    return str(condition or type(error).__name__)


def _granted_rows(spark: SparkSession, raw: Path, version: int, plan: Plan, condition: RowFilter | None) -> DataFrame:
    # Functions must run in this interpreter, with its libraries, whatever "python3" means on the machine.
    import sys

    from pyspark.sql import functions as F  # noqa: N812

    spark.sparkContext.pythonExec = sys.executable
    table = spark.read.format("delta").option("versionAsOf", version).load(str(raw))
    types = {field.name: field.dataType.simpleString() for field in table.schema.fields}
    for planned in plan.columns:
        column = planned.column
        if column.name not in types or not _same_family(types[column.name], column.type):
            raise DefinitionError("desensitize.column-differs", column=column.name)
    rows = table if condition is None else table.filter(condition.expression())
    return rows.select(*[F.col(f"`{planned.column.name}`") for planned in plan.columns])


def _same_family(found: str, declared: str) -> bool:
    try:
        return family_of(found) is family_of(declared)
    except ValueError:
        return False


def _choose(rows: DataFrame, plan: Plan, keys: ScenarioKeys, sample: SampleRate | None, most_rows: int) -> _Chosen:
    fixed = {planned.column.name: planned.treatments[0] for planned in plan.columns}
    if sample is None:
        return _Chosen(plan, fixed)
    population, drawn = count_population(rows, plan, keys, sample, most_rows)
    levels = {p.column.name: p.treatments[population.levels[p.column.name]] for p in plan.quasi_identifiers}
    return _Chosen(plan, {**fixed, **levels}, population, drawn)


def _write(rows: DataFrame, chosen: _Chosen, keys: ScenarioKeys, into: Path) -> None:
    """Treat, order and write; what passes on the way must be what was counted before."""
    from pyspark.sql import Observation
    from pyspark.sql import functions as F  # noqa: N812

    types = {field.name: field.dataType for field in rows.schema.fields}
    read = Observation()
    treated = rows.observe(read, F.count(F.lit(1)).alias("rows"))
    if chosen.population is not None and chosen.sample is not None:
        # The sample first: it leaves a tenth of the rows to be matched with the classes.
        treated = restrict(_members(treated, chosen.plan, chosen.sample), chosen.plan, chosen.population)
    columns = []
    for planned in chosen.plan.columns:
        value = _treated(planned, chosen, keys)
        kept_type = (
            "string" if isinstance(chosen.treatments[planned.column.name], Token) else types[planned.column.name]
        )
        # Without metadata: comments of RAW columns are not granted.
        columns.append(value.cast(kept_type).alias(planned.column.name, metadata={}))
    result = _ordered(treated.select(*columns), chosen.plan.subject)
    # No statistics: the Delta log would hold the smallest and largest value of every column.
    result.write.format("delta").option("delta.dataSkippingNumIndexedCols", "0").save(str(into))
    _check_counts(chosen, into, int(read.get["rows"]))


def _check_counts(chosen: _Chosen, written: Path, read: int) -> None:
    """Compare rows read and written with what the driver counted: the treated values themselves fell into allowed classes."""
    population, sample, out = chosen.population, chosen.sample, rows_of(written)
    expected = (out, read)
    if population is not None and sample is not None:
        expected = population.rows + population.orphan_rows, int(population.shown_rows[sample.drawn].sum())
    if (read, out) != expected:
        raise GateRefusedError("desensitize.rows-differ")


def _members(rows: DataFrame, plan: Plan, sample: Sample) -> DataFrame:
    """Keep the rows of sampled subjects and give each its token (law 9: nobody chooses which)."""
    from pyspark.sql import functions as F  # noqa: N812

    members = rows.sparkSession.createDataFrame(sample.members.rename_columns([_SPELLING, _PSEUDONYM]))
    key = F.col(f"`{plan.subject}`").cast("string")
    return rows.join(F.broadcast(members), key == F.col(f"`{_SPELLING}`"))


def _treated(planned: ColumnPlan, chosen: _Chosen, keys: ScenarioKeys) -> SparkColumn:
    from pyspark.sql import functions as F  # noqa: N812

    treatment = chosen.treatments[planned.column.name]
    value = F.col(f"`{planned.column.name}`")
    match treatment:
        case Token() if chosen.population is not None and planned.column.name == chosen.plan.subject:
            return F.col(f"`{_PSEUDONYM}`")
        case Token():
            return token_expression(value, treatment.entity, keys)
        case ValueTreatment():
            level = planned.treatments.index(treatment) if planned.generalised else None
            return treatment.expression(value) if level is None else level_expression(planned, level)
        case _:
            raise TypeError(f"no expression for {treatment.name}")


def _ordered(rows: DataFrame, subject: str | None) -> DataFrame:
    """Order rows by their treated values alone: the order of RAW would say who came when."""
    from pyspark.sql import functions as F  # noqa: N812

    order = F.xxhash64(*[F.col(f"`{name}`") for name in rows.columns])
    if subject is None:
        return rows.repartition(order).sortWithinPartitions(order)
    return rows.repartition(F.col(f"`{subject}`")).sortWithinPartitions(F.col(f"`{subject}`"), order)


def _record(
    chosen: _Chosen, keys: ScenarioKeys, version: int, condition: RowFilter | None, written: Path
) -> ProvisionRecord:
    population = chosen.population
    rows_out = rows_of(written)
    return ProvisionRecord(
        zone=chosen.plan.zone,
        rules_version=RULES_VERSION,
        plan_digest=chosen.plan.digest,
        input_version=version,
        row_filter="" if condition is None else condition.text,
        columns=tuple(
            _column_record(planned, chosen.treatments[planned.column.name], keys) for planned in chosen.plan.columns
        ),
        rows_in=rows_out if population is None else population.rows + population.orphan_rows,
        rows_out=rows_out,
        rows_without_subject=0 if population is None else population.orphan_rows,
        risk=None if population is None else _risk(population, chosen.plan.k),
        sample_rate=None if chosen.sample is None else chosen.sample.rate,
        output_digest=digest_of(written),
    )


def _risk(population: Population, k: int) -> RiskRecord:
    return RiskRecord(
        k=k,
        classes=population.classes,
        smallest_class=population.smallest,
        subjects=population.subjects,
        suppressed_subjects=population.suppressed_subjects,
        suppressed_rows=population.suppressed_rows,
        largest=Fraction(1, population.smallest),
        mean=Fraction(population.classes, population.kept_subjects),
    )


def _column_record(planned: ColumnPlan, treatment: Treatment, keys: ScenarioKeys) -> ColumnRecord:
    column = planned.column
    return ColumnRecord(
        name=column.name,
        role=column.role.value,
        grade_before=int(column.grade),
        grade_after=grade_after(column.grade, treatment),
        treatment=treatment.name,
        parameters=tuple(sorted(treatment.parameters().items())),
        reversible=treatment.reversible,
        key_version=keys.version if isinstance(treatment, Token) else None,
    )


def grade_after(grade: Grade, treatment: Treatment) -> int:
    """The grade of treated values: one lower, yet at least 2 for what is still about somebody (TC260-PG-20212A, floors)."""
    match treatment:
        case Keep():
            return int(grade)
        case Drop():
            return int(Grade.OPEN)
        case _:
            return min(int(grade), max(int(Grade.INTERNAL), int(grade) - 1))


def _check_leftovers(chosen: _Chosen, written: Path) -> None:
    """Look at what was written, not at what was meant (law 7)."""
    if chosen.plan.zone is Zone.VIEW:
        kept = [name for name, treatment in chosen.treatments.items() if not isinstance(treatment, Token)]
        found = leftovers(written, kept)
        if found is not None:
            raise GateRefusedError("desensitize.leftover", column=found)
