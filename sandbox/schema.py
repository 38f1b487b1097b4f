"""Tables of the domain itself. Times are RFC 3339 text in UTC (text order is time order), lists are JSON."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from lineage.errors import DefinitionError
from lineage.schema import metadata


ID = String(40)
STAMP = String(24)
STATE = String(24)

organisation = Table(
    "organisation",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("title", String(200), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("state", STATE, nullable=False),
    Column("uid", Integer, unique=True),
    CheckConstraint("kind IN ('authority', 'provider', 'tenant', 'expert', 'maintainer')", name="kind"),
    CheckConstraint("(kind = 'tenant') = (uid IS NOT NULL)", name="uid_of_tenants"),
)

person = Table(
    "person",
    metadata,
    Column("id", ID, primary_key=True),
    Column("login", String(64), nullable=False, unique=True),
    Column("name", String(100), nullable=False),
    Column("organisation", ID, ForeignKey("organisation.id"), nullable=False),
    Column("state", STATE, nullable=False),
)

person_role = Table(
    "person_role",
    metadata,
    Column("person", ID, ForeignKey("person.id"), primary_key=True),
    Column("role", String(24), primary_key=True),
)

token = Table(
    "token",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("person", ID, ForeignKey("person.id"), nullable=False),
    Column("issued", STAMP, nullable=False),
    Column("expires", STAMP, nullable=False),
    Column("revoked", STAMP),
    CheckConstraint("expires > issued", name="lifetime"),
)

dataset = Table(
    "dataset",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", String(130), nullable=False, unique=True),
    Column("title", String(200), nullable=False),
    Column("provider", ID, ForeignKey("organisation.id"), nullable=False),
    Column("subject_kind", String(16)),
    Column("subject_column", String(64)),
    Column("schema", JSON, nullable=False),
    Column("closed", Boolean, nullable=False, default=False),
    CheckConstraint("(subject_kind IS NULL) = (subject_column IS NULL)", name="subject"),
)
"""A table of a provider, named ``provider.table``. ``closed`` may not be authorized at all (I4)."""

dataset_column = Table(
    "dataset_column",
    metadata,
    Column("dataset", ID, ForeignKey("dataset.id"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("type", String(32), nullable=False),
    Column("suggestion", JSON),
    Column("role", String(24)),
    Column("grade", Integer),
    Column("entity", String(32), nullable=False, default=""),
    Column("closed", Boolean, nullable=False, default=False),
    Column("confirmed_by", ID, ForeignKey("person.id")),
    CheckConstraint("grade BETWEEN 1 AND 4", name="grade"),
    CheckConstraint("(role IS NULL) = (grade IS NULL)", name="graded"),
    CheckConstraint("(grade IS NULL) = (confirmed_by IS NULL)", name="confirmed"),
)

dataset_version = Table(
    "dataset_version",
    metadata,
    Column("dataset", ID, ForeignKey("dataset.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("as_of", String(10), nullable=False),
    Column("imported", STAMP, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("quarantined", JSON, nullable=False),
    Column("quality", JSON, nullable=False),
    Column("source_sha256", String(64), nullable=False),
)

agreement = Table(
    "agreement",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant", ID, ForeignKey("organisation.id"), nullable=False),
    Column("terms", JSON, nullable=False),
    Column("state", STATE, nullable=False),
    Column("signed", STAMP, nullable=False),
    Column("until", STAMP, nullable=False),
    CheckConstraint("until > signed", name="term"),
)

scenario = Table(
    "scenario",
    metadata,
    Column("id", ID, primary_key=True),
    Column("agreement", ID, ForeignKey("agreement.id"), nullable=False),
    Column("tenant", ID, ForeignKey("organisation.id"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("state", STATE, nullable=False),
    UniqueConstraint("agreement", "name"),
)

request = Table(
    "request",
    metadata,
    Column("id", ID, primary_key=True),
    Column("scenario", ID, ForeignKey("scenario.id"), nullable=False),
    Column("items", JSON, nullable=False),
    Column("persons", JSON, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("until", STAMP, nullable=False),
    Column("state", STATE, nullable=False),
    Column("made_by", ID, ForeignKey("person.id"), nullable=False),
    Column("made", STAMP, nullable=False),
    Column("reason", Text),
)

request_approval = Table(
    "request_approval",
    metadata,
    Column("request", ID, ForeignKey("request.id"), primary_key=True),
    Column("organisation", ID, ForeignKey("organisation.id"), primary_key=True),
    Column("person", ID, ForeignKey("person.id"), nullable=False),
    Column("at", STAMP, nullable=False),
)

grant = Table(
    "granted",
    metadata,
    Column("id", ID, primary_key=True),
    Column("request", ID, ForeignKey("request.id"), nullable=False, unique=True),
    Column("scenario", ID, ForeignKey("scenario.id"), nullable=False),
    Column("tenant", ID, ForeignKey("organisation.id"), nullable=False),
    Column("items", JSON, nullable=False),
    Column("persons", JSON, nullable=False),
    Column("started", STAMP, nullable=False),
    Column("until", STAMP, nullable=False),
    Column("state", STATE, nullable=False),
    CheckConstraint("until > started", name="term"),
)

provisioned = Table(
    "provisioned",
    metadata,
    Column("id", ID, primary_key=True),
    Column("grant", ID, ForeignKey("granted.id"), nullable=False),
    Column("zone", String(8), nullable=False),
    Column("dataset", ID, ForeignKey("dataset.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("columns", JSON, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("record", JSON, nullable=False),
    Column("made", STAMP, nullable=False),
    CheckConstraint("zone IN ('view', 'input')", name="zone"),
    UniqueConstraint("grant", "zone", "dataset", "version"),
)
"""A view or an input that lies in the grant's sealed folder, with the record of every transform (P4)."""
Index("ix_provisioned_grant", provisioned.c.grant)


def check_line(column: Column[str], value: str) -> None:
    """Check a name or title before it is stored: one printable line that fits its column, the same on every database.

    Raises:
        DefinitionError: it is empty, too long, or holds control characters, which could paint over a page or a terminal.
    """
    most = column.type.length if isinstance(column.type, String) else None
    if not value.strip() or not value.isprintable() or (most is not None and len(value) > most):
        shown = "".join(char if char.isprintable() else "�" for char in value[:40])
        raise DefinitionError("text.bad-line", text=shown, most=most or 0)
