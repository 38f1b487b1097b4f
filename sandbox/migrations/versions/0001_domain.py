"""Tables of the log and of the domain: parties, catalogue, requests, grants. A function a table."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    for make in (
        _log_checkpoint,
        _log_entry,
        _log_node,
        _organisation,
        _agreement,
        _dataset,
        _log_payload,
        _log_subject,
        _person,
        _dataset_column,
        _dataset_version,
        _person_role,
        _scenario,
        _token,
        _request,
        _granted,
        _request_approval,
        _provisioned,
    ):
        make()


def _log_checkpoint() -> None:
    op.create_table(
        "log_checkpoint",
        sa.Column("size", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_log_checkpoint")),
    )


def _log_entry() -> None:
    op.create_table(
        "log_entry",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("seq >= 0", name=op.f("ck_log_entry_seq")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_log_entry")),
    )


def _log_node() -> None:
    op.create_table(
        "log_node",
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "position", name=op.f("pk_log_node")),
    )


def _organisation() -> None:
    op.create_table(
        "organisation",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("uid", sa.Integer(), nullable=True),
        sa.CheckConstraint("(kind = 'tenant') = (uid IS NOT NULL)", name=op.f("ck_organisation_uid_of_tenants")),
        sa.CheckConstraint(
            "kind IN ('authority', 'provider', 'tenant', 'expert', 'maintainer')", name=op.f("ck_organisation_kind")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisation")),
        sa.UniqueConstraint("name", name=op.f("uq_organisation_name")),
        sa.UniqueConstraint("uid", name=op.f("uq_organisation_uid")),
    )


def _agreement() -> None:
    op.create_table(
        "agreement",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=40), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("signed", sa.String(length=24), nullable=False),
        sa.Column("until", sa.String(length=24), nullable=False),
        sa.CheckConstraint("until > signed", name=op.f("ck_agreement_term")),
        sa.ForeignKeyConstraint(["tenant"], ["organisation.id"], name=op.f("fk_agreement_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreement")),
    )


def _dataset() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=130), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("subject_kind", sa.String(length=16), nullable=True),
        sa.Column("subject_column", sa.String(length=64), nullable=True),
        sa.Column("schema", sa.JSON(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.CheckConstraint("(subject_kind IS NULL) = (subject_column IS NULL)", name=op.f("ck_dataset_subject")),
        sa.ForeignKeyConstraint(["provider"], ["organisation.id"], name=op.f("fk_dataset_provider")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
        sa.UniqueConstraint("name", name=op.f("uq_dataset_name")),
    )


def _log_payload() -> None:
    op.create_table(
        "log_payload",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["log_entry.seq"], name=op.f("fk_log_payload_seq")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_log_payload")),
    )


def _log_subject() -> None:
    op.create_table(
        "log_subject",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["log_entry.seq"], name=op.f("fk_log_subject_seq")),
        sa.PrimaryKeyConstraint("seq", "subject", name=op.f("pk_log_subject")),
    )
    with op.batch_alter_table("log_subject", schema=None) as batch_op:
        batch_op.create_index("ix_log_subject_subject", ["subject"], unique=False)


def _person() -> None:
    op.create_table(
        "person",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("organisation", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["organisation"], ["organisation.id"], name=op.f("fk_person_organisation")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint("login", name=op.f("uq_person_login")),
    )


def _dataset_column() -> None:
    op.create_table(
        "dataset_column",
        sa.Column("dataset", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("suggestion", sa.JSON(), nullable=True),
        sa.Column("role", sa.String(length=24), nullable=True),
        sa.Column("grade", sa.Integer(), nullable=True),
        sa.Column("entity", sa.String(length=32), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("confirmed_by", sa.String(length=40), nullable=True),
        sa.CheckConstraint("(grade IS NULL) = (confirmed_by IS NULL)", name=op.f("ck_dataset_column_confirmed")),
        sa.CheckConstraint("(role IS NULL) = (grade IS NULL)", name=op.f("ck_dataset_column_graded")),
        sa.CheckConstraint("grade BETWEEN 1 AND 4", name=op.f("ck_dataset_column_grade")),
        sa.ForeignKeyConstraint(["confirmed_by"], ["person.id"], name=op.f("fk_dataset_column_confirmed_by")),
        sa.ForeignKeyConstraint(["dataset"], ["dataset.id"], name=op.f("fk_dataset_column_dataset")),
        sa.PrimaryKeyConstraint("dataset", "name", name=op.f("pk_dataset_column")),
    )


def _dataset_version() -> None:
    op.create_table(
        "dataset_version",
        sa.Column("dataset", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("as_of", sa.String(length=10), nullable=False),
        sa.Column("imported", sa.String(length=24), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("quarantined", sa.JSON(), nullable=False),
        sa.Column("quality", sa.JSON(), nullable=False),
        sa.Column("source_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["dataset"], ["dataset.id"], name=op.f("fk_dataset_version_dataset")),
        sa.PrimaryKeyConstraint("dataset", "version", name=op.f("pk_dataset_version")),
    )


def _person_role() -> None:
    op.create_table(
        "person_role",
        sa.Column("person", sa.String(length=40), nullable=False),
        sa.Column("role", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["person.id"], name=op.f("fk_person_role_person")),
        sa.PrimaryKeyConstraint("person", "role", name=op.f("pk_person_role")),
    )


def _scenario() -> None:
    op.create_table(
        "scenario",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("agreement", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["agreement"], ["agreement.id"], name=op.f("fk_scenario_agreement")),
        sa.ForeignKeyConstraint(["tenant"], ["organisation.id"], name=op.f("fk_scenario_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scenario")),
        sa.UniqueConstraint("agreement", "name", name=op.f("uq_scenario_agreement")),
    )


def _token() -> None:
    op.create_table(
        "token",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=40), nullable=False),
        sa.Column("issued", sa.String(length=24), nullable=False),
        sa.Column("expires", sa.String(length=24), nullable=False),
        sa.Column("revoked", sa.String(length=24), nullable=True),
        sa.CheckConstraint("expires > issued", name=op.f("ck_token_lifetime")),
        sa.ForeignKeyConstraint(["person"], ["person.id"], name=op.f("fk_token_person")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_token")),
    )


def _request() -> None:
    op.create_table(
        "request",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("scenario", sa.String(length=40), nullable=False),
        sa.Column("items", sa.JSON(), nullable=False),
        sa.Column("persons", sa.JSON(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("until", sa.String(length=24), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("made_by", sa.String(length=40), nullable=False),
        sa.Column("made", sa.String(length=24), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["made_by"], ["person.id"], name=op.f("fk_request_made_by")),
        sa.ForeignKeyConstraint(["scenario"], ["scenario.id"], name=op.f("fk_request_scenario")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request")),
    )


def _granted() -> None:
    op.create_table(
        "granted",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("request", sa.String(length=40), nullable=False),
        sa.Column("scenario", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=40), nullable=False),
        sa.Column("items", sa.JSON(), nullable=False),
        sa.Column("persons", sa.JSON(), nullable=False),
        sa.Column("started", sa.String(length=24), nullable=False),
        sa.Column("until", sa.String(length=24), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.CheckConstraint("until > started", name=op.f("ck_granted_term")),
        sa.ForeignKeyConstraint(["request"], ["request.id"], name=op.f("fk_granted_request")),
        sa.ForeignKeyConstraint(["scenario"], ["scenario.id"], name=op.f("fk_granted_scenario")),
        sa.ForeignKeyConstraint(["tenant"], ["organisation.id"], name=op.f("fk_granted_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_granted")),
        sa.UniqueConstraint("request", name=op.f("uq_granted_request")),
    )


def _request_approval() -> None:
    op.create_table(
        "request_approval",
        sa.Column("request", sa.String(length=40), nullable=False),
        sa.Column("organisation", sa.String(length=40), nullable=False),
        sa.Column("person", sa.String(length=40), nullable=False),
        sa.Column("at", sa.String(length=24), nullable=False),
        sa.ForeignKeyConstraint(["organisation"], ["organisation.id"], name=op.f("fk_request_approval_organisation")),
        sa.ForeignKeyConstraint(["person"], ["person.id"], name=op.f("fk_request_approval_person")),
        sa.ForeignKeyConstraint(["request"], ["request.id"], name=op.f("fk_request_approval_request")),
        sa.PrimaryKeyConstraint("request", "organisation", name=op.f("pk_request_approval")),
    )


def _provisioned() -> None:
    op.create_table(
        "provisioned",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("grant", sa.String(length=40), nullable=False),
        sa.Column("zone", sa.String(length=8), nullable=False),
        sa.Column("dataset", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("made", sa.String(length=24), nullable=False),
        sa.CheckConstraint("zone IN ('view', 'input')", name=op.f("ck_provisioned_zone")),
        sa.ForeignKeyConstraint(["dataset"], ["dataset.id"], name=op.f("fk_provisioned_dataset")),
        sa.ForeignKeyConstraint(["grant"], ["granted.id"], name=op.f("fk_provisioned_grant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provisioned")),
        sa.UniqueConstraint("grant", "zone", "dataset", "version", name=op.f("uq_provisioned_grant")),
    )
    with op.batch_alter_table("provisioned", schema=None) as batch_op:
        batch_op.create_index("ix_provisioned_grant", ["grant"], unique=False)
