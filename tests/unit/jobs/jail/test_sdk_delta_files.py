"""A plain Delta table is read without Delta, and only a plain one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from jobs.sdk.delta_files import PlainTable, read_plain


ROWS = pa.table({"district": ["a", "b", "a"], "cost": [1, 2, 3]})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_deltalake(tmp_path / "t", ROWS)
    return tmp_path / "t"


def found(place: Path) -> PlainTable:
    table = read_plain(str(place))
    assert table is not None
    return table


def truth(place: Path) -> list[str]:
    return sorted(Path(uri).name for uri in DeltaTable(place).file_uris())


def test_the_files_are_those_that_delta_names(place: Path) -> None:
    assert sorted(Path(file).name for file in found(place).files) == truth(place)
    assert [field["name"] for field in found(place).schema["fields"]] == ["district", "cost"]


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_later_commits_count(place: Path, mode: Any) -> None:
    for _ in range(3):
        write_deltalake(place, ROWS, mode=mode)
    assert sorted(Path(file).name for file in found(place).files) == truth(place)
    assert len(found(place).files) == (4 if mode == "append" else 1)


def test_deleted_rows_are_gone(place: Path) -> None:
    write_deltalake(place, ROWS, mode="append")
    DeltaTable(place).delete("cost = 2")
    assert sorted(Path(file).name for file in found(place).files) == truth(place)


def commit(place: Path, *actions: dict[str, Any]) -> None:
    name = f"{len(list((place / '_delta_log').glob('*.json'))):020}.json"
    (place / "_delta_log" / name).write_text("\n".join(json.dumps(action) for action in actions))


def checkpoint(place: Path) -> None:
    DeltaTable(place).create_checkpoint()


def newer_reader(place: Path) -> None:
    commit(place, {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"]}})


def deletion_vector(place: Path) -> None:
    commit(place, {"add": {"path": "x.parquet", "partitionValues": {}, "deletionVector": {"storageType": "u"}}})


def elsewhere(place: Path) -> None:
    commit(place, {"add": {"path": "../other/x.parquet", "partitionValues": {}}})


def escaped_elsewhere(place: Path) -> None:
    commit(place, {"add": {"path": "..%2Fother%2Fx.parquet", "partitionValues": {}}})


def address(place: Path) -> None:
    commit(place, {"add": {"path": "s3:x.parquet", "partitionValues": {}}})


def partition_value(place: Path) -> None:
    commit(place, {"add": {"path": "x.parquet", "partitionValues": {"kind": "1"}}})


def typed_metadata(place: Path) -> None:
    field = {"name": "c", "type": "string", "nullable": True, "metadata": {"__CHAR_VARCHAR_TYPE_STRING": "char(3)"}}
    _schema(place, [field])


def nested(place: Path) -> None:
    inner = {"type": "array", "elementType": "integer", "containsNull": True}
    _schema(place, [{"name": "c", "type": inner, "nullable": True, "metadata": {}}])


def no_columns(place: Path) -> None:
    _schema(place, [])


def _schema(place: Path, fields: list[dict[str, Any]]) -> None:
    text = json.dumps({"type": "struct", "fields": fields})
    commit(place, {"metaData": {"format": {"provider": "parquet"}, "partitionColumns": [], "schemaString": text}})


def hole(place: Path) -> None:
    (place / "_delta_log" / f"{5:020}.json").write_text("{}")


def garbage(place: Path) -> None:
    (place / "_delta_log" / f"{1:020}.json").write_text("not json")


def two_in_a_line(place: Path) -> None:
    commit(place, {"commitInfo": {}, "add": {"path": "x.parquet"}})


@pytest.mark.parametrize(
    "change",
    [
        *(checkpoint, newer_reader, deletion_vector, elsewhere, escaped_elsewhere, address, partition_value),
        *(typed_metadata, nested, no_columns, hole, garbage, two_in_a_line),
    ],
)
def test_what_is_not_plain_is_left_to_delta(place: Path, change: Callable[[Path], None]) -> None:
    change(place)
    assert read_plain(str(place)) is None


def test_partitions_are_left_to_delta(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", ROWS, partition_by=["district"])
    assert read_plain(str(tmp_path / "t")) is None


def test_no_table_is_left_to_delta_which_says_so(tmp_path: Path) -> None:
    assert read_plain(str(tmp_path)) is None
