"""From exports to what an attacker reads: a table that is about to leave, and those that left before (B7, law 4).

Earlier tables are read from the evidence they were released with, so what is set against a new table is byte for byte what went out;
what was revoked later was read all the same.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from desensitize.gate_key import gate_key
from export_gate.attacks.population import population_of
from export_gate.attacks.reconstruct import Union
from export_gate.attacks.told import Interval, Measure, Told
from export_gate.evidence import read_evidence, read_file
from export_gate.exports import find_product, folder_of
from export_gate.records.ledger import kept, read_kept, sealer_of
from export_gate.records.vectors import from_wire
from export_gate.schema import export as exports
from jobs.query import Function, Query, parse_query
from jobs.runs import get_job
from jobs.spec import TableProduct, load_job
from jobs.supervisor import frozen_folder
from lineage.errors import MissingPartError
from sandbox.schema import provisioned


if TYPE_CHECKING:
    from sandbox.domain import Domain

Sizes = Mapping[tuple[str, tuple[Any, ...]], int]
"""How many subjects are behind a number, by aggregate and key."""


def told_table(
    name: str,
    query: Query,
    tables: Mapping[str, str],
    rows: Sequence[Sequence[Any]],
    sizes: Sizes,
    counted: frozenset[str] = frozenset(),
) -> Told:
    """Read a canonical table as an attacker does.

    Args:
        name: its export.
        query: what it answers.
        tables: for each input the text that is equal for equal rows.
        rows: the canonical rows: keys, then numbers as whole numbers or text in plain notation.
        sizes: subjects behind its numbers; none for a table about nobody.
        counted: aggregates whose sum is a count, and arguments of which that is known.
    """
    wide = len(query.keys)
    population = population_of(query, tables)
    cells = tuple(tuple(row[:wide]) for row in rows)
    told: dict[Measure, tuple[Interval | None, ...]] = {}
    behind: dict[Measure, tuple[int, ...]] = {}
    for place, (aggregate, found) in enumerate(zip(query.aggregates, population.measures, strict=True)):
        if found is None:
            continue
        measure = Measure("count", found.argument) if {aggregate.name, found.argument} & counted else found
        values = [_interval(row[wide + place]) for row in rows]
        if aggregate.function is Function.AVG:
            counts = _counts(query, aggregate.argument, rows, wide)
            values = [_times(value, count) for value, count in zip(values, counts, strict=True)]
        # A sum beats a mean: it is the narrower.
        if measure not in told or aggregate.function is not Function.AVG:
            told[measure] = tuple(values)
            if sizes:
                behind[measure] = tuple(sizes.get((aggregate.name, cell), 0) for cell in cells)
    return Told(name, population.rows, population.keys, population.only, cells, told, behind)


def _interval(value: Any) -> Interval | None:
    """Give the bounds of a canonical number: whole numbers are exact, others are rounded at their last digit that is not padding."""
    if value is None:
        return None
    if isinstance(value, int):
        return Interval(value, value)
    number = Decimal(str(value))
    shown = number.as_tuple()
    step = int(shown.exponent) if shown.exponent else _padding(shown.digits)
    half = Decimal(5).scaleb(step - 1)
    return Interval(float(number - half), float(number + half))


def _padding(digits: Sequence[int]) -> int:
    text = "".join(map(str, digits))
    return len(text) - len(text.rstrip("0")) if text.strip("0") else 0


def _counts(query: Query, argument: str | None, rows: Sequence[Sequence[Any]], wide: int) -> list[int | None]:
    """Give by how many a mean was divided: the count of its argument if that was asked for, else of the rows."""
    for wanted in (argument, None):
        for place, one in enumerate(query.aggregates):
            if one.function is Function.COUNT and one.argument == wanted:
                return [row[wide + place] for row in rows]
    return [None] * len(rows)


def _times(value: Interval | None, count: int | None) -> Interval | None:
    return None if value is None or count is None else Interval(value.low * count, value.high * count)


def sizes_of(query: Query, parts: Sequence[Mapping[str, Any]]) -> Sizes:
    """Read from what the worker handed over how many subjects are behind each number; the fewest where it is about several kinds."""
    found: dict[tuple[str, tuple[Any, ...]], int] = {}
    for part in parts:
        for one in from_wire(part["vectors"]):
            if not one.margin:
                at = (query.aggregates[one.column].name, one.key)
                found[at] = min(found.get(at, len(one.subjects)), len(one.subjects))
    return found


def rows_text(connection: Connection, table: str) -> str:
    """Name the rows of a provisioned table: equal for equal rows, whoever they were given to."""
    query = select(provisioned.c.dataset, provisioned.c.version, provisioned.c.record).where(provisioned.c.id == table)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise MissingPartError("attacks.table-unknown", table=table)
    return f"{row.dataset}@{row.version}?{row.record.get('row_filter', '')}"


def union_of_new(
    domain: Domain, identity: str, query: Query, tables: Mapping[str, str], result: Mapping[str, Any]
) -> Union:
    """Set a table that the worker has just made against what was released.

    Args:
        domain: where the evidence lies.
        identity: the export.
        query: what was asked.
        tables: for each input the provisioned table.
        result: the worker's canonical ``table`` and its ``records``.
    """
    parts = result["records"]
    flags = parts[0]["counts"] if parts else [False] * len(query.aggregates)
    counted = frozenset(one.name for one, counts in zip(query.aggregates, flags, strict=True) if counts)
    with domain.read() as connection:
        texts = {name: rows_text(connection, tables[name]) for name in query.tables}
        sizes = sizes_of(query, parts)
        new = told_table(identity, query, texts, result["table"]["rows"], sizes, counted)
        return union_of(domain, connection, new, frozenset(texts.values()))


def union_of(domain: Domain, connection: Connection, new: Told, tables: frozenset[str]) -> Union:
    """Set a table against every table that was released before from the same rows.

    Args:
        domain: where the evidence lies.
        connection: reads the exports.
        new: the table.
        tables: texts of the rows it reads.

    Raises:
        GateRefusedError, MissingPartError: an earlier release cannot be read whole (law 7).
    """
    counted = frozenset(one.argument for one in new.numbers if one.kind == "count")
    query = (
        select(exports)
        .where(exports.c.kind == "table", exports.c.manifest.is_not(None), exports.c.id != new.name)
        .order_by(exports.c.requested.desc(), exports.c.id)
    )
    found = [_released(domain, connection, row, tables, counted) for row in connection.execute(query).all()]
    return Union(new, tuple(one for one in found if one is not None))


def union_of_export(domain: Domain, connection: Connection, identity: str) -> Union:
    """Set an export that was checked before against what was released, as it lies in its folder."""
    row = connection.execute(select(exports).where(exports.c.id == identity)).one()
    new = _released(domain, connection, row, None, frozenset())
    if new is None:
        raise MissingPartError("attacks.table-unknown", table=identity)
    tables = frozenset(_sources(domain, connection, row)[0].values())
    return union_of(domain, connection, new, tables)


def _sources(domain: Domain, connection: Connection, row: Any) -> tuple[dict[str, str], Mapping[str, Any]]:
    evidence = read_evidence(folder_of(domain, row.id), row.evidence_digest)
    return {one["input"]: rows_text(connection, one["table"]) for one in evidence["sources"]}, evidence


def _released(
    domain: Domain, connection: Connection, row: Any, wanted: frozenset[str] | None, counted: frozenset[str]
) -> Told | None:
    """Read one table from its evidence; None when it reads none of the wanted rows."""
    tables, evidence = _sources(domain, connection, row)
    if wanted is not None and not wanted & set(tables.values()):
        return None
    job = get_job(connection, row.job)
    spec = load_job(frozen_folder(domain, job))
    product = find_product(spec, row.product)
    if not isinstance(product, TableProduct):
        raise MissingPartError("attacks.table-unknown", table=row.id)
    columns = {one["input"]: _columns(connection, one["table"]) for one in evidence["sources"]}
    query = parse_query(product.sql, columns, spec.steps)
    rows = _rows(folder_of(domain, row.id), evidence, len(query.keys))
    return told_table(row.id, query, tables, rows, _kept_sizes(domain, connection, row.id), counted)


def _columns(connection: Connection, table: str) -> tuple[str, ...]:
    return tuple(connection.execute(select(provisioned.c.columns).where(provisioned.c.id == table)).scalar_one())


def _rows(folder: Any, evidence: Mapping[str, Any], keys: int) -> list[list[Any]]:
    """Give the canonical rows: keys and types from one form, digits from the other."""
    import pyarrow.parquet as pq

    files = {one["name"]: read_file(folder, one) for one in evidence["files"]}
    table = pq.read_table(io.BytesIO(files["data.parquet"]))
    typed = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    shown = list(csv.reader(io.StringIO(files["data.csv"].decode(), newline="")))[1:]
    return [
        [*row[:keys], *(_number(value, text) for value, text in zip(row[keys:], texts[keys:], strict=True))]
        for row, texts in zip(typed, shown, strict=True)
    ]


def _number(value: Any, text: str) -> Any:
    return value if value is None or isinstance(value, int) else text


def _kept_sizes(domain: Domain, connection: Connection, identity: str) -> Sizes:
    """Read from the ledger how many subjects are behind each number of an export."""
    found: dict[tuple[str, tuple[Any, ...]], int] = {}
    universes = kept(connection, identity)
    if not universes:
        return found
    sealer = sealer_of(gate_key(domain))
    for universe in universes:
        contents = read_kept(connection, identity, universe, sealer)
        for one in contents.numbers():
            if not one.margin:
                at = (contents.columns[one.column].name, one.key)
                found[at] = min(found.get(at, len(one.subjects)), len(one.subjects))
    return found
