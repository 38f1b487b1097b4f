"""Table of the registry of subjects: sealed parts, never changed, each beginning where the one before ended."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Integer, LargeBinary, String, Table

from lineage.schema import metadata


subject_part = Table(
    "subject_part",
    metadata,
    Column("universe", String(16), primary_key=True),
    Column("first", Integer, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    CheckConstraint("first >= 0 AND count > 0", name="range"),
)
"""Subjects ``first`` to ``first + count - 1`` of a universe; what is sealed are their marks, one after the other (law 4)."""
