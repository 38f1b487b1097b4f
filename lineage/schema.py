"""Tables of the log, on the one metadata that every package adds its own tables to."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

log_entry = Table(
    "log_entry",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("header", LargeBinary, nullable=False),
    CheckConstraint("seq >= 0", name="seq"),
)
"""One leaf an entry: the canonical JSON header, the only thing the tree commits to."""

log_payload = Table(
    "log_payload",
    metadata,
    Column("seq", Integer, ForeignKey("log_entry.seq"), primary_key=True, autoincrement=False),
    Column("salt", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
"""Details beside the header, bound to it by a salted commitment, so that they can be destroyed in time and the tree stays whole (L3)."""

log_node = Table(
    "log_node",
    metadata,
    Column("level", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
)
"""Hashes of complete subtrees: a cache for proofs; verification never trusts it."""

log_subject = Table(
    "log_subject",
    metadata,
    Column("seq", Integer, ForeignKey("log_entry.seq"), primary_key=True, autoincrement=False),
    Column("subject", String(200), primary_key=True),
)
"""Index from an id to the entries that name it; derived from the headers, rebuildable."""
Index("ix_log_subject_subject", log_subject.c.subject)

log_checkpoint = Table(
    "log_checkpoint",
    metadata,
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
)
"""The signed state after each transaction."""
