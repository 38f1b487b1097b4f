"""The worker's side of raw match: read what was laid ready, search, and give the findings; inside the gate's jail (law 1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export_gate.finding import Finding
from export_gate.findings import findings_to_json
from export_gate.rawmatch.columns import read_columns
from export_gate.rawmatch.disguise import Table, find_rows
from export_gate.rawmatch.hashes import match_hashes, words_of
from export_gate.rawmatch.match import match_identifiers
from export_gate.rawmatch.patterns import Identifiers, Patterns
from export_gate.rawmatch.pseudonyms import find_pseudonyms
from lineage.errors import MissingPartError


if TYPE_CHECKING:
    import pyarrow as pa

FILES, IDENTIFIERS = "files", "identifiers"
"""Names under which the two folders are mounted."""
RECORDS = "records."
"""What the names of mounted tables begin with, so that no input's name is taken for one of the folders."""
_FILE = "identifiers.parquet"


def write_identifiers(folder: Path, identifiers: Mapping[str, pa.Array]) -> None:
    """Write identifiers by kind into a folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = [kind for kind, values in identifiers.items() for _ in range(len(values))]
    values = pa.concat_arrays([pa.array([], pa.string()), *(one.cast(pa.string()) for one in identifiers.values())])
    pq.write_table(pa.table({"kind": pa.array(kinds, pa.string()), "value": values}), folder / _FILE)


def read_identifiers(folder: Path) -> tuple[Identifiers, ...]:
    """Read what ``write_identifiers`` wrote.

    Raises:
        MissingPartError: there is nothing: without identifiers nothing could be found (law 7).
    """
    import pyarrow.parquet as pq

    path = folder / _FILE
    if not path.is_file():
        raise MissingPartError("rawmatch.no-identifiers")
    held: dict[str, list[str]] = {}
    table = pq.read_table(path)
    for kind, value in zip(table.column("kind").to_pylist(), table.column("value").to_pylist(), strict=True):
        held.setdefault(kind, []).append(value)
    return tuple(Identifiers(kind, tuple(values)) for kind, values in held.items())


def carry_out_match(asked: Mapping[str, Any], job: Path, tables: Path) -> dict[str, Any]:
    """Search the files of a product and the texts of its job; gives findings as plain values."""
    files = {path.name: path.read_bytes() for path in sorted((tables / FILES).iterdir())}
    texts = {
        f"job/{path.relative_to(job).as_posix()}": path.read_bytes()
        for path in sorted(job.rglob("*"))
        if path.is_file()
    }
    identifiers = read_identifiers(tables / IDENTIFIERS)
    findings = match(files, texts, identifiers, asked["seed"], opaque=asked["opaque"])
    records = [_numbers(path) for path in sorted(tables.glob(f"{RECORDS}*"))]
    return {"findings": findings_to_json((*findings, *compare_rows(files, records)))}


def compare_rows(files: Mapping[str, bytes], records: Sequence[Table]) -> Iterator[Finding]:
    """Compare each table among the files with each table that was read (B4)."""
    for data in files.values():
        made = {name: numbers for name, values in read_columns(data).items() if (numbers := _as_numbers(values))}
        if len({len(values) for values in made.values()}) == 1:
            for seen in records:
                yield find_rows(made, seen)


def _as_numbers(values: Sequence[str]) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return []
    return numbers if all(map(isfinite, numbers)) else []


def _numbers(table: Path) -> Table:
    """Read the numeric columns of a table's whole rows."""
    import pyarrow as pa
    from deltalake import DeltaTable

    held = DeltaTable(table).to_pyarrow_dataset()
    names = [field.name for field in held.schema if _is_number(field.type)]
    rows = held.to_table(columns=names).drop_null()
    return {name: rows.column(name).cast(pa.float64()).to_pylist() for name in names}


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def match(
    files: Mapping[str, bytes],
    texts: Mapping[str, bytes],
    identifiers: Sequence[Identifiers],
    seed: int,
    *,
    opaque: bool = False,
) -> tuple[Finding, ...]:
    """Search for identifiers, digests of them and pseudonyms (B1–B3).

    Args:
        files: what would leave, by name.
        texts: the job that asked for it, whose names and labels leave with it.
        identifiers: the identifiers and tokens of the tables that it could have read.
        seed: the gate's seed, for the decoys (law 9).
        opaque: whether the files are the job's own bytes.
    """
    words = words_of([data.decode("utf-8", "ignore") for data in texts.values()])
    return (
        match_identifiers({**files, **texts}, Patterns(identifiers, seed)),
        match_hashes(files, identifiers, words, opaque=opaque),
        find_pseudonyms(files),
    )
