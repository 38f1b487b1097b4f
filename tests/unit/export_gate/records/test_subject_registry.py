"""Subject numbers: the same for every tenant and version, sealed, and never given twice."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DatabaseError

from desensitize.entities import Entity
from desensitize.gate_key import GateKey, ensure_gate_key, gate_key
from desensitize.pseudonym import ScenarioKeys
from desensitize.registry import Universe, number_subjects
from desensitize.schema import subject_part
from lineage.errors import MissingPartError
from lineage.kinds import Kind
from sandbox.columns import SubjectKind
from tests.fixtures_domain import WorldAt
from tests.worlds import Stage, World, refused


PERSONS = Universe(SubjectKind.PERSON, Entity.RESIDENT_ID, "P-1")
KEYS = ScenarioKeys.derive(b"1" * 32, tenant="T-1", scenario="S-1")
OTHER_KEYS = ScenarioKeys.derive(b"2" * 32, tenant="T-2", scenario="S-2")


def numbers(world: World, *spellings: str | None, universe: Universe = PERSONS, keys: ScenarioKeys = KEYS) -> list[int]:
    _, found = number_subjects(world.domain, universe, pa.array(spellings, pa.string()), keys)
    return [int(one) for one in found]


def test_a_person_keeps_its_number_for_every_tenant(world_on: WorldAt) -> None:
    world = world_on(Stage.FOUNDED)
    first, mine = number_subjects(world.domain, PERSONS, pa.array(["a", "b", "c"]), KEYS)
    second, theirs = number_subjects(world.domain, PERSONS, pa.array(["d", "c", "a"]), OTHER_KEYS)
    assert mine.tolist() == [0, 1, 2]
    assert theirs.tolist() == [3, 2, 0]
    assert not set(first.to_pylist()) & set(second.to_pylist())
    assert world.kinds()[-3:] == [Kind.KEY_CREATED, Kind.SUBJECTS_NUMBERED, Kind.SUBJECTS_NUMBERED]
    world.verified()


def test_spellings_of_one_person_are_one_subject_and_nobody_is_none(world_at: WorldAt) -> None:
    world = world_at(Stage.FOUNDED)
    assert numbers(world, "11010519491231002x", " 11010519491231002X", None, "", "  ") == [0]
    assert numbers(world, None) == []


def test_companies_and_local_numbers_are_other_subjects(world_at: WorldAt) -> None:
    world = world_at(Stage.FOUNDED)
    local = Universe(SubjectKind.PERSON, Entity.LOCAL_NUMBER, "P-1")
    elsewhere = Universe(SubjectKind.PERSON, Entity.LOCAL_NUMBER, "P-2")
    company = Universe(SubjectKind.COMPANY, Entity.CREDIT_CODE, "P-1")
    assert [numbers(world, "17", universe=one) for one in (PERSONS, local, elsewhere)] == [[0], [1], [2]]
    assert numbers(world, "17", universe=company) == [0]


def test_two_at_once_give_no_number_twice(world_on: WorldAt) -> None:
    world = world_on(Stage.FOUNDED)
    found: dict[int, list[int]] = {}

    def enter(turn: int) -> None:
        found[turn] = numbers(world, *(f"p{number}" for number in range(turn * 10, turn * 10 + 30)))

    threads = [threading.Thread(target=enter, args=(turn,)) for turn in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    by_person = {f"p{turn * 10 + place}": number for turn, each in found.items() for place, number in enumerate(each)}
    assert sorted(by_person.values()) == list(range(60))
    assert all(
        by_person[f"p{turn * 10 + place}"] == number
        for turn, each in found.items()
        for place, number in enumerate(each)
    )


def test_nothing_readable_lies_in_the_database(world_at: WorldAt) -> None:
    world = world_at(Stage.FOUNDED)
    numbers(world, "110105194912310021")
    with world.domain.read() as connection:
        sealed = connection.execute(select(subject_part.c.sealed)).scalar_one()
    assert b"110105194912310021" not in sealed
    assert all("110105194912310021" not in str(entry.payload) for entry in world.log())
    assert gate_key(world.domain).root.hex() not in repr(gate_key(world.domain))


@pytest.mark.parametrize(
    "change",
    [delete(subject_part), update(subject_part).values(count=9), text("UPDATE subject_part SET sealed = x'00'")],
)
def test_the_database_lets_nobody_change_a_part(world_at: WorldAt, change: object) -> None:
    world = world_at(Stage.FOUNDED)
    numbers(world, "a")
    with pytest.raises(DatabaseError, match="append-only"), world.domain.database.write() as connection:
        connection.execute(change)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        ("DELETE FROM subject_part WHERE first = 1", "records.registry-incomplete"),
        ("DELETE FROM subject_part WHERE first = 0", "records.registry-incomplete"),
        ("UPDATE subject_part SET sealed = (SELECT sealed FROM subject_part WHERE first = 0)", "records.does-not-open"),
    ],
)
def test_a_registry_that_is_not_whole_numbers_nobody(world_at: WorldAt, harm: str, code: str) -> None:
    world = world_at(Stage.FOUNDED)
    numbers(world, "a")
    numbers(world, "b")
    with world.domain.database.write() as connection:
        for action in ("update", "delete"):
            connection.execute(text(f"DROP TRIGGER subject_part_no_{action}"))
        connection.execute(text(harm))
    with refused(MissingPartError, code):
        numbers(world, "c")


def test_a_lost_key_is_not_made_anew(world_at: WorldAt) -> None:
    world = world_at(Stage.FOUNDED)
    ensure_gate_key(world.domain)
    for path in (world.domain.home / "keys").rglob("gate.*"):
        path.unlink()
    with pytest.raises(MissingPartError):
        ensure_gate_key(world.domain)


def test_a_key_without_its_entry_is_kept_after_a_crash(world_at: WorldAt) -> None:
    world = world_at(Stage.FOUNDED)
    world.domain.keys.write_seed("gate", b"7" * 32)
    assert ensure_gate_key(world.domain).root == b"7" * 32


def test_a_sealed_blob_opens_in_its_place_only() -> None:
    sealer = GateKey(bytes(range(32))).sealer("records")
    sealed = sealer.seal(b"told", "E-1", "person", "head")
    assert sealer.open(sealed, "E-1", "person", "head") == b"told"
    for place in (("E-2", "person", "head"), ("E-1", "person", "sets"), ("E-1", "company", "head")):
        with refused(MissingPartError, "records.does-not-open"):
            sealer.open(sealed, *place)
    with refused(MissingPartError, "records.does-not-open"):
        GateKey(bytes(range(1, 33))).sealer("records").open(sealed, "E-1", "person", "head")
    with refused(MissingPartError, "key.missing"):
        GateKey(b"short")
