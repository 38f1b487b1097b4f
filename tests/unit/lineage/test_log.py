"""The log: one transaction with the change, a signed checkpoint over it, proofs that travel."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert

from lineage import merkle
from lineage.database import Database
from lineage.errors import GateRefusedError
from lineage.kinds import Kind
from lineage.log import Actor, Log, UnloggedChangeError, entries
from lineage.note import Signer
from lineage.proof import Proof, prove
from lineage.schema import log_subject, metadata
from lineage.verify import verify


ACTOR = Actor("P-1", "O-1")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def make_log(url: str, folder: Path) -> Log:
    database = Database(url)
    with database.write() as connection:
        metadata.create_all(connection)
    return Log(database, Signer.generate("test.domain"), lambda: NOON, folder / "checkpoint")


def fill(log: Log, count: int) -> None:
    for number in range(count):
        with log.change(ACTOR) as change:
            change.record(Kind.ROLE_GIVEN, [f"P-{number}"], {"role": "auditor", "n": number})


def test_a_change_without_an_entry_is_rolled_back(database_url: str, tmp_path: Path) -> None:
    log = make_log(database_url, tmp_path)
    fill(log, 1)
    with pytest.raises(UnloggedChangeError), log.change(ACTOR) as change:
        change.connection.execute(insert(log_subject).values(seq=0, subject="sneaked in"))
    with log.database.read() as connection:
        assert [entry.subjects for entry in log.about(connection, "sneaked in")] == []


def test_an_exception_keeps_neither_change_nor_entry(database_url: str, tmp_path: Path) -> None:
    log = make_log(database_url, tmp_path)

    def fail_halfway() -> None:
        with log.change(ACTOR) as change:
            change.record(Kind.ROLE_GIVEN, ["P-1"], {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    with log.database.read() as connection:
        assert list(entries(connection)) == []


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 20])
def test_every_entry_is_proved_to_the_newest_checkpoint(database_url: str, tmp_path: Path, count: int) -> None:
    log = make_log(database_url, tmp_path)
    fill(log, count)
    with log.database.read() as connection:
        assert verify(connection, log.signer.verifier, [log.checkpoint_file.read_text()]).holds
        for seq in range(count):
            proof = Proof.parse(prove(connection, seq).text)
            assert proof.check(log.signer.verifier).size == count


def test_a_proof_of_another_entry_is_refused(database_url: str, tmp_path: Path) -> None:
    log = make_log(database_url, tmp_path)
    fill(log, 5)
    with log.database.read() as connection:
        first, second = prove(connection, 1), prove(connection, 2)
    with pytest.raises(GateRefusedError):
        Proof(second.header, first.index, first.path, first.checkpoint).check(log.signer.verifier)


def test_the_checkpoint_file_is_never_replaced_by_an_older_one(tmp_path: Path) -> None:
    log = make_log(f"sqlite:///{tmp_path}/log.db", tmp_path)
    fill(log, 1)
    older = log.checkpoint_file.read_bytes()
    fill(log, 2)
    newer = log.checkpoint_file.read_bytes()
    log._publish(older)
    assert log.checkpoint_file.read_bytes() == newer


def test_the_log_grows_consistently(tmp_path: Path) -> None:
    leaves = [merkle.leaf_hash(bytes([number])) for number in range(40)]
    nodes: dict[tuple[int, int], bytes] = {}
    for index, leaf in enumerate(leaves):
        for level, position, value in merkle.completed(index, leaf, lambda lv, pos: nodes[lv, pos]):
            nodes[level, position] = value
    roots = [merkle.root(size, lambda lv, pos: nodes[lv, pos]) for size in range(41)]
    for old in range(41):
        for new in range(old, 41):
            path = merkle.consistency(old, new, lambda lv, pos: nodes[lv, pos])
            assert merkle.verify_consistency(old, roots[old], new, roots[new], path)
            if 0 < old < new:
                assert not merkle.verify_consistency(old, roots[old - 1], new, roots[new], path)
