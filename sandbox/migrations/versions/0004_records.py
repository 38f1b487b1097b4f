"""The ledger of record sets and the registry its numbers come from; a row once written stays (law 4)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0004"
down_revision = "0003"

_APPEND_ONLY = ("subject_part", "record_set", "record_told")


def upgrade() -> None:
    """Make the tables, then take the right to change or remove a row from everybody."""
    for make in (_subject_part, _record_set, _record_told):
        make()
    forbid = {"sqlite": _forbid_on_sqlite, "postgresql": _forbid_on_postgresql}[op.get_bind().dialect.name]
    forbid()


def _subject_part() -> None:
    op.create_table(
        "subject_part",
        sa.Column("universe", sa.String(length=16), nullable=False),
        sa.Column("first", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("first >= 0 AND count > 0", name=op.f("ck_subject_part_range")),
        sa.PrimaryKeyConstraint("universe", "first", name=op.f("pk_subject_part")),
    )


def _record_set() -> None:
    op.create_table(
        "record_set",
        sa.Column("export", sa.String(length=40), nullable=False),
        sa.Column("universe", sa.String(length=16), nullable=False),
        sa.Column("compared", sa.Integer(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("sets", sa.LargeBinary(), nullable=False),
        sa.Column("totals", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("compared >= 0", name=op.f("ck_record_set_compared")),
        sa.ForeignKeyConstraint(["export"], ["export.id"], name=op.f("fk_record_set_export")),
        sa.PrimaryKeyConstraint("export", "universe", name=op.f("pk_record_set")),
    )


def _record_told() -> None:
    op.create_table(
        "record_told",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("export", sa.String(length=40), nullable=False),
        sa.Column("universe", sa.String(length=16), nullable=False),
        sa.Column("at", sa.String(length=24), nullable=False),
        sa.CheckConstraint("seq > 0", name=op.f("ck_record_told_seq")),
        sa.ForeignKeyConstraint(["export"], ["export.id"], name=op.f("fk_record_told_export")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_record_told")),
        sa.UniqueConstraint("export", "universe", name=op.f("uq_record_told_export")),
    )


def _forbid_on_sqlite() -> None:
    for table in _APPEND_ONLY:
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table}"
                f" BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def _forbid_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )
