"""The ledger of record sets: kept sealed when a table is checked, told in the transaction that releases it, never changed (laws 4, 5).

All tenants, tables and versions of one universe of subjects stand in one ledger. The end of a tenant takes nothing out: what it was
told stays told. The log counts what was told, so that neither a lost row nor a restored backup makes the gate forget.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select

from desensitize.gate_key import GateKey, Sealer
from desensitize.registry import logged
from export_gate.records.compare import Earlier
from export_gate.records.recorded import Blobs, Contents, heads_from
from export_gate.schema import export as exports
from export_gate.schema import record_set, record_told
from jobs.schema import job
from lineage.errors import MissingPartError
from lineage.log import Change


@dataclass(frozen=True)
class Told:
    """A released record set: its place in the order of releases, its export, and the tenant that received it."""

    seq: int
    export: str
    tenant: str


@dataclass(frozen=True, eq=False)
class Ledger:
    """What was told of a universe after some place in the order: which tables, and their numbers for comparing."""

    tables: tuple[Told, ...]
    earlier: Earlier
    upto: int


def log_subject_of(universe: str) -> str:
    """Give the id under which the log names the ledger of a universe."""
    return f"records:{universe}"


def sealer_of(gate: GateKey) -> Sealer:
    """Give what seals the ledger; nobody but the gate has its key."""
    return gate.sealer("records")


def keep(change: Change, export: str, universe: str, blobs: Blobs, compared: int, sealer: Sealer) -> str:
    """Keep the record sets of a checked export; gives the digest that its entry on the log names.

    Args:
        change: the transaction that settles the check.
        export: its id.
        universe: whose numbers.
        blobs: the recorded table.
        compared: the newest place in the order of releases that it was compared with.
        sealer: seals the blobs.
    """
    parts = {"head": blobs.head, "sets": blobs.sets, "totals": blobs.totals}
    sealed = {name: sealer.seal(data, export, universe, name) for name, data in parts.items()}
    change.connection.execute(insert(record_set).values(export=export, universe=universe, compared=compared, **sealed))
    return hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in sealed.values())).hexdigest()


def kept(connection: Connection, export: str) -> dict[str, int]:
    """Give the universes of an export's record sets, each with the place up to which it was compared."""
    query = select(record_set.c.universe, record_set.c.compared).where(record_set.c.export == export)
    return {row.universe: row.compared for row in connection.execute(query.order_by(record_set.c.universe))}


def tell(change: Change, export: str, universes: Sequence[str]) -> list[str]:
    """Enter an export's record sets as told; gives the ids that the entry of the release must name beside its own."""
    last = change.connection.execute(select(func.max(record_told.c.seq))).scalar() or 0
    for place, universe in enumerate(universes, start=last + 1):
        change.connection.execute(insert(record_told).values(seq=place, export=export, universe=universe, at=change.at))
    return [log_subject_of(universe) for universe in universes]


def read_ledger(connection: Connection, universe: str, sealer: Sealer, after: int = 0) -> Ledger:
    """Read what was told of a universe after a place in the order of releases.

    Raises:
        MissingPartError: something that the log says was told is missing, damaged or exchanged (law 7).
    """
    import numpy as np

    _check_whole(connection, universe)
    query = (
        select(record_told.c.seq, record_told.c.export, job.c.tenant, record_set.c.head)
        .join(record_set, (record_set.c.export == record_told.c.export) & (record_set.c.universe == universe))
        .join(exports, exports.c.id == record_told.c.export)
        .join(job, job.c.id == exports.c.job)
        .where(record_told.c.universe == universe, record_told.c.seq > after)
        .order_by(record_told.c.seq)
    )
    tables, heads = [], [heads_from(b"")]
    for row in connection.execute(query):
        tables.append(Told(row.seq, row.export, row.tenant))
        heads.append(heads_from(sealer.open(row.head, row.export, universe, "head")))
    sizes = np.array([len(one) for one in heads[1:]], dtype=np.int64)

    def opened(place: int) -> Contents:
        return _contents(connection, tables[place].export, universe, heads[place + 1], sealer)

    earlier = Earlier(
        heads=np.concatenate(heads),
        owners=np.repeat(np.arange(len(sizes)), sizes),
        first=np.cumsum(sizes) - sizes,
        open=opened,
    )
    return Ledger(tuple(tables), earlier, max([after, *(one.seq for one in tables)]))


def read_kept(connection: Connection, export: str, universe: str, sealer: Sealer) -> Contents:
    """Read the record sets of an export, told or not.

    Raises:
        MissingPartError: they are damaged.
    """
    head = connection.execute(_of(record_set.c.head, export, universe)).scalar_one()
    heads = heads_from(sealer.open(head, export, universe, "head"))
    return _contents(connection, export, universe, heads, sealer)


def _contents(connection: Connection, export: str, universe: str, heads: Any, sealer: Sealer) -> Contents:
    def part(column: Any) -> bytes:
        sealed = connection.execute(_of(column, export, universe)).scalar_one()
        return sealer.open(sealed, export, universe, column.name)

    return Contents(heads, part(record_set.c.sets), lambda: part(record_set.c.totals))


def _of(column: Any, export: str, universe: str) -> Any:
    return select(column).where(record_set.c.export == export, record_set.c.universe == universe)


def _check_whole(connection: Connection, universe: str) -> None:
    """Hold the rows against the log, which nobody can shorten unseen."""
    both = (record_set.c.export == record_told.c.export) & (record_set.c.universe == record_told.c.universe)
    told = select(func.count()).select_from(record_told).join(record_set, both)
    found = connection.execute(told.where(record_told.c.universe == universe)).scalar_one()
    if found != logged(connection, log_subject_of(universe)):
        raise MissingPartError("records.ledger-incomplete", universe=f"label.subject-kind.{universe}")
