"""Tables of the gate: exports, reviews, the ledger of privacy budget and the ledger of record sets."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

import desensitize.schema  # noqa: F401 - whoever knows the gate's tables knows the registry that their numbers come from
from lineage.schema import metadata
from sandbox.schema import ID, STAMP, STATE


export = Table(
    "export",
    metadata,
    Column("id", ID, primary_key=True),
    Column("job", ID, ForeignKey("job.id"), nullable=False),
    Column("run", ID, ForeignKey("run.id")),
    Column("product", String(100), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("state", STATE, nullable=False),
    Column("requested_by", ID, ForeignKey("person.id"), nullable=False),
    Column("requested", STAMP, nullable=False),
    Column("verdict", String(24)),
    Column("reasons", JSON),
    Column("evidence_digest", String(64)),
    Column("approved_by", ID, ForeignKey("person.id")),
    Column("approval_reason", Text),
    Column("manifest", Text),
    Column("round", Integer, nullable=False, server_default="1"),
    Column("moved", STAMP),
    CheckConstraint("(verdict IS NULL) = (reasons IS NULL)", name="verdict"),
    CheckConstraint("approved_by IS NULL OR approved_by <> requested_by", name="own_matter"),
)
"""One product on its way out. Evidence lies in the export's folder and is bound here by its digest; ``round`` counts the votings."""
Index("ix_export_state", export.c.state)

review = Table(
    "export_review",
    metadata,
    Column("export", ID, ForeignKey("export.id"), primary_key=True),
    Column("round", Integer, primary_key=True, autoincrement=False, server_default="1"),
    Column("person", ID, ForeignKey("person.id"), primary_key=True),
    Column("decision", String(8), nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence_digest", String(64), nullable=False),
    Column("at", STAMP, nullable=False),
    CheckConstraint("decision IN ('approve', 'refuse')", name="decision"),
)

note = Table(
    "export_note",
    metadata,
    Column("id", ID, primary_key=True),
    Column("export", ID, ForeignKey("export.id"), nullable=False),
    Column("person", ID, ForeignKey("person.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("private", Boolean, nullable=False),
    Column("round", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", STAMP, nullable=False),
    CheckConstraint("kind IN ('comment', 'question', 'answer', 'withdrawal', 'revocation')", name="kind"),
)
"""What was said about an export: added to, never changed. A private note is for those who decide."""
Index("ix_export_note_export", note.c.export)

charge = Table(
    "budget_charge",
    metadata,
    Column("question", String(64), primary_key=True),
    Column("export", ID, ForeignKey("export.id"), nullable=False),
    Column("universe", String(16), nullable=False),
    Column("datasets", JSON, nullable=False),
    Column("tenant", ID, ForeignKey("organisation.id"), nullable=False),
    Column("scenario", ID, ForeignKey("scenario.id"), nullable=False),
    Column("rho", String(200), nullable=False),
    Column("delta", String(200), nullable=False),
    Column("at", STAMP, nullable=False),
    Column("answer", Text),
)
"""What a question cost, charged before noise is drawn and never given back; ``answer`` is what asking again gives (law 3)."""

record_set = Table(
    "record_set",
    metadata,
    Column("export", ID, ForeignKey("export.id"), primary_key=True),
    Column("universe", String(16), primary_key=True),
    Column("compared", Integer, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Column("sets", LargeBinary, nullable=False),
    Column("totals", LargeBinary, nullable=False),
    CheckConstraint("compared >= 0", name="compared"),
)
"""Whom each number of a checked table depends on, sealed; it was compared with what had been told up to ``compared`` (law 4)."""

record_told = Table(
    "record_told",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("export", ID, ForeignKey("export.id"), nullable=False),
    Column("universe", String(16), nullable=False),
    Column("at", STAMP, nullable=False),
    UniqueConstraint("export", "universe"),
    CheckConstraint("seq > 0", name="seq"),
)
"""The order in which record sets were released. Neither table is ever changed: the end of a tenant takes back nothing it was told."""
