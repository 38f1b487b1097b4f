"""Development and production apart: by type, by value, by the record of what is mounted, by user of the machine (D3)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.runs import Stage as RunStage
from jobs.zones import (
    ZONES,
    Ground,
    Inputs,
    Views,
    check_mounted,
    development_ground,
    opened_inputs,
    opened_views,
    production_ground,
    uid_of,
)
from lineage.errors import DefinitionError
from sandbox.grants import Grant, Provisioned, Zone, get_grant, tables_of
from tests.factories import Stage, World, refused
from tests.fixtures_domain import WorldAt


REPOSITORY = Path(__file__).resolve().parents[3]
UID = 200_010
MIXED_UP = """
from jobs.zones import Inputs, Views, development_ground, production_ground
def right(views: Views, inputs: Inputs) -> None:
    development_ground(views, 1)
    production_ground(inputs, 1)
def wrong(views: Views, inputs: Inputs) -> None:
    development_ground(inputs, 1)
    production_ground(views, 1)
"""


@pytest.fixture
def world(world_at: WorldAt) -> World:
    return world_at(Stage.PROVISIONED)


def grant(world: World) -> Grant:
    with world.domain.read() as connection:
        return get_grant(connection, world.ids["grant"])


def tables(world: World, zone: Zone) -> dict[str, Provisioned]:
    with world.domain.read() as connection:
        return tables_of(connection, get_grant(connection, world.ids["grant"]), zone)


def test_the_type_checker_refuses_a_mix_up(tmp_path: Path) -> None:
    path = tmp_path / "mixed_up.py"
    path.write_text(MIXED_UP)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(path)]
    said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300).stdout
    errors = [line for line in said.splitlines() if ": error:" in line and "mixed_up.py" in line]
    assert [line.split(":")[1] for line in errors] == ["7", "8"]
    assert all("[arg-type]" in line for line in errors)


def test_a_ground_holds_the_stages_own_zone_and_user(world: World) -> None:
    with opened_views(world.domain, grant(world)) as views, opened_inputs(world.domain, grant(world)) as inputs:
        made = {
            RunStage.DEVELOPMENT: development_ground(views, UID),
            RunStage.PRODUCTION: production_ground(inputs, UID),
        }
    assert [made[stage].uid for stage in RunStage] == [UID, UID + 1]
    for stage, ground in made.items():
        assert {table.zone for table in ground.tables.values()} == {ZONES[stage]}
        with world.domain.read() as connection:
            check_mounted(connection, ground, ground.mounts({"visits": "health.visits"}))


@pytest.mark.parametrize(("made", "zone"), [(Views, Zone.INPUT), (Inputs, Zone.VIEW)])
def test_the_values_refuse_the_other_zone(world: World, made: type[Views | Inputs], zone: Zone) -> None:
    with pytest.raises(ValueError, match="zone"):
        made(world.ids["grant"], Path("/nowhere"), tables(world, zone))


@pytest.mark.parametrize("stage", RunStage)
def test_the_values_refuse_another_grants_tables(world: World, stage: RunStage) -> None:
    with pytest.raises(ValueError, match="grant"):
        Ground(stage, "G-other", uid_of(UID, stage), Path("/nowhere"), tables(world, ZONES[stage]))


@pytest.mark.parametrize("stage", RunStage)
def test_what_is_mounted_is_held_against_its_record(world: World, stage: RunStage) -> None:
    """The leak: the other zone's folder put in place of the right one; disguises: its name elsewhere, a name of nothing."""
    own, other = (tables(world, zone) for zone in (ZONES[stage], next(one for one in Zone if one is not ZONES[stage])))
    ground = Ground(stage, world.ids["grant"], uid_of(UID, stage), Path("/opened"), own)
    right, wrong = own["health.visits"].id, other["health.visits"].id
    with world.domain.read() as connection:
        check_mounted(connection, ground, {"/in/visits": ground.folder / right})
        for folder in (ground.folder / wrong, Path("/elsewhere") / right, ground.folder / "T-nothing"):
            with refused(DefinitionError, "run.wrong-zone"):
                check_mounted(connection, ground, {"/in/visits": folder})


def test_a_table_that_is_not_granted_has_no_place(world: World) -> None:
    ground = Ground(RunStage.DEVELOPMENT, world.ids["grant"], UID, Path("/opened"), tables(world, Zone.VIEW))
    with refused(DefinitionError, "job.table-not-granted"):
        ground.mounts({"taxes": "finance.taxes"})
