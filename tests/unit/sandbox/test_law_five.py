"""Law 5 over every operation: it leaves exactly its entries, or, when anything at all goes wrong, neither change nor entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from export_gate import ledger, release
from jobs import runs
from jobs.states import RunState
from lineage.errors import MissingPartError
from lineage.kinds import Kind
from lineage.log import PLATFORM, UnloggedChangeError
from lineage.schema import metadata
from sandbox import catalogue, grants
from tests.factories import Stage, World, add_version, check, claim, refused
from tests.fixtures_domain import WorldAt
from tests.operations import OPERATIONS, Operation


every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def stored(world: World) -> Mapping[str, list[tuple[Any, ...]]]:
    with world.domain.read() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        }


def keys_of(world: World) -> set[Path]:
    return {path for path in world.domain.keys.folder.rglob("*.key") if path.is_file()}


@every_operation
def test_an_operation_leaves_exactly_its_entries(operation: Operation, world_at: WorldAt) -> None:
    world = world_at(operation.stage)
    session = world.session(operation.login)
    count = len(world.log())
    operation.act(world, session)
    made = world.log()[count:]
    assert tuple(entry.kind for entry in made) == operation.kinds
    assert {entry.actor for entry in made} == {session.actor}
    if operation.target is not None:
        named = {name for entry in made for name in entry.subjects}
        assert world.ids[operation.target] in named
    assert world.verified().holds


@every_operation
def test_an_operation_that_cannot_be_logged_leaves_nothing(operation: Operation, world_at: WorldAt) -> None:
    """The checkpoint file is gone: whoever changes something notices at the very end, after everything was written."""
    world = world_at(operation.stage)
    session = world.session(operation.login)
    before, keys = stored(world), keys_of(world)
    checkpoint = world.domain.home / "checkpoint"
    kept = checkpoint.read_bytes()
    checkpoint.unlink()
    with refused(MissingPartError, "log.no-checkpoint-file"):
        operation.act(world, session)
    assert stored(world) == before
    assert keys_of(world) >= keys
    assert not (world.domain.home.parent / f"for-{session.login}").exists()
    checkpoint.write_bytes(kept)
    assert world.verified().holds


def _settle(world: World) -> object:
    return check(world, world.ids["export"])


def ensure_key(world: World) -> None:
    with world.domain.read() as connection:
        found = grants.get_grant(connection, world.ids["grant"])
    grants.ensure_key(world.domain, found)


def provision_again(world: World) -> None:
    with world.domain.change(PLATFORM) as change:
        found = grants.get_grant(change.connection, world.ids["grant"])
        source = catalogue.get_dataset(change.connection, "health.visits")
        grants.record_provisioned(
            change, found, grants.Zone.VIEW, source, 1, table="T-new", columns={"clinic": "clinic"}, rows=1, record={}
        )


PLATFORM_WORK: Mapping[str, tuple[Stage, Callable[[World], object], tuple[Kind, ...]]] = {
    "record_version": (
        Stage.CATALOGUE,
        lambda world: add_version(world, "health.visits", 1),
        (Kind.DATASET_IMPORTED,),
    ),
    "ensure_key": (Stage.GRANTED, ensure_key, (Kind.KEY_CREATED,)),
    "record_provisioned": (Stage.PROVISIONED, provision_again, (Kind.TABLE_PROVISIONED,)),
    "runs.move": (
        Stage.SUBMITTED,
        lambda world: runs.move(world.domain, world.ids["run"], RunState.PREPARING, "reason.preparing"),
        (Kind.RUN_ADVANCED,),
    ),
    "check_export": (
        Stage.EXPORT_REQUESTED,
        _settle,
        (Kind.BUDGET_CHARGED, Kind.PRODUCT_MADE, Kind.EXPORT_CHECKED),
    ),
    "release": (
        Stage.APPROVED,
        lambda world: release.release(world.domain, world.ids["export"]),
        (Kind.EXPORT_RELEASED,),
    ),
}


@pytest.mark.parametrize("name", PLATFORM_WORK)
def test_the_platforms_own_work_is_on_the_log_too(name: str, world_at: WorldAt) -> None:
    stage, act, kinds = PLATFORM_WORK[name]
    world = world_at(stage)
    count = len(world.log())
    act(world)
    assert tuple(world.kinds(count)) == kinds
    assert {entry.actor for entry in world.log()[count:]} == {PLATFORM}
    assert world.verified().holds


@pytest.mark.parametrize("name", PLATFORM_WORK)
def test_the_platforms_own_work_is_undone_when_it_cannot_be_logged(name: str, world_at: WorldAt) -> None:
    stage, act, _ = PLATFORM_WORK[name]
    world = world_at(stage)
    before = stored(world)
    (world.domain.home / "checkpoint").unlink()
    with refused(MissingPartError, "log.no-checkpoint-file"):
        act(world)
    assert stored(world) == before


def test_every_kind_of_entry_is_made_by_somebody() -> None:
    made = {kind for operation in OPERATIONS for kind in operation.kinds}
    made |= {kind for _, _, kinds in PLATFORM_WORK.values() for kind in kinds}
    elsewhere = {
        Kind.DOMAIN_CREATED,  # the first entry of every world
        Kind.PERSON_SUSPENDED,  # kept for old logs: a suspension is an advance
        Kind.ACCESS_REFUSED,  # by the doors
        Kind.DOMAIN_UPGRADED,  # needs a database of an older version
        Kind.DOMAIN_RESTORED,  # needs a backup, and makes a domain of its own
        Kind.EXPORT_ANSWERED,  # with the gate's next check
        Kind.GATE_RESUMED,  # after a restore only
        Kind.LOG_VERIFIED,  # by the doors
        Kind.PREVIEW_MADE,  # needs a jail
        Kind.SUBJECTS_NUMBERED,  # with the rows of an input
        Kind.TRIES_OPENED,  # after ten refused tables
        Kind.VIEW_SHOWN,  # needs a view that was made
    }
    assert set(Kind) - made == elsewhere


def test_an_answer_stored_without_an_entry_is_not_stored(world_at: WorldAt) -> None:
    world = world_at(Stage.EXPORT_REQUESTED)
    asked = claim(world, world.ids["export"])
    with world.domain.change(PLATFORM) as change:
        ledger.admit(change, asked, ledger.Caps())
    with pytest.raises(UnloggedChangeError), world.domain.change(PLATFORM) as change:
        ledger.store_answer(change, asked.question, "1")
    with world.domain.read() as connection:
        assert ledger.stored_answer(connection, asked.question) is None


def test_a_key_that_a_crash_left_without_an_entry_gets_one(world_at: WorldAt) -> None:
    world = world_at(Stage.GRANTED)
    checkpoint = world.domain.home / "checkpoint"
    kept = checkpoint.read_bytes()
    checkpoint.unlink()
    with refused(MissingPartError, "log.no-checkpoint-file"):
        ensure_key(world)
    assert world.domain.keys.has_grant(world.ids["grant"])
    checkpoint.write_bytes(kept)
    count = len(world.log())
    ensure_key(world)
    ensure_key(world)
    assert world.kinds(count) == [Kind.KEY_CREATED]
