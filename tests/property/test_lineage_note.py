"""Signed notes, keys, checkpoints and proofs: round trips, and no bit of them is free."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage import merkle
from lineage.errors import GateRefusedError
from lineage.note import Checkpoint, Signer, Verifier
from lineage.proof import Proof


SIGNER = Signer.from_seed("test.domain", bytes(range(32)))
lines = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
bodies = st.lists(lines, min_size=1, max_size=5).map(lambda items: "\n".join(items) + "\n")


def one_bit(data: bytes, spot: int) -> bytes:
    changed = bytearray(data)
    changed[spot // 8] ^= 1 << spot % 8
    return bytes(changed)


def opens(note: bytes) -> bool:
    try:
        SIGNER.verifier.open(note.decode(errors="replace"))
    except GateRefusedError:
        return False
    return True


@given(bodies)
def test_a_signed_text_opens_unchanged(body: str) -> None:
    assert SIGNER.verifier.open(SIGNER.sign(body)) == body


@given(bodies, st.data())
def test_no_bit_of_a_note_is_free(body: str, data: st.DataObject) -> None:
    note = SIGNER.sign(body).encode()
    assert not opens(one_bit(note, data.draw(st.integers(0, 8 * len(note) - 1))))


def test_not_one_bit_of_a_checkpoint_is_free() -> None:
    note = SIGNER.sign(Checkpoint("test.domain", 5, bytes(32)).text).encode()
    assert opens(note)
    assert [spot for spot in range(8 * len(note)) if opens(one_bit(note, spot))] == []


@given(st.binary(min_size=32, max_size=32))
def test_a_key_reads_back(seed: bytes) -> None:
    signer = Signer.from_seed("数据局.example", seed)
    assert signer.seed == seed
    assert Verifier.decode(signer.verifier.encoded) == signer.verifier
    assert Verifier.decode(signer.verifier.encoded + "\n") == signer.verifier


def test_not_one_bit_of_a_key_is_free() -> None:
    vkey = SIGNER.verifier.encoded.encode()
    for spot in range(8 * len(vkey)):
        with pytest.raises(GateRefusedError):
            Verifier.decode(one_bit(vkey, spot).decode(errors="replace"))


@given(st.integers(0, 2**60), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_reads_back(size: int, root: bytes) -> None:
    point = Checkpoint("test.domain", size, root)
    assert Checkpoint.parse(point.text) == point
    assert Checkpoint.open(SIGNER.sign(point.text), SIGNER.verifier) == point


@given(bodies)
def test_text_that_is_no_checkpoint_is_refused(body: str) -> None:
    with pytest.raises(GateRefusedError):
        Checkpoint.open(SIGNER.sign(body), SIGNER.verifier)


@pytest.mark.parametrize("size", ["-1", "05", "+5", " 5", "５", "5_0", "", "5.0", "9" * 5000])
def test_a_second_spelling_of_a_size_is_refused(size: str) -> None:
    root = Checkpoint("test.domain", 5, bytes(32)).text.split("\n")[2]
    with pytest.raises(GateRefusedError):
        Checkpoint.parse(f"test.domain\n{size}\n{root}\n")


def test_a_second_signature_beside_ours_is_passed_over() -> None:
    other = Signer.generate("witness")
    note = SIGNER.sign("text\n")
    both = note + other.sign("text\n").split("\n\n")[1]
    assert SIGNER.verifier.open(both) == "text\n"
    assert other.verifier.open(both) == "text\n"


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2028b", "\x00"])
def test_a_name_that_would_break_the_form_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Signer.generate(name)
    with pytest.raises(ValueError, match="name"):
        Verifier(name, bytes(32))


def proof_of(entries: list[bytes], index: int) -> Proof:
    nodes: dict[tuple[int, int], bytes] = {}

    def node(level: int, position: int) -> bytes:
        return nodes[level, position]

    for number, entry in enumerate(entries):
        for level, position, value in merkle.completed(number, merkle.leaf_hash(entry), node):
            nodes[level, position] = value
    root, path = merkle.root(len(entries), node), merkle.inclusion(index, len(entries), node)
    return Proof(entries[index], index, path, SIGNER.sign(Checkpoint("test.domain", len(entries), root).text))


@given(st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=20), st.data())
def test_a_proof_reads_back_and_no_bit_of_it_is_free(entries: list[bytes], data: st.DataObject) -> None:
    proof = proof_of(entries, data.draw(st.integers(0, len(entries) - 1)))
    assert Proof.parse(proof.text) == proof
    assert proof.check(SIGNER.verifier).size == len(entries)
    text = proof.text.encode()
    changed = one_bit(text, data.draw(st.integers(0, 8 * len(text) - 1))).decode(errors="replace")
    with pytest.raises(GateRefusedError):
        Proof.parse(changed).check(SIGNER.verifier)


def test_a_proof_under_a_checkpoint_of_another_log_is_refused() -> None:
    proof = proof_of([b"a", b"b"], 1)
    point = Checkpoint.parse(proof.checkpoint)
    elsewhere = SIGNER.sign(Checkpoint("other.domain", point.size, point.root).text)
    with pytest.raises(GateRefusedError, match="other-log"):
        Proof(proof.header, proof.index, proof.path, elsewhere).check(SIGNER.verifier)
