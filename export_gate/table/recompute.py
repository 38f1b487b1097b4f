"""The gate makes the table again, with all contributors known (law 2; E2, E3).

Nothing the job computed is used: not its counts, not its sums, not its row order. DuckDB runs the checked query over the granted
tables, keeps for each row its cell and its subject, and from those come the published numbers and the private facts.
"""

# ruff: noqa: S608 - every statement here is put together from the checked query and from names of this module
from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from export_gate.table.difference import smallest_support
from export_gate.table.facts import Cell, Column, KeyValue, Measure, Recomputed
from jobs.query import Aggregate, Function, Query, prepare
from lineage.errors import GateRefusedError


# Names that no input can have, because inputs are plain identifiers.
ROWS, SUBJECTS = '"rows of the product"', '"subjects of the product"'
NEAR_LIMIT = 100
MOST_NEAR = 10_000
MOST_COMPARED = 50_000_000
MOST_MEASURES = 16
MOST_CELLS = 200_000

Connection = Any


def recompute(connection: Connection, query: Query, subject: str | None) -> Recomputed:
    """Compute a table and the facts its checks need; see :func:`recomputing`."""
    with recomputing(connection, query, subject) as facts:
        return facts


@contextmanager
def recomputing(connection: Connection, query: Query, subject: str | None) -> Iterator[Recomputed]:
    """Compute a table and the facts its checks need; its rows and subjects lie in temporary tables until the block ends.

    Args:
        connection: DuckDB connection in which the job's inputs are registered under their names.
        query: the checked query.
        subject: column of ``query.source`` that names the subjects, from :func:`jobs.query.subject_columns`; None when no input is
            about subjects, and each row stands for itself.

    Raises:
        GateRefusedError: ``cells.subject-unknown`` when the column is no input's own column, ``cells.not-computable`` when the
            query does not run on these tables, ``cells.not-finite`` when a value is infinite, ``cells.too-large``.
    """
    import duckdb

    if subject is not None and subject not in query.lineage.origins:
        raise GateRefusedError("cells.subject-unknown", column=subject)
    prepare(connection)
    try:
        yield _Recomputation(connection, query, subject).run()
    except duckdb.Error as error:
        # The engine's own text can quote values of rows.
        raise GateRefusedError("cells.not-computable") from error
    finally:
        for table in (SUBJECTS, ROWS):
            connection.execute(f"DROP TABLE IF EXISTS {table}")


