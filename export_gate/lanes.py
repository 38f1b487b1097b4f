"""One lane a kind of product: from a promoted description to a result, inside the jail (law 2).

``question_of`` alone also runs outside: what a statistic asks, and so what it costs, is settled before any data is read (law 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import product as combinations
from typing import TYPE_CHECKING, Any

from export_gate.findings import findings_to_json
from export_gate.statistic import Question, sole_subject
from export_gate.statistic.measures import WIDEST_BOUND
from jobs.query import Query, parse_query, parse_rows, subject_columns
from jobs.spec import ModelProduct, StatisticProduct, TableProduct
from lineage.errors import DefinitionError


if TYPE_CHECKING:
    import duckdb

Columns = Mapping[str, Sequence[str]]
Steps = Mapping[str, str]
Subjects = Mapping[str, str]

_CENTS = -2


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
        return _exact(connection, question.query, (question.subject,))
    from export_gate.statistic import price
    from export_gate.statistic.engine import measure

    return {"answer": measure(connection, question, price(question)).to_json()}


def table_lane(
    connection: duckdb.DuckDBPyConnection, product: TableProduct, columns: Columns, steps: Steps, subjects: Subjects
) -> dict[str, Any]:
    """Recompute a table with all contributors known."""
    query = parse_query(product.sql, columns, steps)
    keys = subject_columns(query, subjects)
    if not keys:
        raise DefinitionError("gate.no-subject", product=product.name)
    return _exact(connection, query, keys)


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


def _exact(connection: duckdb.DuckDBPyConnection, query: Query, keys: Sequence[str]) -> dict[str, Any]:
    """Recompute and check for each subject of the rows: a table must be safe for every one of them."""
    from export_gate.table import CellPolicy, canonical_table, check_cells, recompute

    findings = []
    table = None
    for key in keys:
        recomputed = recompute(connection, query, key)
        findings += check_cells(recomputed, CellPolicy())
        table = canonical_table(recomputed)
    if table is None:
        raise DefinitionError("gate.no-subject", product="")
    return {"table": {"columns": table.columns, "rows": table.rows}, "findings": findings_to_json(findings)}


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
