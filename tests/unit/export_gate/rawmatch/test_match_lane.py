"""The worker's side on folders: what was laid ready is read, searched, and compared with the records."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from export_gate.rawmatch.carrying import FILES, IDENTIFIERS, RECORDS, carry_out_match, write_identifiers
from lineage.errors import MissingPartError


ASKED = {"seed": 5, "opaque": True}
INCOMES = [2000 + 37 * (n * n % 211) for n in range(120)]
AGES = [18 + n * 7 % 61 for n in range(120)]


def laid(folder: Path, text: str) -> Path:
    for name in (FILES, IDENTIFIERS, "job"):
        (folder / name).mkdir()
    (folder / FILES / "data.csv").write_text(text)
    write_identifiers(folder / IDENTIFIERS, {"resident_id": pa.array(["22010419900307123X"])})
    write_deltalake(folder / f"{RECORDS}visits", pa.table({"age": AGES, "income": INCOMES, "clinic": ["a"] * 120}))
    return folder


def reasons(folder: Path) -> set[str]:
    return {one["reason"] for one in carry_out_match(ASKED, folder / "job", folder)["findings"]}


def test_rows_of_the_table_are_for_people_to_judge(tmp_path: Path) -> None:
    rows = "\n".join(f"{income * 2 + 1},{age}" for income, age in sorted(zip(INCOMES, AGES, strict=True)))
    assert "rawmatch.rows-like" in reasons(laid(tmp_path, f"x,y\n{rows}\n"))


def test_a_small_table_passes_every_search(tmp_path: Path) -> None:
    text = "district,visits\n220104,130\n220105,90\n"
    assert reasons(laid(tmp_path, text)) == {
        "rawmatch.passed",
        "rawmatch.no-hash",
        "rawmatch.no-pseudonyms",
        "rawmatch.no-rows",
    }


def test_without_identifiers_nothing_is_said_to_be_clean(tmp_path: Path) -> None:
    folder = laid(tmp_path, "a,b\n1,2\n")
    (folder / IDENTIFIERS / "identifiers.parquet").unlink()
    with pytest.raises(MissingPartError) as caught:
        reasons(folder)
    assert caught.value.code == "rawmatch.no-identifiers"
