"""Proofs that travel: that an entry is in the log, in the C2SP tlog-proof text form, checked offline with the public key alone."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from sqlalchemy import Connection, select

from lineage import merkle
from lineage.errors import GateRefusedError
from lineage.log import latest_checkpoint, stored_nodes
from lineage.note import Checkpoint, Verifier, decode_base64
from lineage.schema import log_entry


_MAGIC = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True)
class Proof:
    """An entry's header, its number, the audit path, and the checkpoint note that the path leads to."""

    header: bytes
    index: int
    path: tuple[bytes, ...]
    checkpoint: str

    @property
    def text(self) -> str:
        """The tlog-proof text; the header travels as its ``extra`` line."""
        lines = [_MAGIC, f"extra {base64.b64encode(self.header).decode()}", f"index {self.index}"]
        lines += [base64.b64encode(item).decode() for item in self.path]
        return "\n".join(lines) + "\n\n" + self.checkpoint

    @classmethod
    def parse(cls, text: str) -> Proof:
        """Read the text form.

        Raises:
            GateRefusedError: it is no proof of this form.
        """
        head, separator, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        try:
            extra, index = lines[1].removeprefix("extra "), int(lines[2].removeprefix("index "))
            path = tuple(decode_base64(line) for line in lines[3:])
            proof = cls(decode_base64(extra), index, path, checkpoint)
        except (IndexError, ValueError) as error:
            raise GateRefusedError("log.bad-proof") from error
        # One text for one proof: whatever was read too kindly above does not survive being written again.
        if not separator or proof.text != text:
            raise GateRefusedError("log.bad-proof")
        return proof

    def check(self, verifier: Verifier) -> Checkpoint:
        """Check the checkpoint's signature and the path to its root.

        Raises:
            GateRefusedError: the signature is not the domain's, the log is another one, or the entry is not in that tree.
        """
        checkpoint = Checkpoint.open(self.checkpoint, verifier)
        leaf = merkle.leaf_hash(self.header)
        if not merkle.verify_inclusion(leaf, self.index, checkpoint.size, self.path, checkpoint.root):
            raise GateRefusedError("log.not-included", seq=self.index)
        return checkpoint


def prove(connection: Connection, seq: int) -> Proof:
    """Prove that an entry is in the tree of the newest checkpoint.

    Raises:
        GateRefusedError: there is no such entry, no checkpoint over it, or the stored hashes do not suffice.
    """
    header = connection.execute(select(log_entry.c.header).where(log_entry.c.seq == seq)).scalar()
    note = latest_checkpoint(connection)
    size = Checkpoint.parse(note).size if note is not None else 0
    if header is None or note is None or seq >= size:
        raise GateRefusedError("log.no-entry", seq=seq)
    return Proof(bytes(header), seq, merkle.inclusion(seq, size, stored_nodes(connection)), note)
