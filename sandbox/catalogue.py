"""The catalogue: datasets with their columns, versions, classification and grades (I2, I3, I4, E6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from lineage.canonical import Json
from lineage.errors import DefinitionError, NotPermittedError
from lineage.kinds import Kind
from lineage.log import Change
from sandbox.access import Session, check_still_active
from sandbox.columns import Column, Grade, Role, SubjectKind
from sandbox.domain import Domain, new_id
from sandbox.roles import OrganisationKind, Permission
from sandbox.schema import check_line, dataset, dataset_column, dataset_version


@dataclass(frozen=True)
class Dataset:
    """A dataset as read; ``schema`` is the JSON form of its declared schema."""

    id: str
    name: str
    title: str
    provider: str
    subject_kind: SubjectKind | None
    subject_column: str | None
    schema: Mapping[str, Any]
    closed: bool


@dataclass(frozen=True)
class Version:
    """One imported version: the Delta version of the RAW table and the date its data were taken (E6)."""

    dataset: str
    version: int
    as_of: str
    imported: str
    rows: int
    quarantined: Mapping[str, int]
    source_sha256: str


@dataclass(frozen=True)
class ListedColumn:
    """A column as listed: role and grade are None until a person confirmed them."""

    name: str
    type: str
    suggestion: Mapping[str, Any] | None
    role: Role | None
    grade: Grade | None
    entity: str
    closed: bool

    @property
    def graded(self) -> Column | None:
        """The column as controls read it, or None while ungraded."""
        if self.role is None or self.grade is None:
            return None
        return Column(self.name, self.type, self.role, self.grade, self.closed, self.entity)


def declare(
    domain: Domain,
    session: Session,
    *,
    name: str,
    title: str,
    columns: Sequence[tuple[str, str]],
    schema: Mapping[str, Any],
    subject: tuple[SubjectKind, str] | None,
) -> str:
    """Enter a provider's table into the catalogue; gives its id. ``columns`` are names and types in order.

    Raises:
        NotPermittedError: the person may not.
        DefinitionError: the name is not ``provider.table`` with the provider's own name, or is taken; the subject is no column.
    """
    session.check(Permission.DATASET_IMPORT)
    owner, _, table = name.partition(".")
    if owner != session.organisation_name or not table.replace("_", "").isalnum() or not table.islower():
        raise DefinitionError("dataset.bad-name", name=name, provider=session.organisation_name)
    if subject is not None and subject[1] not in {column for column, _ in columns}:
        raise DefinitionError("dataset.no-such-column", dataset=name, column=subject[1])
    check_line(dataset.c.name, name)
    check_line(dataset.c.title, title)
    identity = new_id("D")
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        if change.connection.execute(select(dataset.c.id).where(dataset.c.name == name)).scalar():
            raise DefinitionError("dataset.name-taken", name=name)
        change.connection.execute(
            insert(dataset).values(
                id=identity,
                name=name,
                title=title,
                provider=session.organisation,
                subject_kind=None if subject is None else subject[0].value,
                subject_column=None if subject is None else subject[1],
                schema=dict(schema),
                closed=False,
            )
        )
        for position, (column, kind) in enumerate(columns):
            change.connection.execute(
                insert(dataset_column).values(dataset=identity, name=column, position=position, type=kind, closed=False)
            )
        change.record(
            Kind.DATASET_DECLARED,
            [identity, session.organisation],
            {"name": name, "title": title, "columns": [column for column, _ in columns]},
        )
    return identity


def record_version(change: Change, found: Dataset, version: Version, quality: Sequence[Mapping[str, Json]]) -> None:
    """Put an imported version into the catalogue, with its place in the lineage graph (L1)."""
    change.connection.execute(
        insert(dataset_version).values(
            dataset=found.id,
            version=version.version,
            as_of=version.as_of,
            imported=version.imported,
            rows=version.rows,
            quarantined=dict(version.quarantined),
            quality=list(quality),
            source_sha256=version.source_sha256,
        )
    )
    node, source = node_of(found.name, version.version), f"source:{version.source_sha256}"
    change.record(
        Kind.DATASET_IMPORTED,
        [found.id, found.provider],
        {
            "dataset": found.name,
            "version": version.version,
            "as_of": version.as_of,
            "rows": version.rows,
            "quarantined": dict(version.quarantined),
            "lineage": {
                "from": [source],
                "to": [node],
                "nodes": {
                    node: {"title": found.title, "date": version.as_of, "version": version.version},
                    source: {"title": found.name, "date": version.as_of},
                },
            },
        },
    )


def node_of(name: str, version: int) -> str:
    """Name a dataset's version in the lineage graph."""
    return f"dataset:{name}@{version}"


def store_suggestions(
    domain: Domain, session: Session, name: str, suggestions: Mapping[str, Mapping[str, Json]]
) -> None:
    """Keep what the classifier suggests for a provider's own dataset; nothing is in force until a person confirms (I3)."""
    session.check(Permission.DATASET_GRADE)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = own_dataset(change.connection, session, name)
        for column, suggestion in suggestions.items():
            change.connection.execute(
                update(dataset_column).where(_is(found.id, column)).values(suggestion=dict(suggestion))
            )
        change.record(Kind.DATASET_CLASSIFIED, [found.id], {"suggestions": dict(suggestions)})


