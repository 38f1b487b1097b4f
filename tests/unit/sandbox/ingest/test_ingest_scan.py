"""The reading of text files: every way a file can be wrong has its error, its line, and a bound on what is read."""

from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path

import pytest

from lineage.errors import DataFileError, DefinitionError
from sandbox.ingest import STRING, ColumnSchema, Format, Source, TableSchema
from sandbox.ingest.lines import BLOCK, LINE_CAP, Tally, text_chunks
from sandbox.ingest.source import open_file
from sandbox.ingest.staging import ROW_GROUP_BYTES, stage_text


def schema_of(*names: str) -> TableSchema:
    return TableSchema(tuple(ColumnSchema(name, STRING) for name in names))


AB = schema_of("a", "b")


def staged(folder: Path, data: bytes, schema: TableSchema = AB, **options: str) -> list[dict[str, object]]:
    import pyarrow.parquet as pq

    path = folder / "people.csv"
    path.write_bytes(data)
    kind = Format(options.pop("form", "csv"))
    stage_text(Source(path, kind, **options), schema, folder / "staged.parquet")
    rows: list[dict[str, object]] = pq.read_table(folder / "staged.parquet").to_pylist()
    return rows


GOOD = [
    ("plain", b"a,b\n1,2\n3,4\n", [(2, "1", "2"), (3, "3", "4")]),
    ("no line end at the end", b"a,b\n1,2", [(2, "1", "2")]),
    ("windows line ends", b"a,b\r\n1,2\r\n", [(2, "1", "2")]),
    ("byte order mark", b"\xef\xbb\xbfa,b\n1,2\n", [(2, "1", "2")]),
    ("blank lines at the end", b"a,b\n1,2\n\n\r\n", [(2, "1", "2")]),
    ("columns in another order", b"b,a\n2,1\n", [(2, "1", "2")]),
    ("blanks round a header name", b" a , b\n1,2\n", [(2, "1", "2")]),
    ("quoted delimiter", b'a,b\n"1,1",2\n', [(2, "1,1", "2")]),
    ("doubled quotes", b'a,b\n"say ""x""",2\n', [(2, 'say "x"', "2")]),
    ("quoted nothing", b'a,b\n"",2\n', [(2, "", "2")]),
    ("quote inside an unquoted field", b'a,b\n5" pipe,2\n', [(2, '5" pipe', "2")]),
    ("line end inside quotes", b'a,b\n"1\n1",2\n3,4\n', [(2, "1\n1", "2"), (4, "3", "4")]),
    ("quoted header", b'"a","b"\n1,2\n', [(2, "1", "2")]),
    ("unicode line separator is no line end", "a,b\n1\u2028,2\n".encode(), [(2, "1\u2028", "2")]),
    ("mark inside the text is text", "a,b\n\ufeff1,2\n".encode(), [(2, "\ufeff1", "2")]),
]


@pytest.mark.parametrize(("data", "expected"), [row[1:] for row in GOOD], ids=[row[0] for row in GOOD])
def test_good_files_give_their_cells_and_lines(tmp_path: Path, data: bytes, expected: list[tuple[object, ...]]) -> None:
    rows = staged(tmp_path, data)
    assert [(row["line"], row["c0"], row["c1"]) for row in rows] == expected
    assert [row["n"] for row in rows] == list(range(1, len(expected) + 1))


