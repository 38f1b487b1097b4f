"""Attacks on the log by whoever owns the database, the file beside it, or even the key: who notices, and where (L5, law 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from lineage.canonical import encode
from lineage.errors import GateRefusedError, MissingPartError, ShuzhaError
from lineage.kinds import Kind
from lineage.log import Log, commitment
from lineage.note import Checkpoint, Signer
from lineage.verify import verify
from tests.fixtures_lineage import CLERK, Rows, add_entries, tamper


# Nine entries in eight transactions: 5 and 6 were recorded together, so only their range can be named.
TRANSACTIONS = (1, 1, 1, 1, 1, 2, 1, 1)
SIZE = sum(TRANSACTIONS)
OLDER = 5
STRANGER = Signer.generate("test.domain")

Named = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Held:
    """What lies outside the database: the checkpoint file, and notes that others once took."""

    file: str
    older: str


def fill(log: Log) -> Held:
    older, first = "", 0
    for count in TRANSACTIONS:
        add_entries(log, first, count)
        first += count
        if first == OLDER:
            older = log.checkpoint_file.read_text()
    return Held(log.checkpoint_file.read_text(), older)


def found(log: Log, *witnesses: str) -> list[Named]:
    with log.database.read() as connection:
        result = verify(connection, log.signer.verifier, witnesses)
    assert result.holds == (not result.problems)
    return [(problem.code, dict(problem.params)) for problem in result.problems]


def new_payload(rows: Rows, seq: int) -> None:
    salt, body = rows.payloads[seq][0], encode({"role": "officer", "n": seq})
    rows.payloads[seq] = (salt, body)
    rows.edit(seq, payload=commitment(salt, body))


# --- the attacks: each leaves the database as the attacker wants it -------------------------------------------------------


def change_header(rows: Rows) -> None:
    rows.edit(3, actor="P-9")


def change_header_and_tree(rows: Rows) -> None:
    rows.edit(3, actor="P-9")
    rows.rebuild()


def change_header_and_tree_among_two(rows: Rows) -> None:
    rows.edit(6, actor="P-9")
    rows.rebuild()


def change_payload(rows: Rows) -> None:
    rows.payloads[3] = (rows.payloads[3][0], encode({"role": "officer", "n": 3}))


def change_salt(rows: Rows) -> None:
    rows.payloads[3] = (bytes(16), rows.payloads[3][1])


def change_payload_and_commitment_and_tree(rows: Rows) -> None:
    new_payload(rows, 3)
    rows.rebuild()


def swap_payloads(rows: Rows) -> None:
    rows.payloads[2], rows.payloads[5] = rows.payloads[5], rows.payloads[2]


def remove_payload(rows: Rows) -> None:
    del rows.payloads[3]


def nest_header_deeply(rows: Rows) -> None:
    rows.headers[3] = b"[" * 200_000


def change_spelling(rows: Rows) -> None:
    rows.headers[3] = rows.headers[3].replace(b'"v":1', b'"v": 1')


def remove_from_the_middle(rows: Rows) -> None:
    rows.remove(3)


def remove_and_close_the_gap(rows: Rows) -> None:
    rows.number([0, 1, 2, 4, 5, 6, 7, 8], honest=False)


def remove_and_rewrite_the_rest(rows: Rows) -> None:
    rows.number([0, 1, 2, 4, 5, 6, 7, 8], honest=True)


def swap(rows: Rows) -> None:
    rows.number([0, 1, 4, 3, 2, 5, 6, 7, 8], honest=False)


def swap_and_rewrite(rows: Rows) -> None:
    rows.number([0, 1, 4, 3, 2, 5, 6, 7, 8], honest=True)


def insert_and_rewrite(rows: Rows) -> None:
    rows.number([0, 1, 2, 3, 3, 4, 5, 6, 7, 8], honest=True)
    new_payload(rows, 4)
    rows.rebuild()


def append_unsigned(rows: Rows) -> None:
    rows.number([*range(SIZE), 3], honest=True)


def cut_entries(rows: Rows) -> None:
    for seq in range(OLDER, SIZE):
        rows.remove(seq)
    rows.rebuild()


def cut_entries_and_checkpoints(rows: Rows) -> None:
    cut_entries(rows)
    rows.checkpoints = {size: note for size, note in rows.checkpoints.items() if size <= OLDER}


def empty_everything(rows: Rows) -> None:
    rows.headers, rows.payloads, rows.nodes, rows.subjects, rows.checkpoints = {}, {}, {}, set(), {}


def hide_behind_a_decoy(rows: Rows) -> None:
    rows.edit(3, actor="P-9")
    rows.rebuild()
    rows.edit(8, actor="P-9")


def remove_from_the_index(rows: Rows) -> None:
    rows.subjects.remove((3, "P-3"))


def add_to_the_index(rows: Rows) -> None:
    rows.subjects.add((3, "P-77"))


def change_an_inner_hash(rows: Rows) -> None:
    rows.nodes[2, 1] = bytes(32)


def remove_an_inner_hash(rows: Rows) -> None:
    del rows.nodes[1, 0]


def add_a_hash(rows: Rows) -> None:
    rows.nodes[0, SIZE] = bytes(32)


def unsign_a_checkpoint(rows: Rows) -> None:
    rows.checkpoints[7] = Checkpoint("test.domain", 7, rows.root(7)).text.encode()


def sign_with_another_key(rows: Rows) -> None:
    rows.checkpoints[7] = STRANGER.sign(Checkpoint("test.domain", 7, rows.root(7)).text).encode()


def take_a_checkpoint_of_another_size(rows: Rows) -> None:
    rows.checkpoints[7] = rows.checkpoints[5]


def spoil_a_checkpoint(rows: Rows) -> None:
    rows.checkpoints[7] = b"\xff\xfe" + rows.checkpoints[7]


def payload_changed(seq: int) -> Named:
    return ("log.payload-changed", {"seq": seq})


def entry_moved(seq: int, claimed: int) -> Named:
    return ("log.entry-moved", {"seq": seq, "claimed": str(claimed)})


def range_changed(first: int, last: int) -> Named:
    return ("log.range-changed", {"first": first, "last": last})


ENTRY_CHANGED: Named = ("log.entry-changed", {"seq": 3})
REPLACED: Named = ("log.checkpoint-replaced", {"size": 7})
ONE_SHORT: Named = ("log.tail-missing", {"size": SIZE - 1, "expected": SIZE})
CUT: Named = ("log.tail-missing", {"size": OLDER, "expected": SIZE})
INDEX: Named = ("log.index-changed", {"seq": 3})

# Whoever owns the database alone: seen with nothing but the public key.
DATABASE_ATTACKS: dict[str, tuple[Callable[[Rows], None], list[Named]]] = {
    "header changed": (change_header, [ENTRY_CHANGED]),
    "header changed, tree rebuilt": (change_header_and_tree, [range_changed(3, 3)]),
    "header changed, tree rebuilt, two in one transaction": (change_header_and_tree_among_two, [range_changed(5, 6)]),
    "header spelled otherwise": (change_spelling, [ENTRY_CHANGED]),
    "header nested beyond reading": (nest_header_deeply, [ENTRY_CHANGED]),
    "payload changed": (change_payload, [payload_changed(3)]),
    "salt changed": (change_salt, [payload_changed(3)]),
    "payload, commitment and tree changed": (change_payload_and_commitment_and_tree, [range_changed(3, 3)]),
    "payloads swapped": (swap_payloads, [payload_changed(2), payload_changed(5)]),
    "payload removed": (remove_payload, [("log.payload-missing", {"seq": 3})]),
    "entry removed": (remove_from_the_middle, [("log.entry-missing", {"seq": 3}), ONE_SHORT]),
    "entry removed, gap closed": (
        remove_and_close_the_gap,
        [*(entry_moved(seq, seq + 1) for seq in range(3, SIZE - 1)), ONE_SHORT],
    ),
    "entry removed, rest rewritten": (remove_and_rewrite_the_rest, [ONE_SHORT, range_changed(3, 3)]),
    "entries swapped": (swap, [entry_moved(2, 4), entry_moved(4, 2)]),
    "entries swapped and rewritten": (swap_and_rewrite, [range_changed(2, 2)]),
    "entry inserted, rest rewritten": (
        insert_and_rewrite,
        [("log.tail-unsigned", {"size": SIZE + 1, "signed": SIZE}), range_changed(4, 4)],
    ),
    "entry appended": (append_unsigned, [("log.tail-unsigned", {"size": SIZE + 1, "signed": SIZE})]),
    "tail cut, checkpoints left": (cut_entries, [CUT]),
    "rewritten, with a decoy elsewhere": (
        hide_behind_a_decoy,
        [("log.entry-changed", {"seq": 8}), range_changed(3, 3)],
    ),
    "hidden from the index": (remove_from_the_index, [INDEX]),
    "added to the index": (add_to_the_index, [INDEX]),
    "inner hash changed": (change_an_inner_hash, [("log.node-changed", {"level": 2, "position": 1})]),
    "inner hash removed": (remove_an_inner_hash, [("log.node-changed", {"level": 1, "position": 0})]),
    "hash added": (add_a_hash, [("log.node-changed", {"level": 0, "position": SIZE})]),
    "checkpoint unsigned": (unsign_a_checkpoint, [REPLACED]),
    "checkpoint of another key": (sign_with_another_key, [REPLACED]),
    "checkpoint of another size": (take_a_checkpoint_of_another_size, [REPLACED]),
    "checkpoint spoilt": (spoil_a_checkpoint, [REPLACED]),
}


@pytest.mark.parametrize("name", DATABASE_ATTACKS)
def test_the_database_alone_gives_the_attack_away(new_log: Log, name: str) -> None:
    fill(new_log)
    attack, expected = DATABASE_ATTACKS[name]
    tamper(new_log, attack)
    assert found(new_log) == expected


# Attacks that leave a database in which nothing contradicts anything: only what is kept elsewhere tells.
SILENT_ATTACKS: dict[str, tuple[Callable[[Rows], None], Named]] = {
    "tail cut with its checkpoints": (cut_entries_and_checkpoints, CUT),
    "everything emptied": (empty_everything, ("log.tail-missing", {"size": 0, "expected": SIZE})),
}


@pytest.mark.parametrize("name", SILENT_ATTACKS)
def test_the_checkpoint_file_gives_the_cut_away(new_log: Log, name: str) -> None:
    held = fill(new_log)
    attack, expected = SILENT_ATTACKS[name]
    tamper(new_log, attack)
    assert found(new_log) == []
    assert found(new_log, held.file) == [expected]


def test_a_cut_log_with_its_own_older_checkpoint_file_is_given_away_by_a_witness(new_log: Log) -> None:
    held = fill(new_log)
    tamper(new_log, cut_entries_and_checkpoints)
    new_log.checkpoint_file.write_text(held.older)
    assert found(new_log, new_log.checkpoint_file.read_text()) == []
    assert found(new_log, new_log.checkpoint_file.read_text(), held.file) == [CUT]


def test_a_log_rebuilt_with_the_right_key_is_given_away_by_an_older_witness_only(new_log: Log) -> None:
    held = fill(new_log)

    def rebuild(rows: Rows) -> None:
        new_payload(rows, 3)
        rows.rebuild()
        rows.sign_all(new_log.signer)

    file = tamper(new_log, rebuild)[SIZE].decode()
    assert found(new_log, file) == []
    assert found(new_log, file, held.older) == [("log.forked", {"size": OLDER})]


def test_a_checkpoint_of_another_log_by_the_same_key_is_refused(new_log: Log) -> None:
    fill(new_log)

    def rename(rows: Rows) -> None:
        rows.checkpoints[7] = new_log.signer.sign(Checkpoint("other.domain", 7, rows.root(7)).text).encode()

    tamper(new_log, rename)
    assert found(new_log) == [REPLACED]


REPLACED_FILES: dict[str, Callable[[Held], str]] = {
    "another key": lambda held: STRANGER.sign(held.file.split("\n\n")[0] + "\n"),
    "no signature": lambda held: held.file.split("\n\n")[0] + "\n",
    "another size under the old signature": lambda held: held.file.replace(f"\n{SIZE}\n", f"\n{OLDER}\n"),
    "no note at all": lambda held: "checkpoint",
    "empty": lambda held: "",
}


@pytest.mark.parametrize("name", REPLACED_FILES)
def test_a_replaced_checkpoint_file_is_seen_and_nothing_more_is_signed(sqlite_log: Log, name: str) -> None:
    held = fill(sqlite_log)
    sqlite_log.checkpoint_file.write_text(REPLACED_FILES[name](held))
    assert found(sqlite_log, sqlite_log.checkpoint_file.read_text()) == [("log.witness-replaced", {})]
    with pytest.raises(GateRefusedError):
        add_entries(sqlite_log, SIZE, 1)
    assert found(sqlite_log, held.file) == []


# --- the key must not be made to sign what was rewritten ---------------------------------------------------------------


def rewrite_and_drop_checkpoints(rows: Rows) -> None:
    new_payload(rows, 3)
    rows.rebuild()
    rows.checkpoints = {}


def change_a_stored_hash(rows: Rows) -> None:
    rows.nodes[3, 0] = bytes(32)


def remove_a_needed_hash(rows: Rows) -> None:
    del rows.nodes[3, 0]


SIGNING_ATTACKS: dict[str, tuple[Callable[[Rows], None], str]] = {
    "rewritten, checkpoints dropped": (rewrite_and_drop_checkpoints, "log.refused-rewritten"),
    "tree changed": (change_a_stored_hash, "log.refused-rewritten"),
    "hash removed": (remove_a_needed_hash, "log.node-missing"),
    "tail cut": (cut_entries_and_checkpoints, "log.refused-cut"),
    "emptied": (empty_everything, "log.refused-cut"),
}


@pytest.mark.parametrize("name", SIGNING_ATTACKS)
def test_an_honest_change_does_not_sign_a_tampered_log(new_log: Log, name: str) -> None:
    held = fill(new_log)
    attack, code = SIGNING_ATTACKS[name]
    stored = tamper(new_log, attack)
    with pytest.raises(ShuzhaError) as refused:
        add_entries(new_log, SIZE, 1)
    assert refused.value.code == code
    assert new_log.checkpoint_file.read_text() == held.file
    with new_log.database.read() as connection:
        assert Rows.take(connection).checkpoints == stored


def test_nothing_is_signed_while_the_checkpoint_file_is_missing(new_log: Log) -> None:
    fill(new_log)
    new_log.checkpoint_file.unlink()
    with pytest.raises(MissingPartError):
        add_entries(new_log, SIZE, 1)


def test_a_crash_before_the_first_checkpoint_file_is_recovered_from(new_log: Log) -> None:
    add_entries(new_log, 0, 2)
    new_log.checkpoint_file.unlink()
    add_entries(new_log, 2, 1)
    assert found(new_log, new_log.checkpoint_file.read_text()) == []


def test_a_rewritten_first_transaction_does_not_pass_for_a_crash(new_log: Log) -> None:
    add_entries(new_log, 0, 2)
    new_log.checkpoint_file.unlink()

    def rewrite(rows: Rows) -> None:
        new_payload(rows, 1)
        rows.rebuild()

    tamper(new_log, rewrite)
    with pytest.raises(GateRefusedError):
        add_entries(new_log, 2, 1)


def test_a_crash_before_a_later_publication_is_recovered_from(new_log: Log) -> None:
    held = fill(new_log)
    new_log.checkpoint_file.write_text(held.older)
    add_entries(new_log, SIZE, 1)
    assert found(new_log, new_log.checkpoint_file.read_text(), held.file) == []


# --- innocent twins ----------------------------------------------------------------------------------------------------


def test_an_untouched_log_holds_with_every_checkpoint_it_ever_gave(new_log: Log) -> None:
    held = fill(new_log)
    assert found(new_log) == []
    assert found(new_log, held.file, held.older) == []
    add_entries(new_log, SIZE, 3)
    assert found(new_log, new_log.checkpoint_file.read_text(), held.file, held.older) == []


def test_an_empty_log_holds_also_against_a_checkpoint_over_nothing(new_log: Log) -> None:
    nothing = new_log.signer.sign(Checkpoint("test.domain", 0, Rows().root(0)).text)
    assert found(new_log) == []
    assert found(new_log, nothing) == []


def test_writing_back_what_was_read_is_no_attack(new_log: Log) -> None:
    held = fill(new_log)
    tamper(new_log, lambda rows: None)
    assert found(new_log, held.file) == []
    tamper(new_log, Rows.rebuild)
    assert found(new_log, held.file) == []


def test_a_reader_sees_one_state_while_others_write(new_log: Log) -> None:
    fill(new_log)
    with new_log.database.read() as connection:
        before = Rows.take(connection)
        with new_log.change(CLERK) as change:
            change.record(Kind.ROLE_GIVEN, ["P-99"], {})
        assert Rows.take(connection) == before
        assert verify(connection, new_log.signer.verifier).holds
