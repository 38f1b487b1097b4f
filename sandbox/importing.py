"""Importing a provider's file as a new version of its dataset: RAW table, quarantine, catalogue and log, all or nothing (I1, I2, I8)."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING

from lineage.canonical import Json
from sandbox.access import Session, check_still_active
from sandbox.catalogue import Dataset, Version, declare, own_dataset, record_version
from sandbox.domain import Domain
from sandbox.ingest import Imported, Source, load
from sandbox.roles import Permission
from sandbox.schema_file import Declaration, schema_from_json, schema_to_json


if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def declare_dataset(domain: Domain, session: Session, declaration: Declaration) -> str:
    """Enter a declared table into the catalogue; gives the dataset's id."""
    schema = declaration.schema
    columns = [(column.name, column.type.spark) for column in schema.columns]
    if schema.make_subject and schema.subject_key is not None:
        columns.append((schema.subject_key, "bigint"))
    subject = None
    if schema.subject_key is not None and declaration.subject_kind is not None:
        subject = (declaration.subject_kind, schema.subject_key)
    return declare(
        domain,
        session,
        name=declaration.name,
        title=declaration.title,
        columns=columns,
        schema=schema_to_json(schema),
        subject=subject,
    )


def import_dataset(
    domain: Domain, session: Session, spark: SparkSession, name: str, source: Source, as_of: date
) -> tuple[Version, Imported]:
    """Import a source as a new version; gives what the catalogue holds of it and the engine's counts.

    The Delta commit comes first and the catalogue's transaction last: the catalogue is what says which version exists, so a crash
    between leaves a version nobody can name, which the next import passes over.

    Raises:
        NotPermittedError: the dataset is another provider's.
        DataFileError: the file is not what was declared; nothing is kept.
    """
    session.check(Permission.DATASET_IMPORT)
    with domain.read() as connection:
        found = own_dataset(connection, session, name)
    folder = domain.raw(found.id)
    with _alone(domain, found):
        imported = load(
            spark,
            source,
            schema_from_json(found.schema),
            table=folder / "table",
            quarantine=folder / "quarantine",
            as_of=as_of,
        )
        with domain.change(session.actor) as change:
            check_still_active(change, session)
            version = Version(
                dataset=found.id,
                version=imported.version,
                as_of=as_of.isoformat(),
                imported=change.at,
                rows=imported.rows,
                quarantined=imported.quarantined,
                source_sha256=imported.source_sha256,
            )
            quality: list[Mapping[str, Json]] = [asdict(one) for one in imported.quality]
            record_version(change, found, version, quality)
    return version, imported


@contextmanager
def _alone(domain: Domain, found: Dataset) -> Iterator[None]:
    """Let one import at a time write a dataset's folder."""
    folder = domain.raw(found.id)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
