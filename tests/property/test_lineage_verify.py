"""Whatever one byte of a stored log is changed, verification says so."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.verify import verify
from tests.fixtures_lineage import Rows, add_entries, open_log, tamper


def changed(data: bytes, draw: st.DataObject) -> bytes:
    spot = draw.draw(st.integers(0, len(data) - 1))
    other = draw.draw(st.integers(1, 255))
    return data[:spot] + bytes([data[spot] ^ other]) + data[spot + 1 :]


def change_something(rows: Rows, draw: st.DataObject) -> None:
    seq = draw.draw(st.sampled_from(sorted(rows.headers)))
    match draw.draw(st.sampled_from(["header", "salt", "body", "node", "checkpoint", "subject"])):
        case "header":
            rows.headers[seq] = changed(rows.headers[seq], draw)
            if draw.draw(st.booleans()):
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    rows.rebuild()
        case "salt":
            rows.payloads[seq] = (changed(rows.payloads[seq][0], draw), rows.payloads[seq][1])
        case "body":
            rows.payloads[seq] = (rows.payloads[seq][0], changed(rows.payloads[seq][1], draw))
        case "node":
            key = draw.draw(st.sampled_from(sorted(rows.nodes)))
            rows.nodes[key] = changed(rows.nodes[key], draw)
        case "checkpoint":
            size = draw.draw(st.sampled_from(sorted(rows.checkpoints)))
            rows.checkpoints[size] = changed(rows.checkpoints[size], draw)
        case _:
            row = draw.draw(st.sampled_from(sorted(rows.subjects)))
            rows.subjects = rows.subjects - {row} | {(row[0], row[1] + "x")}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_no_byte_of_a_log_is_free(transactions: list[int], draw: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = open_log(f"sqlite:///{folder}/log.sqlite", Path(folder))
        for number, count in enumerate(transactions):
            add_entries(log, number * 10, count)
        kept = log.checkpoint_file.read_text()
        with log.database.read() as connection:
            assert verify(connection, log.signer.verifier, [kept]).holds
        tamper(log, lambda rows: change_something(rows, draw))
        with log.database.read() as connection:
            assert not verify(connection, log.signer.verifier, [kept]).holds
