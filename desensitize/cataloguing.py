"""Classifying a dataset: suggestions from names and a sample of values, kept for a person to confirm (I3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from desensitize.classify import suggest
from lineage.canonical import Json
from sandbox.access import Session
from sandbox.catalogue import columns_of, latest_version, own_dataset, store_suggestions
from sandbox.columns import Role
from sandbox.domain import Domain
from sandbox.roles import Permission


if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SAMPLE = 2_000
"""Distinct values a column is judged by; whole columns are held against their rule at each import."""


def classify_dataset(
    domain: Domain, session: Session, spark: SparkSession, name: str
) -> Mapping[str, Mapping[str, Json]]:
    """Suggest role, grade and entity of every column of an own dataset; gives what was stored.

    Raises:
        NotPermittedError: the dataset is another provider's.
        DefinitionError: nothing was imported yet.
    """
    session.check(Permission.DATASET_GRADE)
    with domain.read() as connection:
        found = own_dataset(connection, session, name)
        columns = columns_of(connection, found.id)
        version = latest_version(connection, found.id).version
    table = spark.read.format("delta").option("versionAsOf", version).load(str(domain.raw(found.id) / "table"))
    # One pass over the head of the table serves all columns; a skewed head only costs confidence, which a person sees.
    rows = table.limit(SAMPLE * 10).toPandas()
    suggestions: dict[str, Mapping[str, Json]] = {}
    for column in columns:
        values = rows[column.name].dropna().astype(str).unique()[:SAMPLE].tolist()
        one = suggest(column.name, "", values)
        # Whatever its values look like: the key by which subjects are counted is an identifier.
        role = Role.DIRECT_IDENTIFIER if column.name == found.subject_column else one.role
        suggestions[column.name] = {
            "role": role.value,
            "grade": int(one.grade),
            "entity": str(one.entity or ""),
            "confidence": f"{float(one.confidence):.2f}",
        }
    store_suggestions(domain, session, name, suggestions)
    return suggestions
