"""Subject numbers by the real Spark, record sets by the real worker in its jail, on sealed folders of the real storage."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from desensitize.granting import provision_grant
from desensitize.numbers_file import FILE, read_numbers
from desensitize.registry import numbers_opened
from export_gate import release
from export_gate.checking import check_export
from export_gate.exports import Export
from export_gate.gatekeeper import Gatekeeper
from export_gate.states import ExportState
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.probe import BWRAP
from jobs.runs import Stage as RunStage
from jobs.zones import ground_opened
from sandbox.domain import create
from sandbox.grants import Grant, Zone, get_grant, live_grant, tables_of
from tests.factories import (
    World,
    add_version,
    approve_as_authority,
    approve_as_providers,
    at,
    item,
    make_request,
    walk,
)
from tests.selftests import file_real
from tests.telling import approve, ask, people
from tests.worlds import NAME, Hands, Stage, enter_authority


if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.spark,
    pytest.mark.jail,
    pytest.mark.skipif(
        os.geteuid() != 0 or not BWRAP.exists() or shutil.which("gocryptfs") is None,
        reason="needs root, bubblewrap and gocryptfs",
    ),
]

BY_DISTRICT = "SELECT district, COUNT(*) AS n FROM visits GROUP BY district"
OWN = {"medica": ("manager", "processor", "scenario"), "rival": ("rival-manager", "rival-processor", "scenario:rivals")}


def import_rows(world: World, count: int, version: int) -> None:
    """Put a version into RAW as an import does; one row in ten has no person, one person is written in two ways."""
    rows = people(count)
    keys: list[str | None] = [one["resident_id"] for one in rows]
    keys[0] = " P0 "
    columns = {name: pa.array([one[name] for one in rows]) for name in rows[0] if name != "resident_id"}
    table = pa.table({"resident_id": pa.array(keys), **columns})
    nobody = table.slice(0, count // 10).set_column(0, "resident_id", pa.nulls(count // 10, pa.string()))
    target = world.domain.raw(world.ids["health.visits"]) / "table"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_deltalake(target, pa.concat_tables([table, nobody]), mode="overwrite")
    if version:
        add_version(world, "health.visits", version)


def granted(world: World, tenant: str) -> str:
    manager, processor, scenario = OWN[tenant]
    made = make_request(world, item("health.visits"), login=manager, scenario=scenario, persons=[processor])
    approve_as_providers(world, made, "doctor")
    return approve_as_authority(world, made)


@pytest.fixture
def world(tmp_path: Path) -> World:
    hands = Hands()
    made = World(create(tmp_path / "home", NAME, storage="gocryptfs", clock=hands), hands)
    enter_authority(made)
    walk(made, Stage.SCENARIO)
    file_real(made.domain)
    return made


def grant_named(world: World, tenant: str) -> Grant:
    with world.domain.read() as connection:
        return get_grant(connection, live_grant(connection, world.ids[OWN[tenant][2]], at(world)).id)


def checked(world: World, tenant: str, sql: str = BY_DISTRICT) -> Export:
    condition = sql.replace(" GROUP", " WHERE resident_id IS NOT NULL GROUP")
    return check_export(Gatekeeper(world.domain, BubblewrapJail()), ask(world, tenant, condition))


def test_one_new_person_in_another_tenants_version_is_remembered(world: World, spark: SparkSession) -> None:
    import_rows(world, 60, 0)
    ids = {tenant: granted(world, tenant) for tenant in OWN}
    provision_grant(world.domain, spark, ids["medica"])
    _numbers_lie_apart(world, "medica")
    first = checked(world, "medica")
    assert first.state is ExportState.IN_REVIEW, first.reasons
    release.release(world.domain, approve(world, first).id)
    import_rows(world, 61, 1)
    provision_grant(world.domain, spark, ids["rival"])
    second = checked(world, "rival")
    assert second.state is ExportState.REFUSED
    assert {one["reason"] for one in second.reasons if one["verdict"] == "block"} == {"records.difference"}
    _same_people_same_numbers(world)


def _numbers_lie_apart(world: World, tenant: str) -> None:
    """What a run is given holds no number; the numbers lie in a sealed folder of their own."""
    grant = grant_named(world, tenant)
    for stage in (RunStage.DEVELOPMENT, RunStage.PRODUCTION):
        with ground_opened(world.domain, grant, stage, 200_000) as ground:
            mounts = ground.mounts({"visits": "health.visits"})
            assert list(mounts) == ["/in/visits"]
            inside = [path.name for mount in mounts.values() for path in mount.rglob("*")]
            assert any(name.endswith(".parquet") for name in inside)
            assert FILE not in inside
            assert not list(ground.folder.rglob(FILE))
    sealed = [path.name for path in world.domain.sealed(grant.id, "numbers").rglob("*")]
    assert sealed
    assert FILE not in sealed


def _same_people_same_numbers(world: World) -> None:
    found: dict[str, set[int]] = {}
    tokens: dict[str, set[str]] = {}
    for tenant in OWN:
        grant = grant_named(world, tenant)
        with world.domain.read() as connection:
            (table,) = tables_of(connection, grant, Zone.INPUT).values()
        with numbers_opened(world.domain, grant) as folder:
            pairs = read_numbers(folder / table.id)
        found[tenant] = set(pairs.column("number").to_pylist())
        tokens[tenant] = set(pairs.column("token").to_pylist())
        assert len(found[tenant]) == len(tokens[tenant]) == pairs.num_rows
    assert found["medica"] == set(range(60))
    assert found["rival"] == set(range(61))
    assert not tokens["medica"] & tokens["rival"]