class _Recomputation:
    """One recomputation: two temporary tables, then questions about them."""

    def __init__(self, connection: Connection, query: Query, subject: str | None) -> None:
        self.connection = connection
        self.query = query
        self.subject = subject
        self.keys = [f"k{number}" for number in range(len(query.keys))]
        self.numbers = list(range(len(query.aggregates)))

    def run(self) -> Recomputed:
        self._prepare()
        columns = self._columns()
        found = self._ask(f"SELECT count(DISTINCT s), count(*) - count(s), count(DISTINCT cell) FROM {ROWS}")[0]
        if found[2] > MOST_CELLS:
            raise GateRefusedError("cells.too-large", limit=MOST_CELLS)
        measures, differences = self._measures(), self._differences(columns)
        cells = self._cells(measures, differences)
        near, complete = self._near()
        return Recomputed(
            subject=self.subject,
            keys=tuple(key.name for key in self.query.keys),
            columns=columns,
            cells=cells,
            subjects=int(found[0]),
            rows_without_subject=int(found[1]),
            near=near,
            near_limit=NEAR_LIMIT,
            near_complete=complete,
            difference_complete=differences is not None,
        )

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self.connection.execute(sql).fetchall()
        return rows

    def _prepare(self) -> None:
        """Keep of each row its cell, its subject and its arguments; then of each subject in a cell its totals."""
        keys = [f"{key.expression} AS {name}" for key, name in zip(self.query.keys, self.keys, strict=True)]
        arguments = [f"{_argument(a)} AS a{number}" for number, a in enumerate(self.query.aggregates)]
        who = "row_number() OVER ()" if self.subject is None else '"' + self.subject.replace('"', '""') + '"'
        cell = f"dense_rank() OVER (ORDER BY {', '.join(self.keys)})" if self.keys else "1"
        inner = f"SELECT {', '.join([*keys, *arguments, f'{who} AS s'])} FROM ({self.query.source})"
        self.connection.execute(f"CREATE TEMP TABLE {ROWS} AS SELECT *, {cell} AS cell FROM ({inner})")
        totals = [f"{_total(a)} AS t{number}" for number, a in enumerate(self.query.aggregates)]
        body = ", ".join(part.replace("@", f"a{number}") for number, part in enumerate(totals))
        self.connection.execute(f"CREATE TEMP TABLE {SUBJECTS} AS SELECT cell, s, {body} FROM {ROWS} GROUP BY cell, s")

    def _columns(self) -> tuple[Column, ...]:
        """Describe the aggregates by what holds in the whole table."""
        parts = []
        for number, aggregate in enumerate(self.query.aggregates):
            a = f"a{number}"
            varies = f"count(DISTINCT {a}) + coalesce(max(CASE WHEN {a} IS NULL THEN 1 ELSE 0 END), 0) > 1"
            summed = aggregate.function is Function.SUM
            zero_one = f"coalesce(bool_and(CAST({a} AS DOUBLE) IN (0, 1)), FALSE)" if summed else "FALSE"
            parts.append(f"{varies}, {zero_one}, typeof(any_value(t{number}))")
        totals = ", ".join(f"any_value(t{number}) AS t{number}" for number in self.numbers)
        sql = f"SELECT {', '.join(parts)} FROM {ROWS}, (SELECT {totals} FROM {SUBJECTS})"
        row = self._ask(sql)[0]
        return tuple(
            Column(
                name=aggregate.name,
                function=aggregate.function,
                plain=aggregate.plain,
                constant=aggregate.constant,
                varies=bool(row[3 * number]),
                indicator=bool(row[3 * number + 1]),
                exact_type=str(row[3 * number + 2]) not in {"DOUBLE", "FLOAT"},
                counts_subjects=self._counts_subjects(aggregate),
            )
            for number, aggregate in enumerate(self.query.aggregates)
        )

    def _counts_subjects(self, aggregate: Aggregate) -> bool:
        return (
            aggregate.function is Function.COUNT_DISTINCT
            and self.subject is not None
            and aggregate.argument == '"' + self.subject.replace('"', '""') + '"'
        )

    def _measures(self) -> Mapping[int, tuple[Measure, ...]]:
        """Give for each cell the facts behind each aggregate."""
        found = [self._measure(number) for number in self.numbers]
        return {cell: tuple(each[cell] for each in found) for cell in found[0]}

    def _measure(self, number: int) -> Mapping[int, Measure]:
        a, t = f"a{number}", f"abs(t{number})"
        # A count of 0 is no contribution: COUNT(x) of a subject whose x is always NULL.
        counted = f"count(nullif(t{number}, 0))" if _counts(self.query.aggregates[number]) else f"count(t{number})"
        tops = self._ask(f"SELECT cell, {counted}, max({t}, 2), coalesce(sum({t}), 0) FROM {SUBJECTS} GROUP BY cell")
        values = dict(self._ask(f"SELECT cell, count({a}) FROM {ROWS} GROUP BY cell"))
        kinds = f"SELECT cell, {a}, count(DISTINCT s) AS held FROM {ROWS} GROUP BY cell, {a}"
        spread = {
            c: (n, rarest)
            for c, n, rarest in self._ask(f"SELECT cell, count(*), min(held) FROM ({kinds}) GROUP BY cell")
        }
        measures: dict[int, Measure] = {}
        for cell, contributors, top, total in tops:
            first, second = [*(_number(value) for value in top or []), Decimal(0), Decimal(0)][:2]
            distinct, rarest = spread[cell]
            measures[cell] = Measure(contributors, values[cell], first, second, _number(total), distinct, rarest)
        return measures

    def _differences(self, columns: Sequence[Column]) -> Mapping[int, int] | None:
        """Search each cell for combinations of its totals that tell few subjects apart; None when there are too many."""
        import numpy as np

        parts = _published_totals(columns)
        if len(parts) > MOST_MEASURES:
            return None
        body = ", ".join(f"coalesce(CAST({part} AS DOUBLE), 0)" for part in parts)
        found = self.connection.execute(f"SELECT cell, {body} FROM {SUBJECTS} ORDER BY cell").fetchnumpy()
        arrays = [np.ma.filled(array, 0) for array in found.values()]
        cells = arrays[0].astype(np.int64)
        totals = (
            np.stack([array.astype(np.float64) for array in arrays[1:]], axis=1) if parts else np.zeros((len(cells), 0))
        )
        if not np.isfinite(totals).all():
            raise GateRefusedError("cells.not-finite")
        starts = np.flatnonzero(np.diff(cells, prepend=-1))
        groups = np.split(totals, starts[1:]) if len(cells) else []
        return {int(cells[start]): smallest_support(group) for start, group in zip(starts, groups, strict=True)}

    def _cells(
        self, measures: Mapping[int, tuple[Measure, ...]], differences: Mapping[int, int] | None
    ) -> tuple[Cell, ...]:
        values = [_aggregate(aggregate, f"a{number}") for number, aggregate in enumerate(self.query.aggregates)]
        keys = [f"any_value({key})" for key in self.keys]
        sql = f"SELECT cell, count(*), count(DISTINCT s), {', '.join([*keys, *values])} FROM {ROWS} GROUP BY cell ORDER BY cell"
        wide = 3 + len(keys)
        return tuple(
            Cell(
                key=tuple(_key(value) for value in row[3:wide]),
                rows=row[1],
                subjects=row[2],
                values=tuple(None if value is None else _number(value) for value in row[wide:]),
                measures=measures[row[0]],
                difference=row[2] if differences is None else differences[row[0]],
            )
            for row in self._ask(sql)
        )

    def _near(self) -> tuple[tuple[tuple[int, int, int], ...], bool]:
        """List pairs of cells whose sets of subjects are nearly the same: one minus the other is the rest."""
        work = self._ask(f"SELECT coalesce(sum(n * n), 0) FROM (SELECT count(*) AS n FROM {SUBJECTS} GROUP BY s)")[0][0]
        if work > MOST_COMPARED:
            return (), False
        sizes = f"SELECT cell, count(s) AS n FROM {SUBJECTS} GROUP BY cell"
        pairs = (
            f"SELECT x.cell AS a, y.cell AS b, count(*) AS both FROM {SUBJECTS} x JOIN {SUBJECTS} y"
            " ON x.s = y.s AND x.cell < y.cell GROUP BY 1, 2"
        )
        differ = "p.n + q.n - 2 * pairs.both"
        sql = (
            f"SELECT a - 1, b - 1, {differ} AS apart FROM ({pairs}) pairs JOIN ({sizes}) p ON p.cell = a JOIN ({sizes}) q"
            f" ON q.cell = b WHERE {differ} > 0 AND {differ} < {NEAR_LIMIT} ORDER BY apart, a, b LIMIT {MOST_NEAR + 1}"
        )
        found = self._ask(sql)
        return tuple((int(a), int(b), int(n)) for a, b, n in found[:MOST_NEAR]), len(found) <= MOST_NEAR


