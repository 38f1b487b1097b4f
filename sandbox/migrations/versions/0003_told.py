"""What is told of production runs: when they began and were written down as over, the ledger of bits, uids in pairs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0003"
down_revision = "0002"

_FIRST_UID = 200_000


def upgrade() -> None:
    """Add the columns and the table, and give each tenant a second uid for production."""
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.add_column(sa.Column("started", sa.String(length=24), nullable=True))
        batch_op.add_column(sa.Column("ended", sa.String(length=24), nullable=True))
    _bit_charge()
    _pair_uids()


def _bit_charge() -> None:
    op.create_table(
        "bit_charge",
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=40), nullable=False),
        sa.Column("scenario", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=40), nullable=False),
        sa.Column("bits", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=24), nullable=False),
        sa.CheckConstraint("purpose IN ('run', 'model', 'file')", name=op.f("ck_bit_charge_purpose")),
        sa.CheckConstraint("bits > 0", name=op.f("ck_bit_charge_bits")),
        sa.ForeignKeyConstraint(["scenario"], ["scenario.id"], name=op.f("fk_bit_charge_scenario")),
        sa.ForeignKeyConstraint(["tenant"], ["organisation.id"], name=op.f("fk_bit_charge_tenant")),
        sa.PrimaryKeyConstraint("purpose", "subject", name=op.f("pk_bit_charge")),
    )
    with op.batch_alter_table("bit_charge", schema=None) as batch_op:
        batch_op.create_index("ix_bit_charge_scenario", ["scenario"], unique=False)


def _pair_uids() -> None:
    """Spread the uids that were given one by one; by way of negative numbers, for two tenants may never hold one."""
    uids = sa.table("organisation", sa.column("uid", sa.Integer))
    spread = -(_FIRST_UID + 2 * (uids.c.uid - _FIRST_UID))
    op.execute(sa.update(uids).where(uids.c.uid.is_not(None)).values(uid=spread))
    op.execute(sa.update(uids).where(uids.c.uid.is_not(None)).values(uid=-uids.c.uid))
