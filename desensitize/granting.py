"""Provisioning a grant: each granted dataset once as a view and once as an input, into the grant's sealed folders (P1, P2, P4, D1, D3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from desensitize.numbers_file import write_numbers
from desensitize.policy import Plan, plan
from desensitize.provision import provision, subject_keys
from desensitize.pseudonym import ScenarioKeys
from desensitize.registry import Universe, make_numbers_folder, number_subjects, numbers_opened
from desensitize.rowfilter import parse_filter
from desensitize.sampling import SampleRate
from lineage.clock import stamp
from lineage.errors import DefinitionError
from lineage.log import PLATFORM
from sandbox.catalogue import Dataset, columns_of, get_dataset, latest_version
from sandbox.columns import Column, SubjectKind
from sandbox.domain import Domain
from sandbox.grants import (
    Grant,
    Zone,
    ensure_key,
    get_grant,
    live_grant,
    new_table_id,
    record_provisioned,
    tables_of,
    zone_opened,
)
from sandbox.requests import Item


if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class _Source:
    """One granted dataset at the version to provision."""

    item: Item
    dataset: Dataset
    version: int
    columns: tuple[Column, ...]


def check_items(domain: Domain, items: Sequence[Item]) -> None:
    """Check the row filters of request items when they are made, so that nobody approves one that cannot be carried out.

    Raises:
        DefinitionError: a filter is no allowed condition over its dataset's columns.
    """
    with domain.read() as connection:
        for item in items:
            found = get_dataset(connection, item.dataset)
            names = [column.name for column in columns_of(connection, found.id)]
            if item.row_filter is not None:
                parse_filter(item.row_filter, names)


def provision_grant(domain: Domain, spark: SparkSession, grant_id: str) -> list[str]:
    """Provision a live grant from the newest versions; tables that are there already stay. Gives the ids of new tables.

    Raises:
        NotPermittedError: the grant does not hold now.
        DefinitionError, GateRefusedError, MissingPartError: as ``provision``; what was made before stays usable.
    """
    with domain.read() as connection:
        found = get_grant(connection, grant_id)
        live = live_grant(connection, found.scenario, stamp(domain.now()))
        if live.id != found.id:
            raise DefinitionError("grant.not-live", grant=grant_id)
        sources = [_source(domain, item) for item in found.items]
        done = {(zone, t.dataset, t.version) for zone in Zone for t in tables_of(connection, found, zone).values()}
    ensure_key(domain, found)
    keys = ScenarioKeys.derive(domain.keys.tenant_key(found.tenant), tenant=found.tenant, scenario=found.scenario)
    made: list[str] = []
    for zone in Zone:
        with zone_opened(domain, found, zone) as folder:
            made += [
                _provision_one(domain, spark, found, zone, source, keys, folder)
                for source in sources
                if (zone, source.dataset.id, source.version) not in done
            ]
    return made


def _source(domain: Domain, item: Item) -> _Source:
    with domain.read() as connection:
        found = get_dataset(connection, item.dataset)
        version = latest_version(connection, found.id).version
        columns = tuple(one.graded for one in columns_of(connection, found.id) if one.graded is not None)
    return _Source(item, found, version, columns)


def _provision_one(
    domain: Domain, spark: SparkSession, grant: Grant, zone: Zone, source: _Source, keys: ScenarioKeys, folder: Path
) -> str:
    found = source.dataset
    chosen = plan(
        source.columns,
        source.item.columns,
        zone,
        found.subject_column,
        subject_kind=found.subject_kind or SubjectKind.PERSON,
    )
    table = new_table_id()
    sampled = zone is Zone.VIEW and found.subject_column is not None
    record = provision(
        spark,
        raw=domain.raw(found.id) / "table",
        version=source.version,
        plan=chosen,
        keys=keys,
        row_filter=source.item.row_filter,
        into=folder / table,
        sample=SampleRate.training() if sampled else None,
    )
    if zone is Zone.INPUT:
        _number(domain, spark, grant, source, chosen, keys, table)
    columns = {name: name for name in _columns(folder / table)}
    with domain.change(PLATFORM) as change:
        record_provisioned(
            change,
            grant,
            zone,
            found,
            source.version,
            table=table,
            columns=columns,
            rows=record.rows_out,
            record=record.to_json(),
        )
    return table


def _number(
    domain: Domain, spark: SparkSession, grant: Grant, source: _Source, chosen: Plan, keys: ScenarioKeys, table: str
) -> None:
    """Number the subjects of an input, so that the gate can remember whom a table made from it tells of (law 4)."""
    found, token = source.dataset, chosen.subject_token
    if token is None:
        return
    universe = Universe(found.subject_kind or SubjectKind.PERSON, token.entity, found.provider)
    raw, condition = domain.raw(found.id) / "table", source.item.row_filter
    spellings = subject_keys(spark, raw=raw, version=source.version, plan=chosen, row_filter=condition)
    tokens, numbers = number_subjects(domain, universe, spellings, keys)
    make_numbers_folder(domain, grant)
    with numbers_opened(domain, grant) as folder:
        write_numbers(folder / table, tokens, numbers)


def _columns(table: Path) -> list[str]:
    from deltalake import DeltaTable

    return [field.name for field in DeltaTable(table).schema().fields]
