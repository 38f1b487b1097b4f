"""The gate's own bytes: canonical files of a product, and nothing of what a job wrote (law 2).

Tables leave as CSV in UTF-8 and as Parquet, rows sorted by key, numbers in one fixed form, no metadata, no statistics, no index.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    import pyarrow as pa

_NUMBER = re.compile(r"-?\d{1,28}(\.\d{1,9})?")


@dataclass(frozen=True)
class File:
    """One file of a product."""

    name: str
    data: bytes

    @property
    def sha256(self) -> str:
        """Digest of the bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()


def table_files(columns: Sequence[str], rows: Sequence[Sequence[Any]], keys: int) -> tuple[File, ...]:
    """Write a table whose first ``keys`` columns are its keys; the other columns hold numbers."""
    return File("data.csv", _csv(columns, rows)), File("data.parquet", _parquet(columns, rows, keys))


def model_files(onnx_base64: str, card: Mapping[str, Any]) -> tuple[File, ...]:
    """Give a model's bytes, as the gate exported them, and its card."""
    return File("model.onnx", base64.b64decode(onnx_base64, validate=True)), card_file(card)


def card_file(card: Mapping[str, Any]) -> File:
    """Write a release or model card."""
    text = json.dumps(card, ensure_ascii=False, indent=2, sort_keys=True)
    return File("card.json", text.encode() + b"\n")


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return stream.getvalue().encode("utf-8")


def _parquet(columns: Sequence[str], rows: Sequence[Sequence[Any]], keys: int) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = [_array([row[place] for row in rows], key=place < keys) for place in range(len(columns))]
    sink = io.BytesIO()
    # Footers would otherwise carry extreme values, a dictionary of every category and the writer's schema (B20).
    pq.write_table(
        pa.table(arrays, names=list(columns)),
        sink,
        write_statistics=False,
        use_dictionary=False,
        store_schema=False,
        compression="zstd",
    )
    return sink.getvalue()


def _array(values: list[Any], *, key: bool) -> pa.Array:
    import pyarrow as pa

    known = [value for value in values if value is not None]
    if all(type(value) is int and abs(value) < 2**63 for value in known):
        return pa.array(values, pa.int64())
    if not key and all(_NUMBER.fullmatch(str(value)) for value in known):
        exact = [None if value is None else Decimal(str(value)) for value in values]
        scale = max(-int(value.as_tuple().exponent) for value in exact if value is not None)
        return pa.array(exact, pa.decimal128(38, max(scale, 0)))
    return pa.array([None if value is None else str(value) for value in values], pa.string())
