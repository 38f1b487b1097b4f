"""How a job describes a file: whole or not at all (D3); a problem is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.spec import FileProduct, InvalidJobError, load_job
from tests import handing


def load(folder: Path, lines: str) -> FileProduct:
    text = handing.MANIFEST.format(number=1, scenario="S-1", described=lines)
    (folder / "job.toml").write_text(text)
    (folder / "main.py").write_text("def main(job):\n    pass\n")
    (product,) = load_job(folder).products
    assert isinstance(product, FileProduct)
    return product


def test_a_table_has_columns(tmp_path: Path) -> None:
    product = load(tmp_path, handing.described("csv", 1000))
    assert (product.form, product.run, product.path, product.format, product.size) == (
        "file",
        "work",
        "left",
        "csv",
        1000,
    )
    assert list(product.columns.items()) == [("district", "text"), ("visits", "integer"), ("share", "decimal(2)")]


def test_a_picture_has_none(tmp_path: Path) -> None:
    assert load(tmp_path, handing.described("png")).columns == {}


def test_a_file_may_go_undescribed(tmp_path: Path) -> None:
    assert load(tmp_path, "") == FileProduct("handed", "work")


WRONG = {
    "no path": 'format = "text"\nbytes = 99',
    "no format": 'path = "left"\nbytes = 99',
    "no bytes": 'path = "left"\nformat = "text"',
    "another format": 'path = "left"\nformat = "html"\nbytes = 99',
    "absolute path": 'path = "/etc/passwd"\nformat = "text"\nbytes = 99',
    "path upwards": 'path = "../left"\nformat = "text"\nbytes = 99',
    "hidden": 'path = ".left"\nformat = "text"\nbytes = 99',
    "too few bytes": 'path = "left"\nformat = "text"\nbytes = 15',
    "too many bytes": 'path = "left"\nformat = "text"\nbytes = 4194305',
    "table without columns": 'path = "left"\nformat = "csv"\nbytes = 99',
    "text with columns": 'path = "left"\nformat = "text"\nbytes = 99\ncolumns = { a = "text" }',
    "column of no type": 'path = "left"\nformat = "csv"\nbytes = 99\ncolumns = { a = "float" }',
    "column of no name": 'path = "left"\nformat = "csv"\nbytes = 99\ncolumns = { "a b" = "text" }',
    "only columns": 'columns = { a = "text" }',
    "unknown key": 'path = "left"\nformat = "text"\nbytes = 99\nname_of = "x"',
}


@pytest.mark.parametrize("name", list(WRONG))
def test_half_a_description_is_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidJobError) as caught:
        load(tmp_path, WRONG[name])
    assert {one.code for one in caught.value.problems} <= {"job.missing-key", "job.wrong-value", "job.unknown-key"}


def test_a_product_refuses_half_a_description() -> None:
    for wrong in ({"format": "csv", "size": 9}, {"format": "html", "size": 9}, {"format": "text", "size": 0}):
        with pytest.raises(ValueError, match=r"file|columns"):
            FileProduct("a", "b", path="left", **wrong)  # type: ignore[arg-type]
