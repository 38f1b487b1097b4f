"""Proofs that travel: what cannot be proved is refused, not made up."""

from __future__ import annotations

import pytest

from lineage.clock import parse_stamp, stamp, system_clock
from lineage.errors import GateRefusedError
from lineage.kinds import Kind
from lineage.log import Log
from lineage.proof import Proof, prove
from tests.fixtures_lineage import CLERK, NOON, Rows, add_entries, tamper


def test_an_entry_that_is_not_there_has_no_proof(new_log: Log) -> None:
    with new_log.database.read() as connection, pytest.raises(GateRefusedError, match="no-entry"):
        prove(connection, 0)
    add_entries(new_log, 0, 2)
    for seq in (-1, 2):
        with new_log.database.read() as connection, pytest.raises(GateRefusedError, match="no-entry"):
            prove(connection, seq)


def test_an_entry_beyond_the_checkpoints_has_no_proof(sqlite_log: Log) -> None:
    add_entries(sqlite_log, 0, 2)
    tamper(sqlite_log, lambda rows: rows.number([0, 1, 1], honest=True))
    with sqlite_log.database.read() as connection, pytest.raises(GateRefusedError, match="no-entry"):
        prove(connection, 2)


def test_a_proof_over_a_spoilt_tree_is_refused(sqlite_log: Log) -> None:
    add_entries(sqlite_log, 0, 4)

    def remove(rows: Rows) -> None:
        del rows.nodes[1, 1]

    def change(rows: Rows) -> None:
        rows.nodes[1, 1] = bytes(32)

    tamper(sqlite_log, change)
    with sqlite_log.database.read() as connection, pytest.raises(GateRefusedError, match="not-included"):
        prove(connection, 0).check(sqlite_log.signer.verifier)
    tamper(sqlite_log, remove)
    with sqlite_log.database.read() as connection, pytest.raises(GateRefusedError, match="node-missing"):
        prove(connection, 0)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text.replace("@v1", "@v2"),
        lambda text: text.replace("index 1", "index 01"),
        lambda text: text.replace("index 1", "1"),
        lambda text: text.replace("extra ", ""),
        lambda text: text.replace("\n\n", "\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text + "\n",
        lambda text: "\n" + text,
    ],
)
def test_another_form_of_a_proof_is_refused(sqlite_log: Log, spoil: object) -> None:
    assert callable(spoil)
    add_entries(sqlite_log, 0, 4)
    with sqlite_log.database.read() as connection:
        text = prove(connection, 1).text
    assert Proof.parse(text).check(sqlite_log.signer.verifier).size == 4
    with pytest.raises(GateRefusedError):
        Proof.parse(spoil(text)).check(sqlite_log.signer.verifier)


def test_moments_are_stored_in_utc_and_sort_as_text() -> None:
    assert stamp(NOON) == "2026-11-21T12:00:00.000Z"
    assert parse_stamp(stamp(NOON)) == NOON
    assert stamp(NOON) < stamp(system_clock().replace(year=9000))


def test_a_payload_that_cannot_be_canonical_keeps_nothing(new_log: Log) -> None:
    with pytest.raises(TypeError), new_log.change(CLERK) as change:
        change.record(Kind.BUDGET_CHARGED, ["S-1"], {"epsilon": 0.5})  # type: ignore[dict-item]
    with new_log.database.read() as connection:
        assert Rows.take(connection) == Rows()
