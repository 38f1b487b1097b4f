"""Looking at a view: what a named processor may see with their own eyes. There is no such thing for inputs or raw tables (P1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lineage.clock import stamp
from lineage.errors import NotPermittedError
from lineage.kinds import Kind
from sandbox.access import Session, check_still_active
from sandbox.agreements import get_scenario
from sandbox.domain import Domain
from sandbox.grants import Zone, check_named, live_grant, tables_of, zone_opened
from sandbox.roles import Permission


@dataclass(frozen=True)
class Head:
    """The first rows of a view as plain values, with the record of its treatment (P4)."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    record: Mapping[str, Any]


def first_rows(domain: Domain, session: Session, scenario: str, dataset: str, rows: int) -> Head:
    """Read the first rows of a view, without a JVM.

    Raises:
        NotPermittedError: the person is not named in the grant, or the dataset is not in it: no raw table has a view (P1).
    """
    session.check(Permission.VIEW_READ)
    with domain.read() as connection:
        get_scenario(connection, scenario, session)
        found = live_grant(connection, scenario, stamp(domain.now()))
        check_named(session, found)
        tables = tables_of(connection, found, Zone.VIEW)
    if dataset not in tables:
        raise NotPermittedError("view.not-granted", dataset=dataset, granted=", ".join(tables) or "-")
    table = tables[dataset]
    from deltalake import DeltaTable

    with zone_opened(domain, found, Zone.VIEW) as folder:
        head = DeltaTable(folder / table.id).to_pyarrow_dataset().head(rows)
    with domain.change(session.actor) as change:
        check_still_active(change, session)
        change.record(
            Kind.VIEW_SHOWN, [table.id, found.id, found.scenario], {"dataset": dataset, "rows": head.num_rows}
        )
    columns = tuple(head.column_names)
    return Head(columns, tuple(tuple(row[name] for name in columns) for row in head.to_pylist()), told(table.record))


def told(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of a table's record its reader may know: how columns were treated, not how many rows and subjects RAW holds (P1)."""
    return {"columns": record.get("columns", []), "sample_rate": record.get("sample_rate")}
