"""Looking at a written table without Spark: its files, its rows, its digest, and identifiers that slipped through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from desensitize.recognizers import holds_resident_id
from lineage.errors import MissingPartError


if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK = 1 << 20
_BATCH = 65_536


def data_files(table: Path) -> list[Path]:
    """The Parquet files of a table that was written once, by name."""
    return sorted(path for path in table.rglob("*.parquet") if "_delta_log" not in path.parts)


def rows_of(table: Path) -> int:
    """Rows of a table that was written once.

    Raises:
        MissingPartError: there is no commit, so what lies there is no table (law 7).
    """
    import pyarrow.parquet as pq

    if not (table / "_delta_log" / f"{0:020d}.json").is_file():
        raise MissingPartError("desensitize.failed", reason="no-commit")
    return sum(int(pq.read_metadata(path).num_rows) for path in data_files(table))


def rows_of_version(table: Path, version: int) -> int:
    """Rows in the data files of one version of a Delta table: as many as it has, or more where some were deleted."""
    import pyarrow.parquet as pq
    from deltalake import DeltaTable

    return sum(
        int(pq.read_metadata(path.removeprefix("file://")).num_rows)
        for path in DeltaTable(table, version=version).file_uris()
    )


def digest_of(table: Path) -> str:
    """SM3 over the sorted lines "digest, two spaces, name" of the data files and the first commit, in hex."""
    from cryptography.hazmat.primitives import hashes

    whole = hashes.Hash(hashes.SM3())
    for path in [*data_files(table), table / "_delta_log" / f"{0:020d}.json"]:
        whole.update(f"{_file_digest(path)}  {path.relative_to(table).as_posix()}\n".encode())
    return whole.finalize().hex()


def _file_digest(path: Path) -> str:
    from cryptography.hazmat.primitives import hashes

    digest = hashes.Hash(hashes.SM3())
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.finalize().hex()


def leftovers(table: Path, columns: Sequence[str]) -> str | None:
    """Name the first of the columns in which a value holds a valid resident ID; None when there is none.

    A view must hold none: a number typed into a column that was declared plain would leave with it (P1).
    """
    for batch in _batches(table, columns):
        for name in columns:
            if holds_resident_id(batch.column(name)):
                return name
    return None


def _batches(table: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    for path in data_files(table):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(_BATCH, columns=list(columns))
