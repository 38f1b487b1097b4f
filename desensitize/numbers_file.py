"""The file with the subject numbers of one provisioned table: written by trusted code, read by the gate's worker in its jail."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineage.errors import MissingPartError


if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

FILE = "numbers.parquet"
"""Two columns: ``token`` (text) and ``number`` (uint32), one row a subject."""


def write_numbers(folder: Path, tokens: pa.Array, numbers: NDArray[np.uint32]) -> None:
    """Write the pairs of one table into a new folder; their order is that of the tokens, not of the numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(mode=0o755)
    table = pa.table({"token": tokens, "number": pa.array(numbers, pa.uint32())}).sort_by("token")
    pq.write_table(table, folder / FILE, write_statistics=False)


def read_numbers(folder: Path) -> Any:
    """Read the pairs of one table, as an Arrow table.

    Raises:
        MissingPartError: there are none: the table was provisioned before the gate numbered subjects.
    """
    import pyarrow.parquet as pq

    path = folder / FILE
    if not path.is_file():
        raise MissingPartError("records.not-numbered")
    return pq.read_table(path)
