"""The gate's side of the ledger of record sets: from what the worker hands over to the entry of a release (law 4).

Whose numbers they are, what a number was asked for and where its values come from is settled here, outside the jail, from the
checked query and the catalogue.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from desensitize.gate_key import gate_key
from desensitize.numbers_file import FILE
from desensitize.registry import numbers_opened
from export_gate.finding import Finding, Verdict
from export_gate.origins import argument_sources
from export_gate.records.judging import Judged, judge
from export_gate.records.ledger import keep, kept, read_kept, sealer_of, tell
from export_gate.records.recorded import ROWS, Published, Recorded, to_blobs
from export_gate.records.vectors import Number, from_wire, numbers_of
from export_gate.table.check import CellPolicy
from jobs.query import Query, subject_columns
from lineage.canonical import Json, encode
from lineage.errors import MissingPartError
from lineage.log import Change
from sandbox.columns import SubjectKind
from sandbox.domain import Domain
from sandbox.grants import Grant, Provisioned


NO_SUBJECTS = Finding("records.no-subjects", 1, Verdict.REVIEW, "records.no-subjects")
"""A table about nobody has no record sets: whether it really is about nobody is for the reviewers to say."""


@dataclass(frozen=True)
class Asked:
    """A table as it was asked for.

    Attributes:
        query: the checked query.
        subjects, kinds: subject key and kind of subject of each input that is about somebody.
        datasets: name of the dataset behind each input.
        tenant: who asks.
    """

    query: Query
    subjects: Mapping[str, str]
    kinds: Mapping[str, SubjectKind]
    datasets: Mapping[str, str]
    tenant: str

    @property
    def about(self) -> tuple[str, ...]:
        """The inputs that name the subjects of the table, one for each of its subject columns."""
        origins = self.query.lineage.origins
        return tuple(origins[column].table for column in subject_columns(self.query, self.subjects))


@contextmanager
def opened_numbers(domain: Domain, grant: Grant, tables: Mapping[str, Provisioned]) -> Iterator[dict[str, Path]]:
    """Open the folders with the subject numbers of tables (input name → table), for the gate's worker alone.

    Raises:
        MissingPartError: a table was provisioned without numbers; it has to be provisioned again (law 7).
    """
    if not tables:
        yield {}
        return
    with numbers_opened(domain, grant) as folder:
        found = {numbers_of(name): folder / table.id for name, table in tables.items()}
        if not all((path / FILE).is_file() for path in found.values()):
            raise MissingPartError("records.not-numbered")
        yield found


def recorded(asked: Asked, found: Sequence[Mapping[str, Any]]) -> tuple[Recorded, ...]:
    """Read what the worker made, a part for each subject column, as one recorded table for each universe.

    Raises:
        MissingPartError: it is not what was asked for (law 7).
    """
    about = asked.about
    if len(found) != len(about):
        raise MissingPartError("records.not-a-vector")
    numbers: dict[str, list[Number]] = {}
    for name, part in zip(about, found, strict=True):
        numbers.setdefault(asked.kinds[name].value, []).extend(from_wire(part["vectors"]))
    if not found:
        return ()
    columns = _published(asked, found[0]["counts"])
    return tuple(Recorded(universe, columns, tuple(each)) for universe, each in numbers.items())


def _published(asked: Asked, counts: Sequence[bool]) -> tuple[Published, ...]:
    query = asked.query
    keys, datasets = [key.expression for key in query.keys], [[name, asked.datasets[name]] for name in query.tables]
    sources = argument_sources(query, asked.datasets)
    columns = []
    for one, counting in zip(query.aggregates, counts, strict=True):
        text = encode([query.source, keys, datasets, one.function.value, one.argument or "*"])
        behind = sources[one.name] | ({ROWS} if counting or not sources[one.name] else set())
        columns.append(Published(one.name, hashlib.sha256(text).hexdigest()[:16], behind))
    return tuple(columns)


def judged(domain: Domain, asked: Asked, found: Sequence[Mapping[str, Any]], policy: CellPolicy) -> tuple[Judged, ...]:
    """Compare a made table with everything told before, universe by universe.

    Raises:
        MissingPartError: the ledger, its key or the vectors are not whole (law 7).
    """
    records = recorded(asked, found)
    if not records:
        return ()
    sealer = sealer_of(gate_key(domain))
    with domain.read() as connection:
        return tuple(judge(connection, one, asked.tenant, policy, sealer) for one in records)


def keep_all(change: Change, domain: Domain, export: str, records: Sequence[Judged]) -> dict[str, Json]:
    """Keep the record sets of a checked export; gives their digests by universe, for the entry of its check."""
    if not records:
        return {}
    sealer = sealer_of(gate_key(domain))
    return {
        one.record.universe: keep(change, export, one.record.universe, to_blobs(one.record), one.compared, sealer)
        for one in records
    }


def tell_all(change: Change, export: str) -> list[str]:
    """Enter an export's record sets as told; gives the ids that the entry of its release must name."""
    return tell(change, export, list(kept(change.connection, export)))


def overtaken(change: Change, domain: Domain, export: str, tenant: str, policy: CellPolicy) -> tuple[Finding, ...]:
    """Compare an approved export with what was told since its check; gives the findings that do not let it out.

    In the transaction of the release, which is the only writer: of two tables that tell something only together, one leaves.
    """
    universes = kept(change.connection, export)
    if not universes:
        return ()
    sealer = sealer_of(gate_key(domain))
    found: list[Finding] = []
    for universe, compared in universes.items():
        contents = read_kept(change.connection, export, universe, sealer)
        record = Recorded(universe, contents.columns, tuple(contents.numbers()))
        found += judge(change.connection, record, tenant, policy, sealer, compared).findings
    return tuple(one for one in found if not one.verdict.lets_out)
