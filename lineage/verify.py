"""Verification of the whole log, trusting nothing it stores but signatures (L5).

Invariants, checked in this order; each problem names the entry or the range of entries it lies in:
 1. entries are numbered 0, 1, 2 … without a gap, and each header says its own number (removed, swapped)
 2. each header is canonical, and its payload opens its commitment (changed)
 3. each stored leaf hash is the header's (changed, when the cache was not rewritten too)
 4. at every signed checkpoint the recomputed root is the signed one (rewritten; the range between two checkpoints)
 5. every checkpoint is signed by the log's key for this log and sits at its own size (replaced)
 6. the stored tree and the index of subjects are what the entries give (hidden from audits, proofs spoilt)
 7. the newest checkpoint covers every entry, and no checkpoint kept elsewhere is ahead of the log or of another history (cut, forked)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, select

from lineage import merkle
from lineage.canonical import decode
from lineage.derived import StoredTree, index_problems, stored_bytes
from lineage.errors import GateRefusedError
from lineage.log import commitment
from lineage.note import Checkpoint, Verifier
from lineage.problem import Problem
from lineage.schema import log_checkpoint, log_entry, log_node, log_payload


__all__ = ["Problem", "Verification", "verify"]


@dataclass(frozen=True)
class Verification:
    """What was verified: the number of entries, the recomputed root in hex, and every problem found."""

    size: int
    root: str
    problems: tuple[Problem, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class _Tree:
    """The root over the entries read so far, from a stack of complete subtrees."""

    def __init__(self) -> None:
        self.size = 0
        self._stack: list[bytes] = []

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Give each (level, position, hash) that became complete."""
        made = list(merkle.completed(self.size, leaf, lambda _level, _position: self._stack.pop()))
        self._stack.append(made[-1][2])
        self.size += 1
        return made

    @property
    def root(self) -> bytes:
        if not self._stack:
            return merkle.EMPTY_ROOT
        value = self._stack[-1]
        for left in reversed(self._stack[:-1]):
            value = merkle.node_hash(left, value)
        return value


def verify(connection: Connection, verifier: Verifier, witnesses: Iterable[str] = ()) -> Verification:
    """Verify the log; ``witnesses`` are checkpoint notes kept outside the database, by us or by somebody else."""
    problems: list[Problem] = []
    signed, bad = _checkpoints(connection, verifier)
    problems += bad
    kept, bad = _witnesses(witnesses, verifier)
    problems += bad
    tree, roots = _Tree(), {0: merkle.EMPTY_ROOT}
    wanted = {point.size for point in (*signed, *kept)}
    stored = StoredTree(connection)
    for leaf, found in _leaves(connection):
        spoilt = list(stored.compare(tree.append(leaf)))
        problems += found or spoilt
        if tree.size in wanted:
            roots[tree.size] = tree.root
    problems += stored.rest()
    problems += index_problems(connection)
    problems += _against_signed(signed, roots, tree.size, problems)
    problems += _against_witnesses(kept, roots, tree.size)
    return Verification(tree.size, tree.root.hex(), tuple(problems))


def _leaves(connection: Connection) -> Iterator[tuple[bytes, list[Problem]]]:
    """Yield each leaf hash with the problems of its entry."""
    query = (
        select(log_entry.c.seq, log_entry.c.header, log_payload.c.salt, log_payload.c.body, log_node.c.hash)
        .outerjoin(log_payload, log_payload.c.seq == log_entry.c.seq)
        .outerjoin(log_node, (log_node.c.position == log_entry.c.seq) & (log_node.c.level == 0))
        .order_by(log_entry.c.seq)
    )
    expected = 0
    for seq, header, salt, body, stored in connection.execute(query):
        problems = [Problem("log.entry-missing", {"seq": gap}) for gap in range(expected, min(seq, expected + 10))]
        known = stored_bytes(header)
        leaf = merkle.leaf_hash(known)
        problems += _entry_problems(seq, known, salt, body)
        if not problems and stored is not None and stored_bytes(stored) != leaf:
            problems.append(Problem("log.entry-changed", {"seq": seq}))
        expected = seq + 1
        yield leaf, problems


def _entry_problems(seq: int, header: bytes, salt: bytes | None, body: bytes | None) -> list[Problem]:
    try:
        fields = cast("Mapping[str, Any]", decode(header))
        claimed, bound = fields["seq"], fields["payload"]
    except (ValueError, KeyError, TypeError):
        return [Problem("log.entry-changed", {"seq": seq})]
    if claimed != seq:
        return [Problem("log.entry-moved", {"seq": seq, "claimed": str(claimed)})]
    if salt is None or body is None:
        return [Problem("log.payload-missing", {"seq": seq})]
    if commitment(stored_bytes(salt), stored_bytes(body)) != bound:
        return [Problem("log.payload-changed", {"seq": seq})]
    return []


def _checkpoints(connection: Connection, verifier: Verifier) -> tuple[list[Checkpoint], list[Problem]]:
    good: list[Checkpoint] = []
    problems: list[Problem] = []
    for size, note in connection.execute(select(log_checkpoint).order_by(log_checkpoint.c.size)):
        point = _open(stored_bytes(note).decode(errors="replace"), verifier)
        if point is None or point.size != size:
            problems.append(Problem("log.checkpoint-replaced", {"size": size}))
        else:
            good.append(point)
    return good, problems


def _witnesses(notes: Iterable[str], verifier: Verifier) -> tuple[list[Checkpoint], list[Problem]]:
    opened = [_open(note, verifier) for note in notes]
    problems = [Problem("log.witness-replaced", {}) for point in opened if point is None]
    return [point for point in opened if point is not None], problems


def _open(note: str, verifier: Verifier) -> Checkpoint | None:
    try:
        return Checkpoint.open(note, verifier)
    except GateRefusedError:
        return None


def _against_signed(
    signed: list[Checkpoint], roots: Mapping[int, bytes], size: int, known: list[Problem]
) -> Iterator[Problem]:
    named = {int(problem.params["seq"]) for problem in known if problem.code.startswith("log.entry")}
    newest = max((point.size for point in signed), default=0)
    if newest > size:
        yield Problem("log.tail-missing", {"size": size, "expected": newest})
    if newest < size:
        yield Problem("log.tail-unsigned", {"size": size, "signed": newest})
    low = 0
    for point in signed:
        if point.size <= size and roots[point.size] != point.root:
            # Every later root differs too: only the first says where, and an entry of this range already named says it better.
            if not any(low <= seq < point.size for seq in named):
                yield Problem("log.range-changed", {"first": low, "last": point.size - 1})
            return
        low = point.size


def _against_witnesses(kept: list[Checkpoint], roots: Mapping[int, bytes], size: int) -> Iterator[Problem]:
    for point in kept:
        if point.size > size:
            yield Problem("log.tail-missing", {"size": size, "expected": point.size})
        elif roots[point.size] != point.root:
            yield Problem("log.forked", {"size": point.size})
