"""Whose privacy a statistic protects: exactly one subject a row, known from where the column comes, not from its name (E3)."""

from __future__ import annotations

from collections.abc import Mapping

from export_gate.statistic.measures import plain_name
from jobs.query import Query, subject_columns
from lineage.errors import DefinitionError


def sole_subject(query: Query, subjects: Mapping[str, str], declared: str) -> str:
    """Give the column of the rows that a question must be bounded by.

    A row that belongs to two subjects (a join of persons by anything but their key) is no row of either: limiting the one
    would leave the other unlimited, so such a query is refused.

    Args:
        query: the checked query.
        subjects: subject key of each input that is about subjects.
        declared: the column that the product names as its subject.

    Raises:
        DefinitionError: ``statistic.no-subject``, ``statistic.several-subjects``, ``statistic.other-subject``;
            ``query.subject-lost`` when a step drops the key.
    """
    columns = subject_columns(query, subjects)
    if not columns:
        raise DefinitionError("statistic.no-subject")
    if len(columns) > 1:
        raise DefinitionError("statistic.several-subjects", columns=", ".join(columns))
    if plain_name(declared) != plain_name(columns[0]):
        raise DefinitionError("statistic.other-subject", declared=declared, column=columns[0])
    return columns[0]
