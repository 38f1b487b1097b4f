"""Which columns of a query name the subjects of the rows it reads.

A tenant names result columns and steps freely, so a column called ``resident_id`` proves nothing: it may be a row number that
makes two persons look like two hundred. A column counts as a subject only if it is, unchanged, the subject key of an input; and
every place at which an input about subjects is read must be covered, because a join with a second table of persons would
otherwise lend its many persons to the few of the first.
"""

from __future__ import annotations

from collections.abc import Mapping

from jobs.query.plan import Lineage, Origin, Query, Rows
from lineage.errors import DefinitionError


def subject_columns(query: Query | Rows, subjects: Mapping[str, str]) -> tuple[str, ...]:
    """Give the columns of ``query.source`` (or ``rows.select``) that together name every subject of the rows.

    Args:
        query: a checked query.
        subjects: the subject key of each input that is about subjects; inputs without one are left out.

    Returns:
        One column for each independent subject, none when no input has a subject. A product must be safe for each of them.

    Raises:
        DefinitionError: ``query.subject-lost`` when a step drops or rewrites a subject key.
    """
    lineage = query.lineage
    groups = _equal_groups(lineage)
    chosen: dict[Origin, str] = {}
    for number, table in lineage.occurrences:
        if table not in subjects:
            continue
        wanted = _folded(Origin(number, table, subjects[table]))
        root = groups.get(wanted, wanted)
        if root not in chosen:
            chosen[root] = _carrier(lineage, groups, wanted, subjects[table])
    return tuple(chosen.values())


def _carrier(lineage: Lineage, groups: Mapping[Origin, Origin], wanted: Origin, key: str) -> str:
    """Find the column that carries a subject key: the key itself if it is there, else one that a join holds equal to it."""
    equal: list[str] = []
    for column, origin in lineage.origins.items():
        here = _folded(origin)
        if here == wanted:
            return column
        if groups.get(here, here) == groups.get(wanted, wanted):
            equal.append(column)
    if not equal:
        raise DefinitionError("query.subject-lost", table=wanted.table, column=key)
    return equal[0]


def _folded(origin: Origin) -> Origin:
    return Origin(origin.occurrence, origin.table.lower(), origin.column.lower())


def _equal_groups(lineage: Lineage) -> dict[Origin, Origin]:
    """Merge columns that joins hold equal into groups, each with one representative."""
    root: dict[Origin, Origin] = {}
    for left, right in lineage.equal:
        a = root.get(_folded(left), _folded(left))
        b = root.get(_folded(right), _folded(right))
        root[_folded(left)] = root[_folded(right)] = a
        for key, value in root.items():
            if value == b:
                root[key] = a
    return root
