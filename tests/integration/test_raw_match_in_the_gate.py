"""Raw match in the real gate: identifiers come from RAW, the search runs in the gate's jail, and nothing of either is left behind."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from export_gate.checking import check_export
from export_gate.exports import Export
from export_gate.gatekeeper import Gatekeeper
from export_gate.states import ExportState
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.probe import BWRAP
from lineage.errors import MissingPartError
from sandbox.catalogue import columns_of
from sandbox.grants import Zone, get_grant, tables_of
from tests.factories import STATISTIC, Stage, World
from tests.fixtures_domain import WorldAt
from tests.fixtures_lanes import fill_tables


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0 or not BWRAP.exists(), reason="needs root and bubblewrap"),
]
STRANGERS = [f"22010419900307{n:03d}X" for n in range(200)]


def put_raw(world: World, identifiers: Sequence[str]) -> None:
    """Write RAW tables whose identifying columns hold these values."""
    with world.domain.read() as connection:
        found = get_grant(connection, world.ids["grant"])
        for table in tables_of(connection, found, Zone.INPUT).values():
            names = [column.name for column in columns_of(connection, table.dataset)]
            rows = pa.table({name: pa.array(identifiers, pa.string()) for name in names})
            write_deltalake(world.domain.raw(table.dataset) / "table", rows, mode="overwrite")


def checked(world: World) -> Export:
    return check_export(Gatekeeper(world.domain, BubblewrapJail()), world.ids["export"])


def reasons(found: Export) -> set[str]:
    return {str(one["reason"]) for one in found.reasons or ()}


def nothing_left(world: World) -> bool:
    return list((world.domain.home / "run" / "work").iterdir()) == []


def test_a_product_without_identifiers_passes(world_at: WorldAt) -> None:
    world = world_at(Stage.EXPORT_REQUESTED)
    fill_tables(world)
    put_raw(world, STRANGERS)
    found = checked(world)
    assert {"rawmatch.passed", "rawmatch.no-pseudonyms"} <= reasons(found)
    assert nothing_left(world)


def test_an_identifier_in_the_text_of_the_job_keeps_the_product_in(world_at: WorldAt) -> None:
    """Somebody's number is exactly what the job calls its product, and would leave as its name."""
    world = world_at(Stage.EXPORT_REQUESTED)
    fill_tables(world)
    put_raw(world, [*STRANGERS, STATISTIC])
    found = checked(world)
    assert found.state is ExportState.REFUSED
    assert "rawmatch.found" in reasons(found)
    assert nothing_left(world)


def test_without_raw_there_is_no_check_and_the_export_waits(world_at: WorldAt) -> None:
    world = world_at(Stage.EXPORT_REQUESTED)
    fill_tables(world)
    with pytest.raises(MissingPartError) as caught:
        checked(world)
    assert caught.value.code == "rawmatch.raw-unreadable"
    assert nothing_left(world)
