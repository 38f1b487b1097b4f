"""One lane a kind of product: from a promoted description to a result, inside the jail (law 2).

``question_of`` alone also runs outside: what a statistic asks, and so what it costs, is settled before any data is read (law 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import product as combinations
from typing import TYPE_CHECKING, Any

from export_gate.findings import findings_to_json
from export_gate.records.vectors import to_wire
from export_gate.statistic import Question, sole_subject
from export_gate.statistic.measures import WIDEST_BOUND
from jobs.query import Function, Query, parse_query, parse_rows, subject_columns
from jobs.spec import ModelProduct, StatisticProduct, TableProduct
from lineage.errors import DefinitionError


if TYPE_CHECKING:
    import duckdb

Columns = Mapping[str, Sequence[str]]
Steps = Mapping[str, str]
Subjects = Mapping[str, str]

_CENTS = -2
_MOST_PREVIEWED = 1000
_AGGREGATES: Mapping[Function, str] = {
    Function.COUNT: "count({})",
    Function.COUNT_DISTINCT: "count(DISTINCT {})",
    Function.SUM: "sum({})",
    Function.AVG: "avg({})",
    Function.MIN: "min({})",
    Function.MAX: "max({})",
    Function.MEDIAN: "median({})",
}


def question_of(product: StatisticProduct, columns: Columns, steps: Steps, subjects: Subjects) -> Question:
    """Settle what a statistic asks.

    Raises:
        DefinitionError: the query, its subject or its bounds cannot be measured.
    """
    query = parse_query(product.sql, columns, steps)
    units = {name: _unit(bounds) for name, bounds in product.bounds.items()}
    return Question(
        query=query,
        subject=sole_subject(query, subjects, product.subject),
        groups_per_subject=product.groups_per_subject,
        rows_per_group=product.rows_per_group,
        epsilon=product.epsilon,
        bounds={name: _in_unit(bounds, units[name]) for name, bounds in product.bounds.items()},
        units=units,
        keys=_public_keys(product, query),
    )


def statistic_lane(
    connection: duckdb.DuckDBPyConnection,
    product: StatisticProduct,
    columns: Columns,
    steps: Steps,
    subjects: Subjects,
    *,
    preview: bool,
) -> dict[str, Any]:
    """Measure with noise; a preview shows a view's own numbers, which its reader may see anyway."""
    question = question_of(product, columns, steps, subjects)
    if preview:
        return _numbers_of_view(connection, question.query)
    from export_gate.statistic import price
    from export_gate.statistic.engine import measure

    return {"answer": measure(connection, question, price(question)).to_json()}


def table_lane(
    connection: duckdb.DuckDBPyConnection,
    product: TableProduct,
    columns: Columns,
    steps: Steps,
    subjects: Subjects,
    *,
    preview: bool,
    numbers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Recompute a table with all contributors known, safe for every kind of subject it is about.

    ``numbers`` names the table of subject numbers of each input that is about somebody; a preview has none and tells nobody.
    """
    from export_gate.table import CellPolicy, judge_table

    query = parse_query(product.sql, columns, steps)
    judged = judge_table(connection, query, subjects, CellPolicy(), numbers)
    result: dict[str, Any] = {"findings": findings_to_json(judged.findings)}
    if preview:
        return result | _numbers_of_view(connection, query)
    if judged.table is not None:
        result["table"] = {"columns": judged.table.columns, "rows": judged.table.rows}
        result["records"] = [
            {"vectors": to_wire(vectors), "counts": [one.counts for one in facts.columns]}
            for vectors, facts in zip(judged.records, judged.recomputed, strict=False)
        ]
    return result


def model_lane(
    connection: duckdb.DuckDBPyConnection,
    product: ModelProduct,
    columns: Columns,
    steps: Steps,
    subjects: Subjects,
    *,
    seed: int,
    purpose: str,
) -> dict[str, Any]:
    """Train a model from its description; the seed is the gate's (law 9)."""
    from export_gate.model.build import build
    from export_gate.model.description import ModelDescription

    rows = parse_rows(product.features, columns, steps)
    keys = subject_columns(rows, subjects)
    if len(keys) != 1:
        raise DefinitionError("gate.model-subject", product=product.name)
    features = tuple(name for name in rows.columns if name not in {product.target, keys[0]})
    description = ModelDescription(product.estimator, _plain_params(product), features, product.target, keys[0])
    frame = connection.execute(rows.select).df()
    return build(frame, description, seed, purpose, trained_on=product.train_on).to_json()


def _numbers_of_view(connection: duckdb.DuckDBPyConnection, query: Query) -> dict[str, Any]:
    """Give a view's own numbers as they are: whoever previews may read the view itself."""
    keys = [f'{key.expression} AS "{key.name}"' for key in query.keys]
    numbers = [f'{_AGGREGATES[one.function].format(one.argument or "*")} AS "{one.name}"' for one in query.aggregates]
    # Written from the checked query alone: names and expressions are the plan's own.
    rows = connection.execute(f"SELECT {', '.join(keys + numbers)} FROM ({query.source}) GROUP BY ALL ORDER BY ALL")  # noqa: S608
    names = [key.name for key in query.keys] + [one.name for one in query.aggregates]
    shown = [[None if value is None else str(value) for value in row] for row in rows.fetchmany(_MOST_PREVIEWED)]
    return {"table": {"columns": names, "rows": shown}}


def _plain_params(product: ModelProduct) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in product.params.items()}


def _public_keys(product: StatisticProduct, query: Query) -> tuple[tuple[str | int | None, ...], ...] | None:
    """Cross the public values of every key; all keys are public or none is."""
    if not product.keys:
        return None
    missing = [key.name for key in query.keys if key.name not in product.keys]
    unknown = [name for name in product.keys if name not in {key.name for key in query.keys}]
    if missing or unknown:
        raise DefinitionError("gate.keys-incomplete", product=product.name, columns=", ".join([*missing, *unknown]))
    return tuple(combinations(*(product.keys[key.name] for key in query.keys)))


def _unit(bounds: tuple[Fraction, Fraction]) -> int:
    """Count in hundredths where the bounds leave room, else in whole units; never by looking at the data."""
    return _CENTS if max(map(abs, bounds)) * 100 < WIDEST_BOUND else 0


def _in_unit(bounds: tuple[Fraction, Fraction], unit: int) -> tuple[int, int]:
    """Round the declared bounds outwards to whole units."""
    scale = Fraction(10) ** -unit
    low, high = bounds
    return int(low * scale // 1), int(-(-high * scale // 1))