LONG = b"x" * (LINE_CAP + 1)
BAD = [
    ("empty file", b"", "empty-file", None),
    ("only a byte order mark", b"\xef\xbb\xbf", "empty-file", None),
    ("only a header", b"a,b\n", "no-rows", None),
    ("only a header and blank lines", b"a,b\n\n\n", "no-rows", None),
    ("blank first line", b"\na,b\n1,2\n", "header-empty-name", None),
    ("empty header name", b"a,\n1,2\n", "header-empty-name", None),
    ("duplicate header", b"a,a\n1,2\n", "header-duplicate", None),
    ("duplicate header but for blanks", b"a, a\n1,2\n", "header-duplicate", None),
    ("line end inside a header name", b'a,"b\nc"\n1,2\n', "csv-quotes", 1),
    ("missing column", b"a,c\n1,2\n", "column-missing", None),
    ("undeclared column", b"a,b,c\n1,2,3\n", "column-unexpected", None),
    ("too many columns", b",".join(b"c%d" % index for index in range(2001)) + b"\n", "too-many-columns", None),
    ("field too few", b"a,b\n1,2\n3\n", "ragged", 3),
    ("field too many", b"a,b\n1,2\n3,4,5\n", "ragged", 3),
    ("ragged after a quoted line end", b'a,b\n"1\n1",2\n3\n', "ragged", 4),
    ("blank line inside", b"a,b\n1,2\n\n3,4\n", "ragged", 3),
    ("unclosed quote", b'a,b\n1,"2\n3,4\n', "csv-quotes", 2),
    ("text after a closing quote", b'a,b\n1,"2"x\n', "csv-quotes", 2),
    ("lone carriage return", b"a,b\n1\r2,3\n", "csv-quotes", 2),
    ("nul byte", b"a,b\n1,2\n3,\x004\n", "nul-byte", 3),
    ("not utf-8", b"a,b\n1,2\n\xff,4\n", "encoding", 3),
    ("gb18030 read as utf-8", "a,b\n1,2\n张三,4\n".encode("gb18030"), "encoding-is-gb18030", 3),
    ("utf-16", "a,b\n1,2\n".encode("utf-16"), "encoding-utf16", None),
    ("line over the cap", b"a,b\n" + LONG + b",1\n", "line-too-long", 2),
    ("field over its limit", b'a,b\n1,"' + b"x" * (1 << 17) + b'x"\n', "field-too-long", 2),
    ("field over its limit without quotes", b"a,b\n1," + b"x" * (1 << 17) + b"x\n", "field-too-long", 2),
    ("quote that nobody closes", b'a,b\n1,2\n3,"' + b"x\n" * (1 << 20), "field-too-long", 3),
    ("record without end", b'a,b\n1,2\n"' + b'x\n",","' * (1 << 19), "csv-quotes", 3),
]


