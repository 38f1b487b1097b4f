"""Decisions in rounds: votes after a disagreement or a question, what was said about an export, since when it waits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0005"
down_revision = "0004"

_DECISIONS = "decision IN ('approve', 'refuse')"


def upgrade() -> None:
    """Add the round to exports and votes, the instant of an export's last move, and the table of notes."""
    with op.batch_alter_table("export", schema=None) as batch_op:
        batch_op.add_column(sa.Column("round", sa.Integer(), nullable=False, server_default="1"))
        batch_op.add_column(sa.Column("moved", sa.String(length=24), nullable=True))
    _export_review()
    _export_note()


def _export_review() -> None:
    # SQLite makes the table anew, and Alembic does not carry a check over by itself.
    check = sa.CheckConstraint(_DECISIONS, name=op.f("ck_export_review_decision"))
    with op.batch_alter_table("export_review", schema=None, table_args=(check,)) as batch_op:
        batch_op.add_column(sa.Column("round", sa.Integer(), nullable=False, server_default="1"))
        batch_op.drop_constraint(op.f("pk_export_review"), type_="primary")
        batch_op.create_primary_key(op.f("pk_export_review"), ["export", "round", "person"])


def _export_note() -> None:
    op.create_table(
        "export_note",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("export", sa.String(length=40), nullable=False),
        sa.Column("person", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("private", sa.Boolean(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=24), nullable=False),
        sa.CheckConstraint(
            "kind IN ('comment', 'question', 'answer', 'withdrawal', 'revocation')", name=op.f("ck_export_note_kind")
        ),
        sa.ForeignKeyConstraint(["export"], ["export.id"], name=op.f("fk_export_note_export")),
        sa.ForeignKeyConstraint(["person"], ["person.id"], name=op.f("fk_export_note_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export_note")),
    )
    with op.batch_alter_table("export_note", schema=None) as batch_op:
        batch_op.create_index("ix_export_note_export", ["export"], unique=False)
