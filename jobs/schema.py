"""Tables of jobs, runs and promotions."""

from __future__ import annotations

from sqlalchemy import JSON, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from lineage.schema import metadata
from sandbox.schema import ID, STAMP, STATE


job = Table(
    "job",
    metadata,
    Column("id", ID, primary_key=True),
    Column("scenario", ID, ForeignKey("scenario.id"), nullable=False),
    Column("tenant", ID, ForeignKey("organisation.id"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("submitted_by", ID, ForeignKey("person.id"), nullable=False),
    Column("submitted", STAMP, nullable=False),
    UniqueConstraint("scenario", "digest"),
)
"""A frozen folder, fixed by its digest."""

run = Table(
    "run",
    metadata,
    Column("id", ID, primary_key=True),
    Column("job", ID, ForeignKey("job.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("state", STATE, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("queued_by", ID, ForeignKey("person.id"), nullable=False),
    Column("queued", STAMP, nullable=False),
    Column("cancel_asked", STAMP),
    Column("outcome", JSON),
    Column("started", STAMP),
    Column("ended", STAMP),
    CheckConstraint("stage IN ('development', 'production')", name="stage"),
)
"""One execution of one ``[[run]]`` of a job. ``reason`` is a message code: why it waits, or how it ended.
``started`` is when its code began, ``ended`` when its end was written down, which of a production run is later than the end (law 8)."""
Index("ix_run_state", run.c.state)

promotion = Table(
    "promotion",
    metadata,
    Column("id", ID, primary_key=True),
    Column("job", ID, ForeignKey("job.id"), nullable=False, unique=True),
    Column("state", STATE, nullable=False),
    Column("requested_by", ID, ForeignKey("person.id"), nullable=False),
    Column("requested", STAMP, nullable=False),
    Column("decided_by", ID, ForeignKey("person.id")),
    Column("decided", STAMP),
    Column("reason", Text),
    CheckConstraint("(decided_by IS NULL) = (decided IS NULL)", name="decided"),
    CheckConstraint("decided_by IS NULL OR decided_by <> requested_by", name="own_matter"),
)

bit_charge = Table(
    "bit_charge",
    metadata,
    Column("purpose", String(16), primary_key=True),
    Column("subject", ID, primary_key=True),
    Column("scenario", ID, ForeignKey("scenario.id"), nullable=False),
    Column("tenant", ID, ForeignKey("organisation.id"), nullable=False),
    Column("bits", Integer, nullable=False),
    Column("at", STAMP, nullable=False),
    CheckConstraint("purpose IN ('run', 'model', 'file')", name="purpose"),
    CheckConstraint("bits > 0", name="bits"),
)
"""Bits that a tenant may have learnt through something opaque, charged before and never given back (law 8)."""
Index("ix_bit_charge_scenario", bit_charge.c.scenario)