@pytest.mark.parametrize(("data", "code", "line"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_files_say_what_and_where(tmp_path: Path, data: bytes, code: str, line: int | None) -> None:
    with pytest.raises(DataFileError) as caught:
        staged(tmp_path, data)
    assert caught.value.code == f"import.{code}"
    assert caught.value.params["file"] == "people.csv"
    assert line is None or caught.value.params["line"] == line


JSON_GOOD = [
    ("scalars keep their text", b'{"a": 1.50, "b": true}\n', [(1, "1.50", "true")]),
    ("missing and null", b'{"a": "x"}\n{"a": null, "b": "y"}\n', [(1, "x", None), (2, None, "y")]),
    ("long number", b'{"a": 123456789012345678901234567890, "b": 1e400}\n', [(1, "1234567890" * 3, "1e400")]),
    ("blank lines at the end", b'{"a": "x", "b": "y"}\n\n', [(1, "x", "y")]),
    ("escapes", b'{"a": "\\u5f20", "b": "\\ud83d\\ude00"}\n', [(1, "张", "😀")]),
]


@pytest.mark.parametrize(("data", "expected"), [row[1:] for row in JSON_GOOD], ids=[row[0] for row in JSON_GOOD])
def test_good_json_lines(tmp_path: Path, data: bytes, expected: list[tuple[object, ...]]) -> None:
    rows = staged(tmp_path, data, form="json-lines")
    assert [(row["line"], row["c0"], row["c1"]) for row in rows] == expected


FINE = b'{"a": 1, "b": 2}\n'
JSON_BAD = [
    ("empty file", b"", "empty-file", None),
    ("array", FINE + b"[1, 2]\n", "json-not-object", 2),
    ("number", FINE + b"12\n", "json-not-object", 2),
    ("cut off", FINE + b'{"a": 1', "json-not-object", 2),
    ("two objects in a line", FINE + b'{"a": 1} {"a": 2}\n', "json-not-object", 2),
    ("not a number", FINE + b'{"a": NaN}\n', "json-not-object", 2),
    ("nested object", FINE + b'{"a": {"b": 1}}\n', "json-nested", 2),
    ("nested array", FINE + b'{"a": [1]}\n', "json-nested", 2),
    ("nested beyond the stack", FINE + b'{"a": ' + b"[" * 100_000 + b"\n", "json-not-object", 2),
    ("repeated key", FINE + b'{"a": 1, "a": 2}\n', "json-repeated-key", 2),
    ("undeclared key", FINE + b'{"c": 1}\n', "json-unknown-key", 2),
    ("declared key that never comes", b'{"a": 1}\n', "column-missing", None),
    ("blank line inside", FINE + b"\n" + FINE, "json-not-object", 2),
    ("half a surrogate pair", FINE + b'{"a": "\\ud83d"}\n', "json-not-text", 2),
    ("escaped nul", FINE + b'{"a": "\\u0000"}\n', "json-not-text", 2),
    ("wide object", b"{" + b",".join(b'"k%d":1' % index for index in range(2001)) + b"}\n", "too-many-columns", 1),
]


@pytest.mark.parametrize(("data", "code", "line"), [row[1:] for row in JSON_BAD], ids=[row[0] for row in JSON_BAD])
def test_bad_json_lines_say_what_and_where(tmp_path: Path, data: bytes, code: str, line: int | None) -> None:
    with pytest.raises(DataFileError) as caught:
        staged(tmp_path, data, form="json-lines")
    assert caught.value.code == f"import.{code}"
    assert line is None or caught.value.params["line"] == line


CHINESE = "a,b\n" + "身份证号码与姓名,统一社会信用代码\n" * 3


@pytest.mark.parametrize("encoding", ["gb18030", "GBK", "gb2312"])
def test_national_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    rows = staged(tmp_path, CHINESE.encode("gb18030"), encoding=encoding)
    assert rows[0]["c0"] == "身份证号码与姓名"


@pytest.mark.parametrize("data", [CHINESE.encode(), b"\xef\xbb\xbf" + b"a,b\n1,2\n"], ids=["text", "mark"])
def test_utf8_declared_as_gb18030_is_refused_and_not_garbled(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataFileError, match=r"import\.encoding-is-utf8"):
        staged(tmp_path, data, encoding="gb18030")


@pytest.mark.parametrize(
    "options",
    [{"encoding": "latin-1"}, {"delimiter": ""}, {"delimiter": '"'}, {"delimiter": "，"}, {"delimiter": "\n"}],
)
def test_sources_that_no_strict_reader_exists_for(options: dict[str, str]) -> None:
    with pytest.raises(DefinitionError):
        Source(Path("x"), Format.CSV, **options)


class Counting(io.RawIOBase):
    """A file of one letter without end, and how much of it was asked for."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        self.given += size
        return b"x" * size


def test_an_endless_line_is_refused_after_about_the_cap() -> None:
    endless = Counting()
    with pytest.raises(DataFileError, match=r"import\.line-too-long"):
        list(text_chunks(endless, Source(Path("x"), Format.CSV), Tally()))  # type: ignore[arg-type]
    assert endless.given <= LINE_CAP + BLOCK


@pytest.mark.parametrize("form", ["csv", "json-lines"])
def test_a_sparse_file_of_ten_gigabytes_is_refused_in_constant_memory(tmp_path: Path, form: str) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as handle:
        handle.write(b"a,b\n" if form == "csv" else FINE)
        handle.truncate(10 << 30)
    tracemalloc.start()
    with pytest.raises(DataFileError, match=r"import\.line-too-long"):
        stage_text(Source(path, Format(form)), AB, tmp_path / "staged.parquet")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_long_rows_end_a_row_group_early(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = tmp_path / "long"
    with path.open("wb") as handle:
        handle.write(b"a,b\n")
        for _ in range(200):
            handle.write(b"y" * 100_000 + b"," + b"z" * 100_000 + b"\n")
    stage_text(Source(path, Format.CSV), AB, tmp_path / "staged.parquet")
    footer = pq.read_metadata(tmp_path / "staged.parquet")
    most = max(footer.row_group(index).num_rows for index in range(footer.num_row_groups))
    assert footer.num_rows == 200
    assert most * 200_000 <= ROW_GROUP_BYTES + LINE_CAP + BLOCK


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, code in [
        (tmp_path / "pipe", "not-a-file"),
        (tmp_path, "not-a-file"),
        (Path("/dev/zero"), "not-a-file"),
        (tmp_path / "none", "no-file"),
    ]:
        with pytest.raises(DataFileError) as caught, open_file(Source(path, Format.CSV)):
            pass
        assert caught.value.code == f"import.{code}"


def test_the_digest_is_of_the_whole_file(tmp_path: Path) -> None:
    import hashlib

    data = b"\xef\xbb\xbfa,b\n" + b"1,2\n" * 200_000
    path = tmp_path / "people.csv"
    path.write_bytes(data)
    tally = stage_text(Source(path, Format.CSV), AB, tmp_path / "staged.parquet")
    assert (tally.size, tally.digest.hexdigest()) == (len(data), hashlib.sha256(data).hexdigest())
