"""The files in which providers deliver: CSV in two encodings, JSON lines, Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from console.demo.city.draw import Ints


def decimal_text(fen: Ints) -> NDArray[np.str_]:
    """Write hundredths as a decimal with two digits."""
    yuan = np.strings.add((fen // 100).astype(np.str_), ".")
    return np.strings.add(yuan, np.strings.zfill((fen % 100).astype(np.str_), 2))


def write_csv(path: Path, columns: Mapping[str, NDArray[np.str_]], encoding: str = "utf-8") -> None:
    """Write a CSV file with a header. No value of the city holds a comma, a quote or a line end, so none is quoted.

    Raises:
        ValueError: a value would need quotes.
    """
    values = [column.tolist() for column in columns.values()]
    text = "\n".join(",".join(row) for row in zip(*values, strict=True))
    if '"' in text or text.count(",") != (len(values) - 1) * len(values[0]):
        raise ValueError("a value holds a comma or a quote")
    path.write_text(",".join(columns) + "\n" + text + "\n", encoding=encoding, newline="")


def write_json_lines(path: Path, columns: Mapping[str, NDArray[np.str_]], numbers: set[str]) -> None:
    """Write JSON lines; the columns named in ``numbers`` are JSON numbers where they can be, all else is text."""
    line = "{" + ",".join(f'"{name}":%s' for name in columns) + "}\n"
    values = [_json_values(column, bare=name in numbers) for name, column in columns.items()]
    path.write_text("".join(line % row for row in zip(*values, strict=True)), encoding="utf-8", newline="")


def _json_values(column: NDArray[np.str_], *, bare: bool) -> list[str]:
    if not bare:
        return [f'"{value}"' for value in column.tolist()]
    return [value if value[:1].isascii() else f'"{value}"' for value in column.tolist()]


def write_parquet(path: Path, columns: Mapping[str, NDArray[np.str_] | NDArray[np.datetime64]]) -> None:
    """Write a Parquet file: text as strings, days as dates, none of them nullable."""
    import pyarrow as pa
    from pyarrow import parquet

    arrays = {
        name: pa.array(column.tolist() if column.dtype.kind == "U" else column) for name, column in columns.items()
    }
    fields = [pa.field(name, array.type, nullable=False) for name, array in arrays.items()]
    parquet.write_table(pa.Table.from_arrays(list(arrays.values()), schema=pa.schema(fields)), path)
