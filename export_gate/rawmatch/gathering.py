"""The trusted side of raw match: lays the identifiers of the tables behind a product, and its files, ready for the gate's worker (E2, P1).

Whatever a run of a grant could have read comes from the tables of that grant, so their direct identifiers are gathered as they stand in
RAW, at the version that was provisioned, with the tokens that the tenant holds in their place. They lie in a workspace of the gate for
as long as one check takes and are mounted into the gate's own jail; no run ever sees them.
"""

from __future__ import annotations

import fcntl
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from desensitize.entities import Entity, canonical_array
from desensitize.policy import entity_of
from desensitize.pseudonym import ScenarioKeys, tokens
from export_gate.artefact import File
from export_gate.rawmatch.carrying import FILES, IDENTIFIERS, write_identifiers
from jobs.holding import works
from lineage.errors import MissingPartError
from sandbox.catalogue import columns_of, get_dataset
from sandbox.columns import Column, Role
from sandbox.domain import Domain
from sandbox.grants import Grant, Zone, tables_of


if TYPE_CHECKING:
    import pyarrow as pa

_NAMES = frozenset({Entity.NAME})
"""Two or three characters that stand in any text: only with a date of birth do they name somebody."""


@dataclass(frozen=True)
class _Table:
    """A table of a grant: where it lies in RAW, its version, and its identifying columns with what they hold."""

    raw: Path
    version: int
    columns: Mapping[str, Entity]


@contextmanager
def laid_ready(domain: Domain, grant: Grant, files: Sequence[File]) -> Iterator[dict[str, Path]]:
    """Give the folders to mount, by name, for the time of a block: the files of a product and the identifiers behind it.

    Raises:
        MissingPartError: RAW cannot be read at the version that was provisioned (law 7).
    """
    place = works(domain)
    name = f"gate-{secrets.token_hex(12)}"
    workspace = place / name
    workspace.mkdir(mode=0o700, parents=True)
    # Named and locked as the gate's other workspaces are, so that what a crash leaves is cleared with them.
    with (place / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            held, known = workspace / FILES, workspace / IDENTIFIERS
            for folder in (held, known):
                folder.mkdir(mode=0o755)
            for file in files:
                (held / file.name).write_bytes(file.data)
            write_identifiers(known, gather(domain, grant))
            for path in (held, known, *held.iterdir(), *known.iterdir()):
                path.chmod(0o755 if path.is_dir() else 0o644)
            yield {FILES: held, IDENTIFIERS: known}
        finally:
            shutil.rmtree(workspace, ignore_errors=True)
            workspace.with_name(f"{name}.lock").unlink(missing_ok=True)


def gather(domain: Domain, grant: Grant) -> dict[str, pa.Array]:
    """Give the direct identifiers of a grant's tables by kind, each once and in canonical spelling, and the tokens for them.

    Raises:
        MissingPartError: a table cannot be read (law 7).
    """
    keys = ScenarioKeys.derive(domain.keys.tenant_key(grant.tenant), tenant=grant.tenant, scenario=grant.scenario)
    found: dict[str, list[pa.Array]] = {}
    for table in _tables(domain, grant):
        for entity, values in _read(table).items():
            if entity not in _NAMES:
                found.setdefault(entity.value, []).append(values.unique())
            found.setdefault("token", []).append(tokens(values.unique(), entity, keys))
        for values in _named(table):
            found.setdefault("name+birth_date", []).append(values)
    return {kind: _once(parts) for kind, parts in found.items()}


def _once(parts: Sequence[pa.Array]) -> pa.Array:
    import pyarrow as pa

    return pa.concat_arrays([part.cast(pa.string()) for part in parts]).unique().drop_null()


def _tables(domain: Domain, grant: Grant) -> list[_Table]:
    tables = []
    with domain.read() as connection:
        for provisioned in tables_of(connection, grant, Zone.INPUT).values():
            found = get_dataset(connection, provisioned.dataset)
            columns: dict[str, Entity] = {}
            for listed in columns_of(connection, found.id):
                column = listed.graded
                if column is not None and _identifies(column, found.subject_column):
                    kind = found.subject_kind if column.name == found.subject_column else None
                    columns[column.name] = entity_of(column, kind)
            if columns:
                tables.append(_Table(domain.raw(found.id) / "table", provisioned.version, columns))
    return tables


def _identifies(column: Column, subject: str | None) -> bool:
    return column.role is Role.DIRECT_IDENTIFIER or column.name == subject or column.entity == Entity.BIRTH_DATE.value


def _read(table: _Table) -> dict[Entity, pa.Array]:
    """Read the identifying columns of one version, canonically spelled, one below the other where several hold one kind."""
    import pyarrow as pa

    rows = _rows(table)
    found: dict[Entity, list[pa.Array]] = {}
    for name, entity in table.columns.items():
        if entity is not Entity.BIRTH_DATE:
            values = canonical_array(rows.column(name).combine_chunks(), entity)
            found.setdefault(entity, []).append(values)
    return {entity: pa.concat_arrays(parts) for entity, parts in found.items()}


def _named(table: _Table) -> Iterator[pa.Array]:
    """Give names with the date of birth after and before them, where a table holds both, or a resident number that says it."""
    import pyarrow.compute as pc

    by_entity = {entity: name for name, entity in table.columns.items()}
    if Entity.NAME not in by_entity:
        return
    rows = _rows(table)
    names = canonical_array(rows.column(by_entity[Entity.NAME]).combine_chunks(), Entity.NAME)
    if Entity.BIRTH_DATE in by_entity:
        stood = rows.column(by_entity[Entity.BIRTH_DATE]).combine_chunks().cast("string")
        born = pc.replace_substring_regex(stood, "[^0-9]+", "")
    elif Entity.RESIDENT_ID in by_entity:
        held = canonical_array(rows.column(by_entity[Entity.RESIDENT_ID]).combine_chunks(), Entity.RESIDENT_ID)
        born = pc.utf8_slice_codeunits(held, 6, 14)
    else:
        return
    born = pc.utf8_slice_codeunits(born, 0, 8)
    whole = pc.equal(pc.utf8_length(born), 8)
    for pair in ((names, born), (born, names)):
        yield pc.binary_join_element_wise(*pair, "").filter(pc.fill_null(whole, fill_value=False)).unique()


def _rows(table: _Table) -> pa.Table:
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        dataset = DeltaTable(table.raw, version=table.version).to_pyarrow_dataset()
        return dataset.to_table(columns=list(table.columns))
    except (DeltaError, OSError, pa.ArrowException):
        # Not chained: the text of an engine's error may quote a cell of the table.
        raise MissingPartError("rawmatch.raw-unreadable", version=table.version) from None