def _counts(aggregate: Aggregate) -> bool:
    return aggregate.function in {Function.COUNT, Function.COUNT_DISTINCT}


def _argument(aggregate: Aggregate) -> str:
    """Give what one row contributes: for a count, whether there is a value."""
    if aggregate.argument is None:
        return "1"
    if aggregate.function is Function.COUNT:
        return f"CASE WHEN {aggregate.argument} IS NULL THEN 0 ELSE 1 END"
    return aggregate.argument


def _total(aggregate: Aggregate) -> str:
    """Give what one subject contributes to a cell; ``@`` stands for the argument."""
    if aggregate.function is Function.COUNT_DISTINCT:
        return "count(DISTINCT @)"
    if aggregate.function in ENDPOINTS:
        return "count(@)"
    return "sum(@)"


ENDPOINTS = frozenset({Function.MIN, Function.MAX, Function.MEDIAN})


def _aggregate(aggregate: Aggregate, column: str) -> str:
    """Give the published number; endpoints are refused whatever they are, so they are not even computed."""
    if aggregate.function in ENDPOINTS:
        return "NULL"
    names = {Function.COUNT_DISTINCT: f"count(DISTINCT {column})", Function.AVG: f"avg({column})"}
    return names.get(aggregate.function, f"sum({column})")


def _published_totals(columns: Sequence[Column]) -> list[str]:
    """Name the per-subject totals that a reader of the table can combine, with a mean turned back into its sum."""
    parts = []
    for number, column in enumerate(columns):
        if column.function in {Function.COUNT, Function.SUM, Function.AVG}:
            parts.append(f"t{number}")
        elif column.counts_subjects:
            parts.append("1")
    return parts


def _number(value: Any) -> Decimal:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise GateRefusedError("cells.not-finite")
        return Decimal(repr(value))
    return Decimal(value)


def _key(value: Any) -> KeyValue:
    """Give a key as text or integer, in one form a type."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, dt.date) else str(value)
