"""The gate's own bytes: both files say the same, always in the same bytes, and nothing besides (law 2)."""

from __future__ import annotations

import base64
import csv
import io
import json
from decimal import Decimal

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export_gate.artefact import File, card_file, model_files, table_files


TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
NUMBER = st.one_of(
    st.none(),
    st.integers(-(10**12), 10**12),
    st.decimals(-(10**12), 10**12, places=3, allow_nan=False).map(lambda value: format(value, "f")),
)
ROWS = st.lists(st.tuples(TEXT, NUMBER), max_size=8)


def read(files: tuple[File, ...]) -> tuple[list[list[str]], pq.FileMetaData, list[tuple[object, ...]]]:
    data = {file.name: file.data for file in files}
    rows = list(csv.reader(io.StringIO(data["data.csv"].decode("utf-8"), newline="")))
    table = pq.read_table(io.BytesIO(data["data.parquet"]))
    return rows, pq.read_metadata(io.BytesIO(data["data.parquet"])), [tuple(r.values()) for r in table.to_pylist()]


@given(ROWS)
def test_both_files_hold_the_same(rows: list[tuple[str, object]]) -> None:
    files = table_files(["key", "number"], rows, 1)
    (head, *lines), _, parquet = read(files)
    assert head == ["key", "number"]
    assert len(lines) == len(parquet) == len(rows)
    for (key, number), line, row in zip(rows, lines, parquet, strict=True):
        assert line == [key, "" if number is None else str(number)]
        assert row[0] == key
        assert row[1] is None if number is None else Decimal(str(row[1])) == Decimal(str(number))


@given(ROWS)
def test_the_same_table_is_the_same_bytes(rows: list[tuple[str, object]]) -> None:
    assert table_files(["key", "number"], rows, 1) == table_files(["key", "number"], [tuple(row) for row in rows], 1)


def test_nothing_besides_the_values_is_in_the_parquet_file() -> None:
    rows = [[f"category-{number}", number] for number in range(100)]
    _, metadata, _ = read(table_files(["key", "number"], rows, 1))
    assert not metadata.metadata
    for place in range(metadata.num_columns):
        column = metadata.row_group(0).column(place)
        assert column.statistics is None
        assert not column.has_dictionary_page
        assert column.total_compressed_size > 0


def test_keys_stay_as_they_are() -> None:
    rows = [["007", "1e5"], ["٣", "0x10"], ["", "NaN"], ["1.50", "-0"]]
    lines, _, parquet = read(table_files(["code", "other"], rows, 2))
    assert lines[1:] == rows
    assert parquet == [tuple(row) for row in rows]


@pytest.mark.parametrize("key", ["a,b", 'a"b', "a\nb", "a\r\nb", "长春", "=1+1"])
def test_a_key_with_structure_of_the_format_comes_back(key: str) -> None:
    lines, _, parquet = read(table_files(["key", "n"], [[key, 1]], 1))
    assert lines[1][0] == key
    assert parquet == [(key, 1)]


def test_a_missing_key_is_empty() -> None:
    lines, _, parquet = read(table_files(["key", "n"], [[None, 1], ["a", None]], 1))
    assert lines[1:] == [["", "1"], ["a", ""]]
    assert parquet == [(None, 1), ("a", None)]


def test_an_empty_table_is_a_header() -> None:
    lines, metadata, parquet = read(table_files(["key", "n"], [], 1))
    assert lines == [["key", "n"]]
    assert (metadata.num_rows, parquet) == (0, [])


def test_numbers_are_exact() -> None:
    rows: list[list[object]] = [["a", "0.1"], ["b", "-12345678901234567890.123456789"], ["c", 3]]
    _, _, parquet = read(table_files(["key", "n"], rows, 1))
    assert [row[1] for row in parquet] == [Decimal("0.1"), Decimal("-12345678901234567890.123456789"), Decimal(3)]


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, -(2**63), 2**80, 10**27])
def test_a_number_beyond_a_machine_word_is_exact_too(number: int) -> None:
    lines, _, parquet = read(table_files(["key", "n"], [[number, number], [1, 1]], 1))
    assert lines[1] == [str(number), str(number)]
    key, value = parquet[0]
    assert str(key) == str(number)
    assert Decimal(str(value)) == number


def test_a_truth_value_is_the_same_word_in_both_files() -> None:
    lines, _, parquet = read(table_files(["key", "n"], [[True, 1], [False, 2]], 1))
    assert [line[0] for line in lines[1:]] == [str(row[0]) for row in parquet] == ["True", "False"]


def test_a_card_is_text_that_people_and_programs_read() -> None:
    file = card_file({"б": 1, "a": "长春", "nested": {"z": 1, "a": 2}})
    assert json.loads(file.data) == {"б": 1, "a": "长春", "nested": {"z": 1, "a": 2}}
    assert "长春".encode() in file.data
    assert card_file({"nested": {"a": 2, "z": 1}, "a": "长春", "б": 1}) == file


def test_a_model_is_its_bytes_and_its_card() -> None:
    model, card = model_files(base64.b64encode(b"onnx").decode(), {"a": 1})
    assert (model.name, model.data, card.name) == ("model.onnx", b"onnx", "card.json")


@pytest.mark.parametrize("text", ["a", "b25u-A==", "b25ueA==\n!"])
def test_what_is_no_base64_is_no_model(text: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)base64|padding"):
        model_files(text, {})