def grade(domain: Domain, session: Session, name: str, confirmed: Mapping[str, tuple[Role, Grade, str]]) -> None:
    """Confirm role, grade and entity (what a value is; empty when nothing known) of columns of a provider's own dataset (I3).

    Raises:
        DefinitionError: no such column, or the subject key is not graded as a direct identifier.
    """
    session.check(Permission.DATASET_GRADE)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = own_dataset(change.connection, session, name)
        for column, (role, level, entity) in confirmed.items():
            if column == found.subject_column and role is not Role.DIRECT_IDENTIFIER:
                raise DefinitionError("dataset.subject-is-identifier", dataset=name, column=column)
            done = change.connection.execute(
                update(dataset_column)
                .where(_is(found.id, column))
                .values(role=role.value, grade=int(level), entity=entity, confirmed_by=session.person)
            )
            if done.rowcount != 1:
                raise DefinitionError("dataset.no-such-column", dataset=name, column=column)
        payload: dict[str, Json] = {
            name: [role.value, int(level), entity] for name, (role, level, entity) in confirmed.items()
        }
        change.record(Kind.DATASET_GRADED, [found.id], {"columns": payload})


def close(domain: Domain, session: Session, name: str, column: str | None, reason: str) -> None:
    """Close a dataset, or one column of it: it cannot be requested at all any more (I4)."""
    session.check(Permission.DATASET_GRADE)
    if not reason.strip():
        raise DefinitionError("reason.missing")
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        found = own_dataset(change.connection, session, name)
        if column is None:
            change.connection.execute(update(dataset).where(dataset.c.id == found.id).values(closed=True))
        else:
            done = change.connection.execute(update(dataset_column).where(_is(found.id, column)).values(closed=True))
            if done.rowcount != 1:
                raise DefinitionError("dataset.no-such-column", dataset=name, column=column)
        change.record(Kind.DATASET_CLOSED, [found.id], {"column": column or "", "reason": reason})


def get_dataset(connection: Connection, name: str) -> Dataset:
    """Read a dataset by name or id.

    Raises:
        NotPermittedError: there is none.
    """
    row = connection.execute(select(dataset).where((dataset.c.name == name) | (dataset.c.id == name))).one_or_none()
    if row is None:
        raise NotPermittedError("dataset.unknown", name=name)
    return _dataset(row)


def own_dataset(connection: Connection, session: Session, name: str) -> Dataset:
    """Read a dataset of the session's own organisation.

    Raises:
        NotPermittedError: there is none, in the same words whether another provider has one of that name (D1).
    """
    found = get_dataset(connection, name)
    if found.provider != session.organisation:
        raise NotPermittedError("dataset.unknown", name=name)
    return found


def listed_dataset(connection: Connection, session: Session, name: str) -> Dataset:
    """Read a dataset of the catalogue as a session sees it: a provider its own, others every one.

    Raises:
        NotPermittedError: there is none in it.
    """
    session.check(Permission.CATALOGUE_READ)
    if session.kind is OrganisationKind.PROVIDER:
        return own_dataset(connection, session, name)
    return get_dataset(connection, name)


def list_datasets(connection: Connection, session: Session) -> list[Dataset]:
    """Read the catalogue: everybody may know what exists (I2); a provider sees its own tables."""
    session.check(Permission.CATALOGUE_READ)
    query = select(dataset).order_by(dataset.c.name)
    if session.kind is OrganisationKind.PROVIDER:
        query = query.where(dataset.c.provider == session.organisation)
    return [_dataset(row) for row in connection.execute(query)]


def columns_of(connection: Connection, identity: str) -> list[ListedColumn]:
    """Read a dataset's columns in order."""
    query = select(dataset_column).where(dataset_column.c.dataset == identity).order_by(dataset_column.c.position)
    return [_column(row) for row in connection.execute(query)]


def latest_version(connection: Connection, identity: str) -> Version:
    """Read the newest version of a dataset.

    Raises:
        DefinitionError: nothing was imported yet.
    """
    newest = select(func.max(dataset_version.c.version)).where(dataset_version.c.dataset == identity).scalar_subquery()
    query = select(dataset_version).where(dataset_version.c.dataset == identity, dataset_version.c.version == newest)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise DefinitionError("dataset.empty", dataset=get_dataset(connection, identity).name)
    return _version(row)


def versions_of(connection: Connection, identity: str) -> list[Version]:
    """Read every version of a dataset, oldest first."""
    query = select(dataset_version).where(dataset_version.c.dataset == identity).order_by(dataset_version.c.version)
    return [_version(row) for row in connection.execute(query)]


def _is(identity: str, column: str) -> Any:
    return (dataset_column.c.dataset == identity) & (dataset_column.c.name == column)


def _dataset(row: Row[Any]) -> Dataset:
    kind = None if row.subject_kind is None else SubjectKind(row.subject_kind)
    return Dataset(row.id, row.name, row.title, row.provider, kind, row.subject_column, row.schema, row.closed)


def _column(row: Row[Any]) -> ListedColumn:
    return ListedColumn(
        name=row.name,
        type=row.type,
        suggestion=row.suggestion,
        role=None if row.role is None else Role(row.role),
        grade=None if row.grade is None else Grade(row.grade),
        entity=row.entity,
        closed=row.closed,
    )


def _version(row: Row[Any]) -> Version:
    return Version(row.dataset, row.version, row.as_of, row.imported, row.rows, row.quarantined, row.source_sha256)
