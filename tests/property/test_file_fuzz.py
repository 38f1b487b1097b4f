"""Parsers of files under bytes nobody wrote: each gives a canonical form or one known problem, and the form is its own again.

``SHUZHA_FUZZ`` multiplies the number of examples for a long run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from export_gate.file.canonical import Canonical, Table, from_wire
from export_gate.file.cells import Column
from export_gate.file.problem import UnreadableError
from export_gate.file.reading import OTHERS, TABLES, read
from tests import files


TIMES = int(os.environ.get("SHUZHA_FUZZ", "1"))
FUZZED = settings(
    max_examples=150 * TIMES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
FORMS = [*TABLES, *OTHERS]
SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "csv": (files.csv_text(), b'district,visits,share\n"a ""b""",1,2\n'),
    "json-lines": (files.json_lines(),),
    "parquet": (files.parquet(), files.parquet(compression="zstd", data_page_version="2.0", use_dictionary=False)),
    "arrow": (files.arrow(), files.arrow(compression="lz4")),
    "png": (files.image(), files.image(files.picture(mode="P")), files.image(files.picture(mode="LA"))),
    "jpeg": (files.image(form="JPEG"), files.image(files.picture(mode="L"), "JPEG")),
    "text": ("今年就诊增加。\nVisits rose.\n".encode(),),
}


def canonical(form: str, data: bytes) -> Canonical | None:
    """Read, and hold the promise: a canonical form that is made again from its wire, or a known problem."""
    columns = files.COLUMNS if form in TABLES else ()
    try:
        found = read(data, form, columns, 1 << 20)
    except UnreadableError:
        return None
    assert from_wire(form, columns, found.wire) == found
    assert len(found.data) <= 1 << 20
    return found


@st.composite
def broken(draw: st.DrawFn, form: str) -> bytes:
    """A good file after a few cuts, overwrites, doublings and insertions."""
    data = bytearray(draw(st.sampled_from(SEEDS[form])))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.integers(0, 40))
        match draw(st.sampled_from(["overwrite", "insert", "cut", "double"])):
            case "overwrite":
                new = draw(st.binary(max_size=8))
                data[place : place + len(new)] = new
            case "insert":
                data[place:place] = draw(st.binary(max_size=length))
            case "cut":
                del data[place : place + length]
            case _:
                data[place:place] = data[place : place + length]
    return bytes(data)


@pytest.mark.parametrize("form", FORMS)
@FUZZED
@given(data=st.data())
def test_a_broken_file_never_breaks_its_parser(form: str, data: st.DataObject) -> None:
    canonical(form, data.draw(broken(form)))


@pytest.mark.parametrize("form", FORMS)
@FUZZED
@given(data=st.binary(max_size=2000))
def test_arbitrary_bytes_never_break_a_parser(form: str, data: bytes) -> None:
    canonical(form, data)
    canonical(form, SEEDS[form][0][:8] + data)


CELLS = st.none() | st.text(max_size=30) | st.integers() | st.floats() | st.booleans() | st.dates().map(str)


@FUZZED
@given(value=CELLS, column=st.sampled_from(["text", "integer", "decimal(3)", "date", "boolean"]))
def test_a_cells_spelling_is_its_own_again(value: object, column: str) -> None:
    declared = Column.declared("a", column)
    try:
        cell = declared.cell(value, 1)
    except UnreadableError:
        return
    assert declared.cell(cell, 1) == cell
    assert cell != ""


NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
WHOLE = st.integers(-(10**17), 10**17)


@FUZZED
@given(rows=st.lists(st.tuples(NAMES, WHOLE, st.decimals(-1000, 1000, places=2)), max_size=20))
def test_an_honest_table_says_the_same_in_any_order(rows: list[tuple[str, int, object]]) -> None:
    def written(given: list[tuple[str, int, object]]) -> bytes:
        import json

        lines = ({"district": name, "visits": visits, "share": str(share)} for name, visits, share in given)
        return "".join(json.dumps(line) + "\n" for line in lines).encode()

    first, second = (canonical("json-lines", written(order)) for order in (rows, rows[::-1]))
    assert first == second
    if isinstance(first, Table):
        again = canonical("csv", first.data)
        assert again == first
