"""Each format comes to one canonical form; what a format can carry beside its values does not (B2, B11, B20–B23)."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin

from export_gate.file.canonical import Picture, Table, Text, from_wire
from export_gate.file.cells import Column
from export_gate.file.problem import UnreadableError
from export_gate.file.reading import read
from tests import files


MUCH = 1 << 20


def canonical(data: bytes, form: str, columns: tuple[Column, ...] = files.COLUMNS) -> bytes:
    return read(data, form, columns if form not in {"png", "jpeg", "text"} else (), MUCH).data


@pytest.mark.parametrize("form", list(files.HONEST))
def test_every_format_comes_to_the_same_bytes(form: str) -> None:
    assert canonical(files.HONEST[form], form) == files.CANONICAL


@pytest.mark.parametrize("form", list(files.HONEST))
def test_what_crosses_the_wall_is_the_same_again(form: str) -> None:
    found = read(files.HONEST[form], form, files.COLUMNS, MUCH)
    assert from_wire(form, files.COLUMNS, found.wire) == found


def test_the_parquet_that_leaves_holds_the_values_and_nothing_else() -> None:
    made = read(files.csv_text(), "csv", files.COLUMNS, MUCH)
    (parquet,) = [file.data for file in made.files if file.name == "data.parquet"]
    with pq.ParquetFile(io.BytesIO(parquet)) as opened:
        assert opened.schema_arrow.metadata is None
        assert not opened.metadata.row_group(0).column(0).is_stats_set
        assert str(opened.schema_arrow.field("share").type) == "decimal128(20, 2)"
        assert opened.read().column("visits").to_pylist() == [100, 7, 20]


def test_values_are_typed_rounded_and_sorted() -> None:
    columns = (Column("n", "integer"), Column("x", "decimal", 1), Column("d", "date"), Column("t", "boolean"))
    data = b"n,x,d,t\n10,-0.04,2026-01-31,True\n9,1e3,,false\n,2.25,2026-02-01,\n"
    assert canonical(data, "csv", columns) == b"n,x,d,t\n,2.2,2026-02-01,\n9,1000.0,,false\n10,0.0,2026-01-31,true\n"


def test_typed_values_of_arrow_are_taken_as_they_are() -> None:
    columns = (Column("n", "integer"), Column("x", "decimal", 1), Column("d", "date"), Column("t", "boolean"))
    table = pd.DataFrame(
        {
            "n": [3.0, np.nan],
            "x": [np.float32(0.5), None],
            "d": pd.to_datetime(["2026-01-31", None]),
            "t": [True, None],
        }
    )
    data = files.parquet(pa.Table.from_pandas(table))
    assert canonical(data, "parquet", columns) == b"n,x,d,t\n,,,\n3,0.5,2026-01-31,true\n"


def test_undeclared_columns_are_left_out() -> None:
    for form in files.HONEST:
        assert canonical(files.HONEST[form], form, files.COLUMNS[:1]) == b"district\neast\nnorth\nsouth\n"


def test_a_column_may_be_missing_in_a_json_line_but_not_in_all() -> None:
    columns = (Column("a", "integer"), Column("b", "text"))
    assert canonical(b'{"a": 1}\n{"b": "x", "c": 2}\n', "json-lines", columns) == b"a,b\n,x\n1,\n"
    with pytest.raises(UnreadableError) as caught:
        canonical(b'{"a": 1}\n', "json-lines", columns)
    assert caught.value.code == "file.columns-missing"


WRONG = {
    "empty": (b"", "csv", "file.empty"),
    "not utf-8": (b"district,visits,share\n\xff\xfe,1,2\n", "csv", "file.not-utf8"),
    "column missing": (b"district,visits\na,1\n", "csv", "file.columns-missing"),
    "column twice": (b"district,visits,share,share\na,1,1,1\n", "csv", "file.columns-missing"),
    "short row": (b"district,visits,share\na,1\n", "csv", "file.bad-csv"),
    "open quote": (b'district,visits,share\n"a,1,2\n', "csv", "file.bad-csv"),
    "text behind a quote": (b'district,visits,share\n"a"b,1,2\n', "csv", "file.bad-csv"),
    "line end in a cell": (b'district,visits,share\n"a\nb",1,2\n', "csv", "file.long-line"),
    "no integer": (b"district,visits,share\na,1.5,2\n", "csv", "file.bad-integer"),
    "full-width digits": ("district,visits,share\na,１,2\n".encode(), "csv", "file.bad-integer"),
    "too many digits": (b"district,visits,share\na," + b"1" * 19 + b",2\n", "csv", "file.bad-integer"),
    "not a number": (b"district,visits,share\na,1,nan\n", "csv", "file.bad-decimal"),
    "an exponent of 99": (b"district,visits,share\na,1,9e99\n", "csv", "file.bad-decimal"),
    "json no object": (b"[1, 2]\n", "json-lines", "file.bad-json-line"),
    "json nested": (b'{"district": {"a": 1}}\n', "json-lines", "file.bad-json-line"),
    "json name twice": (b'{"district": "a", "district": "b"}\n', "json-lines", "file.bad-json-line"),
    "json NaN": (b'{"share": NaN}\n', "json-lines", "file.bad-json-line"),
    "json deep": (b"[" * 60_000 + b"\n", "json-lines", "file.bad-json-line"),
    "json integer of many digits": (b'{"visits": ' + b"9" * 60_000 + b"}\n", "json-lines", "file.bad-json-line"),
    "json long line": (b"[" * 1_000_000, "json-lines", "file.long-line"),
    "json two in a line": (b'{"visits": 1} {"visits": 2}\n', "json-lines", "file.bad-json-line"),
    "parquet said, csv left": (files.csv_text(), "parquet", "file.other-format"),
    "csv said, parquet left": (files.parquet(), "csv", "file.other-format"),
    "zero-width space": ("a\u200bb\n".encode(), "text", "file.invisible-character"),
    "tag character": ("a\U000e0041\n".encode(), "text", "file.invisible-character"),
    "variation selector": ("a\ufe01\n".encode(), "text", "file.invisible-character"),
    "Hangul filler": ("a\u3164\n".encode(), "text", "file.invisible-character"),
    "bidirectional override": ("a\u202eb\n".encode(), "text", "file.invisible-character"),
    "tab": (b"a\tb\n", "text", "file.invisible-character"),
    "lone carriage return": (b"a\rb\n", "text", "file.invisible-character"),
    "zero byte": (b"a\0b\n", "text", "file.invisible-character"),
    "stacked marks": (("a" + "\u0315" * 9).encode(), "text", "file.invisible-character"),
    "tag": (b"see <script>\n", "text", "file.markup"),
    "only blanks": (b" \n \n", "text", "file.empty"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_what_is_wrong_is_said_by_one_code(name: str) -> None:
    data, form, code = WRONG[name]
    with pytest.raises(UnreadableError) as caught:
        canonical(data, form)
    assert caught.value.code == code


def test_text_is_composed_and_trimmed() -> None:
    data = "\ufeff标题\u3000一  \r\ne\u0301 a < b \n\n\n".encode()
    assert canonical(data, "text") == "标题 一\né a < b\n".encode()


def test_a_file_longer_than_it_reserves_stays_in() -> None:
    size = len(files.CANONICAL)
    assert read(files.csv_text(), "csv", files.COLUMNS, size).data == files.CANONICAL
    with pytest.raises(UnreadableError) as caught:
        read(files.csv_text(), "csv", files.COLUMNS, size - 1)
    assert caught.value.code == "file.longer-than-said"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_pictures_come_to_sixteen_levels(mode: str, form: str) -> None:
    if form == "JPEG" and mode in {"RGBA", "LA", "P", "1"}:
        mode = "RGB"
    found = read(files.image(files.picture(mode=mode), form), form.lower(), (), MUCH)
    assert isinstance(found, Picture)
    assert (found.width, found.height) == (40, 30)
    assert set(found.pixels) <= set(range(0, 256, 17))
    with Image.open(io.BytesIO(found.data)) as shown:
        assert shown.convert("RGB").tobytes() == found.pixels
        assert shown.info == {}
    assert from_wire(form.lower(), (), found.wire) == found


def test_what_a_picture_carries_beside_its_pixels_is_gone() -> None:
    plain = files.picture()
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", "110101199003070011")
    texts.add_text("Comment", "110101199003070011", zip=True)
    loaded = files.image(plain, pnginfo=texts, icc_profile=b"x" * 500, dpi=(300, 300))
    assert canonical(loaded, "png") == canonical(files.image(plain), "png")
    exif = Image.Exif()
    exif[0x010E] = "110101199003070011"
    commented = files.image(plain, "JPEG", exif=exif, comment=b"110101199003070011")
    assert canonical(commented, "jpeg") == canonical(files.image(plain, "JPEG"), "jpeg")


def test_low_bits_and_what_is_transparent_are_gone() -> None:
    plain = files.picture()
    noise = np.random.default_rng(7)
    levels = np.asarray(plain).astype(np.int64)
    marked = np.clip(levels + noise.integers(-3, 4, levels.shape), 0, 255).astype(np.uint8)
    assert canonical(files.image(Image.fromarray(marked)), "png") == canonical(files.image(plain), "png")
    hidden = np.dstack([noise.integers(0, 256, (30, 40, 3)), np.zeros((30, 40))]).astype(np.uint8)
    white = files.image(Image.new("RGB", (40, 30), (255, 255, 255)))
    assert canonical(files.image(Image.fromarray(hidden)), "png") == canonical(white, "png")


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"rows": 3},
        {"rows": [["east", "100"]]},
        {"rows": [["east", 100, "0.12"]]},
        {"rows": [["east", "0100", "0.12"]]},
        {"rows": [["east", "100", "0.123"]]},
        {"rows": [["b", "1", "0.10"], ["a", "1", "0.10"]]},
        {"rows": [["a\u200b", "1", "0.10"]]},
    ],
)
def test_a_parser_that_was_taken_over_cannot_say_more_than_an_honest_one(value: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_wire("csv", files.COLUMNS, value)


def test_neither_a_picture_nor_a_text_that_is_not_canonical() -> None:
    for value in ({"width": 1, "height": 1, "pixels": "AA=="}, {"width": 1 << 30, "height": 1, "pixels": ""}, {}):
        with pytest.raises(ValueError, match=r"."):
            from_wire("png", (), value)
    with pytest.raises(ValueError, match=r"."):
        Picture(1, 1, b"\x01\x00\x00")
    for text in ("a", "a\u200b\n", "e\u0301\n", 5):
        with pytest.raises(ValueError, match=r"."):
            from_wire("text", (), {"text": text})
    assert from_wire("text", (), {"text": "a\n"}) == Text("a\n")


def test_a_table_refuses_what_is_not_its_canonical_form() -> None:
    with pytest.raises(ValueError, match="order"):
        Table(files.COLUMNS[:1], (("b",), ("a",)))
