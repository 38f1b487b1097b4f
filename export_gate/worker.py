"""The gate's worker: carries one promoted description out on row data, inside a jail, and leaves only its result (law 1, law 2).

It runs this package's own code, but the question is a tenant's: whatever a parser or an engine might be made to do, there is no
network, no key, no other table and no other file here. The request lies in ``/request/request.json``, the frozen job in ``/job``,
the granted tables in ``/in``; the result goes to ``/out``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export_gate.finding import Finding
from export_gate.findings import findings_to_json
from export_gate.lanes import model_lane, statistic_lane, table_lane
from export_gate.report.lane import drawn_lane, materials_from_json, materials_of_view
from jobs.spec import ChartProduct, Job, ModelProduct, Product, ReportProduct, StatisticProduct, TableProduct, load_job
from lineage.errors import ShuzhaError


if TYPE_CHECKING:
    import duckdb

REQUEST = Path("/request/request.json")
RESULT = "result.json"


def main(
    request_file: Path = REQUEST, job: Path = Path("/job"), tables: Path = Path("/in"), out: Path = Path("/out")
) -> int:
    """Carry out the request; the exit code is 0 whenever a result was written, refusals included."""
    request = json.loads(request_file.read_text(encoding="utf-8"))
    try:
        result = carry_out(request, job, tables)
    except ShuzhaError as error:
        result = {"refused": {"code": error.code, "params": error.params}}
    (out / RESULT).write_text(json.dumps(result, ensure_ascii=False), encoding="utf-8")
    return 0


def carry_out(request: Mapping[str, Any], job: Path, tables: Path) -> dict[str, Any]:
    """Measure, recompute, train or parse, as the request and the product say; gives the lane's plain result."""
    if request.get("lane") == "file":
        from export_gate.file.reading import file_lane

        return file_lane(request, job)
    if request.get("lane") == "match":
        from export_gate.rawmatch.carrying import carry_out_match

        return carry_out_match(request, job, tables)
    spec = load_job(job)
    product = next(one for one in spec.products if one.name == request["product"])
    if isinstance(product, ChartProduct | ReportProduct) and not request["preview"]:
        return drawn_lane(product, materials_from_json(request["released"]))
    connection = connect(tables, list(spec.inputs), request.get("numbered", ()))
    columns = {name: _columns(connection, name) for name in spec.inputs}

    def lane(one: Product) -> dict[str, Any]:
        return _described(connection, one, spec, columns, request)

    if isinstance(product, ChartProduct | ReportProduct):
        return drawn_lane(product, materials_of_view(product, spec, columns, lane))
    return lane(product)


def _described(
    connection: duckdb.DuckDBPyConnection,
    product: Product,
    spec: Job,
    columns: Mapping[str, Sequence[str]],
    request: Mapping[str, Any],
) -> dict[str, Any]:
    """Carry out what is described as a question to the tables."""
    subjects: Mapping[str, str] = request["subjects"]
    preview: bool = request["preview"]
    if isinstance(product, StatisticProduct):
        return statistic_lane(connection, product, columns, spec.steps, subjects, preview=preview)
    if isinstance(product, TableProduct):
        numbers = None if preview else {name: _numbers_of(name) for name in request.get("numbered", ())}
        return table_lane(connection, product, columns, spec.steps, subjects, preview=preview, numbers=numbers)
    if isinstance(product, ModelProduct):
        return model_lane(
            connection, product, columns, spec.steps, subjects, seed=request["seed"], purpose=request["purpose"]
        )
    return {"findings": findings_to_json([cannot_check(product.name)])}


def connect(tables: Path, names: Sequence[str], numbered: Sequence[str] = ()) -> duckdb.DuckDBPyConnection:
    """Open an engine that holds the granted tables and can reach nothing else (the jail could not either; law 1).

    The subject numbers of the inputs in ``numbered`` lie beside them, in tables that no query can name.
    """
    import duckdb
    from deltalake import DeltaTable

    from desensitize.numbers_file import read_numbers
    from export_gate.records.vectors import numbers_of
    from jobs.query import prepare

    connection = duckdb.connect(config={"threads": 2, "temp_directory": "/tmp/duckdb"})  # noqa: S108 - the jail's own
    for name in names:
        # Materialised once: every lane reads its rows several times, and the files lie behind a FUSE mount.
        connection.register(f"{name}__files", DeltaTable(tables / name).to_pyarrow_dataset())
        connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM "{name}__files"')  # noqa: S608 - a checked identifier
        connection.unregister(f"{name}__files")
    for name in numbered:
        connection.register("numbers__file", read_numbers(tables / numbers_of(name)))
        connection.execute(f'CREATE TABLE "{_numbers_of(name)}" AS SELECT token, number FROM numbers__file')  # noqa: S608
        connection.unregister("numbers__file")
    prepare(connection)
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _numbers_of(name: str) -> str:
    return f"{name} numbers"


def cannot_check(product: str) -> Finding:
    """Say that there is no check for this kind of artefact, which blocks it (law 7)."""
    from export_gate.finding import Verdict

    return Finding("gate.kind", 1, Verdict.CANNOT_CHECK, "gate.kind-not-checked", {"product": product})


def _columns(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    return [str(row[0]) for row in connection.execute(f'DESCRIBE "{name}"').fetchall()]


if __name__ == "__main__":
    sys.exit(main())
