"""Tables of work: jobs, runs, promotions, exports, reviews, the ledger of budget. A function a table."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    for make in (
        _job,
        _promotion,
        _run,
        _export,
        _budget_charge,
        _export_review,
    ):
        make()


def _job() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("scenario", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("submitted_by", sa.String(length=40), nullable=False),
        sa.Column("submitted", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["scenario"], ["scenario.id"], name=op.f("fk_job_scenario")),
        sa.ForeignKeyConstraint(["submitted_by"], ["person.id"], name=op.f("fk_job_submitted_by")),
        sa.ForeignKeyConstraint(["tenant"], ["organisation.id"], name=op.f("fk_job_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.UniqueConstraint("scenario", "digest", name=op.f("uq_job_scenario")),
    )


def _promotion() -> None:
    op.create_table(
        "promotion",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("job", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("requested_by", sa.String(length=40), nullable=False),
        sa.Column("requested", sa.String(length=24), nullable=False),
        sa.Column("decided_by", sa.String(length=40), nullable=True),
        sa.Column("decided", sa.String(length=24), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("(decided_by IS NULL) = (decided IS NULL)", name=op.f("ck_promotion_decided")),
        sa.CheckConstraint("decided_by IS NULL OR decided_by <> requested_by", name=op.f("ck_promotion_own_matter")),
        sa.ForeignKeyConstraint(["decided_by"], ["person.id"], name=op.f("fk_promotion_decided_by")),
        sa.ForeignKeyConstraint(["job"], ["job.id"], name=op.f("fk_promotion_job")),
        sa.ForeignKeyConstraint(["requested_by"], ["person.id"], name=op.f("fk_promotion_requested_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion")),
        sa.UniqueConstraint("job", name=op.f("uq_promotion_job")),
    )


def _run() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("job", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("queued_by", sa.String(length=40), nullable=False),
        sa.Column("queued", sa.String(length=24), nullable=False),
        sa.Column("cancel_asked", sa.String(length=24), nullable=True),
        sa.Column("outcome", sa.JSON(), nullable=True),
        sa.CheckConstraint("stage IN ('development', 'production')", name=op.f("ck_run_stage")),
        sa.ForeignKeyConstraint(["job"], ["job.id"], name=op.f("fk_run_job")),
        sa.ForeignKeyConstraint(["queued_by"], ["person.id"], name=op.f("fk_run_queued_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index("ix_run_state", ["state"], unique=False)


def _export() -> None:
    op.create_table(
        "export",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("job", sa.String(length=40), nullable=False),
        sa.Column("run", sa.String(length=40), nullable=True),
        sa.Column("product", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("requested_by", sa.String(length=40), nullable=False),
        sa.Column("requested", sa.String(length=24), nullable=False),
        sa.Column("verdict", sa.String(length=24), nullable=True),
        sa.Column("reasons", sa.JSON(), nullable=True),
        sa.Column("evidence_digest", sa.String(length=64), nullable=True),
        sa.Column("approved_by", sa.String(length=40), nullable=True),
        sa.Column("approval_reason", sa.Text(), nullable=True),
        sa.Column("manifest", sa.Text(), nullable=True),
        sa.CheckConstraint("(verdict IS NULL) = (reasons IS NULL)", name=op.f("ck_export_verdict")),
        sa.CheckConstraint("approved_by IS NULL OR approved_by <> requested_by", name=op.f("ck_export_own_matter")),
        sa.ForeignKeyConstraint(["approved_by"], ["person.id"], name=op.f("fk_export_approved_by")),
        sa.ForeignKeyConstraint(["job"], ["job.id"], name=op.f("fk_export_job")),
        sa.ForeignKeyConstraint(["requested_by"], ["person.id"], name=op.f("fk_export_requested_by")),
        sa.ForeignKeyConstraint(["run"], ["run.id"], name=op.f("fk_export_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export")),
    )
    with op.batch_alter_table("export", schema=None) as batch_op:
        batch_op.create_index("ix_export_state", ["state"], unique=False)


def _budget_charge() -> None:
    op.create_table(
        "budget_charge",
        sa.Column("question", sa.String(length=64), nullable=False),
        sa.Column("export", sa.String(length=40), nullable=False),
        sa.Column("universe", sa.String(length=16), nullable=False),
        sa.Column("datasets", sa.JSON(), nullable=False),
        sa.Column("tenant", sa.String(length=40), nullable=False),
        sa.Column("scenario", sa.String(length=40), nullable=False),
        sa.Column("rho", sa.String(length=200), nullable=False),
        sa.Column("delta", sa.String(length=200), nullable=False),
        sa.Column("at", sa.String(length=24), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["export"], ["export.id"], name=op.f("fk_budget_charge_export")),
        sa.ForeignKeyConstraint(["scenario"], ["scenario.id"], name=op.f("fk_budget_charge_scenario")),
        sa.ForeignKeyConstraint(["tenant"], ["organisation.id"], name=op.f("fk_budget_charge_tenant")),
        sa.PrimaryKeyConstraint("question", name=op.f("pk_budget_charge")),
    )


def _export_review() -> None:
    op.create_table(
        "export_review",
        sa.Column("export", sa.String(length=40), nullable=False),
        sa.Column("person", sa.String(length=40), nullable=False),
        sa.Column("decision", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence_digest", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=24), nullable=False),
        sa.CheckConstraint("decision IN ('approve', 'refuse')", name=op.f("ck_export_review_decision")),
        sa.ForeignKeyConstraint(["export"], ["export.id"], name=op.f("fk_export_review_export")),
        sa.ForeignKeyConstraint(["person"], ["person.id"], name=op.f("fk_export_review_person")),
        sa.PrimaryKeyConstraint("export", "person", name=op.f("pk_export_review")),
    )
