"""One meaning for a CSV file: the fast reader, the careful reader and any cut into chunks give the same cells or the same error."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from hypothesis import example, given
from hypothesis import strategies as st

from lineage.errors import DataFileError
from sandbox.ingest import csvfile
from sandbox.ingest.csvfile import CsvBlocks
from sandbox.ingest.lines import Tally, text_chunks
from sandbox.ingest.source import Format, Source


SOURCE = Source(Path("x.csv"), Format.CSV)
Outcome = tuple[list[tuple[int, tuple[str, ...]]], str, object]


def read(text: str, block: int = 1 << 18) -> Outcome:
    """The records, and the error that ended them."""
    records: list[tuple[int, tuple[str, ...]]] = []
    try:
        with patch("sandbox.ingest.lines.BLOCK", block):
            for part in CsvBlocks(chunks(text), SOURCE):
                cells = zip(*(column.to_pylist() for column in part.columns), strict=True)
                records += zip(part.lines, cells, strict=True)
    except DataFileError as error:
        return records, error.code, error.params.get("line")
    return records, "", None


def chunks(text: str) -> Iterator[str]:
    return text_chunks(io.BytesIO(text.encode()), SOURCE, Tally())


def read_carefully(text: str, block: int = 1 << 18) -> Outcome:
    with patch.object(csvfile, "_is_plain", return_value=False):
        return read(text, block)


pieces = st.sampled_from(
    ['"', '""', ",", "\n", "\r\n", "\r", "x", "张", " ", "\ufeff", "\u2028", "\u0085", "'", "a,b\n", '","', '"\n']
)
texts = st.lists(pieces, max_size=14).map(lambda parts: "a,b\n" + "".join(parts))


@given(texts)
@example('a,b\n"""",x\n')
@example('a,b\n""x,y\n')
@example('a,b\nx""y,z\n')
@example('a,b\n"x"" ,y\n')
@example("a,b\nx,y\n\r\n")
@example('a,b\n"x\r\ny",z\n')
@example('a,b\n,"\n')
def test_the_fast_reader_never_differs(text: str) -> None:
    fast, careful = read(text), read_carefully(text)
    assert fast[1:] == careful[1:]
    if not fast[1]:
        assert fast == careful


@given(texts, st.integers(1, 40))
def test_where_the_file_is_cut_makes_no_difference(text: str, block: int) -> None:
    whole, cut = read(text), read(text, block)
    assert whole[1:] == cut[1:]
    if not whole[1]:
        assert whole == cut


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]), st.integers(1, 60))
def test_what_a_csv_writer_writes_is_read_back(rows: list[tuple[str, str]], end: str, block: int) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    records, code, _ = read(written.getvalue(), block)
    assert not code
    assert [record for _, record in records] == rows


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_lines_are_counted_as_an_editor_counts_them(rows: list[tuple[str, str]]) -> None:
    written, starts = io.StringIO(newline=""), []
    writer = csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in [("a", "b"), *rows]:
        starts.append(written.getvalue().count("\n") + 1)
        writer.writerow(row)
    records, _, _ = read(written.getvalue())
    assert [line for line, _ in records] == starts[1:]


def test_the_fast_reader_is_used_at_all() -> None:
    with patch.object(csvfile, "_arrow_columns", wraps=csvfile._arrow_columns) as fast:
        read('a,b\n1,2\n"x, y","say ""z"""\n')
    assert fast.call_count == 1
