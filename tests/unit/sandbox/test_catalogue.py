"""The catalogue: what a table is called, what its columns are, and that nothing is in force before a person confirms it (I2–I4)."""

from __future__ import annotations

import pytest

from lineage.canonical import Json
from lineage.errors import DefinitionError, NotPermittedError
from lineage.kinds import Kind
from sandbox import catalogue
from sandbox.columns import Grade, Role, SubjectKind
from tests.factories import COLUMNS, Stage, World, add_dataset, add_version, refused
from tests.fixtures_domain import WorldAt


def declare(world: World, name: str, subject: str | None = None) -> str:
    return catalogue.declare(
        world.domain,
        world.session("doctor"),
        name=name,
        title="Beds",
        columns=[("clinic", "string"), ("beds", "int")],
        schema={"a": 1},
        subject=None if subject is None else (SubjectKind.COMPANY, subject),
    )


@pytest.mark.parametrize(
    "name", ["beds", "police.beds", "health.", ".beds", "health.Beds", "health.a b", "health.a.b", "health.a-b", ""]
)
def test_a_dataset_is_named_by_its_provider_and_plainly(world_at: WorldAt, name: str) -> None:
    with refused(DefinitionError, "dataset.bad-name"):
        declare(world_at(Stage.PARTIES), name)


def test_a_dataset_is_declared_once(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    declare(world, "health.beds")
    with refused(DefinitionError, "dataset.name-taken"):
        declare(world, "health.beds")


def test_the_subject_is_a_column(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    with refused(DefinitionError, "dataset.no-such-column"):
        declare(world, "health.beds", subject="company_id")
    declare(world, "health.beds", subject="clinic")
    with world.domain.read() as connection:
        found = catalogue.get_dataset(connection, "health.beds")
    assert (found.subject_kind, found.subject_column) == (SubjectKind.COMPANY, "clinic")


def test_the_subject_key_is_a_direct_identifier(world_at: WorldAt) -> None:
    world = world_at(Stage.CATALOGUE)
    for role in set(Role) - {Role.DIRECT_IDENTIFIER}:
        with refused(DefinitionError, "dataset.subject-is-identifier"):
            catalogue.grade(
                world.domain, world.session("doctor"), "health.visits", {"resident_id": (role, Grade.OPEN, "")}
            )


def test_a_suggestion_is_not_in_force_until_a_person_confirms_it(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    made = declare(world, "health.beds")
    doctor = world.session("doctor")
    suggested: dict[str, dict[str, Json]] = {"beds": {"role": "plain", "grade": 1}}
    catalogue.store_suggestions(world.domain, doctor, "health.beds", suggested)
    with world.domain.read() as connection:
        columns = {column.name: column for column in catalogue.columns_of(connection, made)}
    assert columns["beds"].suggestion == suggested["beds"]
    assert [column.graded for column in columns.values()] == [None, None]
    catalogue.grade(world.domain, doctor, "health.beds", {"beds": (Role.PLAIN, Grade.OPEN, "")})
    with world.domain.read() as connection:
        columns = {column.name: column for column in catalogue.columns_of(connection, made)}
    graded = columns["beds"].graded
    assert graded is not None
    assert (graded.role, graded.grade, graded.closed) == (Role.PLAIN, Grade.OPEN, False)
    assert columns["clinic"].graded is None


def test_grading_is_all_or_nothing(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    made = declare(world, "health.beds")
    confirmed = {"beds": (Role.PLAIN, Grade.OPEN, ""), "nothing": (Role.PLAIN, Grade.OPEN, "")}
    with refused(DefinitionError, "dataset.no-such-column"):
        catalogue.grade(world.domain, world.session("doctor"), "health.beds", confirmed)
    with world.domain.read() as connection:
        assert [column.graded for column in catalogue.columns_of(connection, made)] == [None, None]


def test_what_is_closed_stays_closed_when_graded_again(world_at: WorldAt) -> None:
    world = world_at(Stage.CATALOGUE)
    doctor = world.session("doctor")
    with refused(DefinitionError, "reason.missing"):
        catalogue.close(world.domain, doctor, "health.visits", "cost", " ")
    with refused(DefinitionError, "dataset.no-such-column"):
        catalogue.close(world.domain, doctor, "health.visits", "nothing", "by law")
    catalogue.close(world.domain, doctor, "health.visits", "cost", "by law")
    catalogue.grade(world.domain, doctor, "health.visits", {"cost": (Role.PLAIN, Grade.OPEN, "")})
    with world.domain.read() as connection:
        closed = {c.name for c in catalogue.columns_of(connection, world.ids["health.visits"]) if c.closed}
    assert closed == {"cost"}


def test_versions_are_read_in_order_and_the_newest_counts(world_at: WorldAt) -> None:
    world = world_at(Stage.CATALOGUE)
    for version in (2, 1):
        add_version(world, "health.visits", version)
    with world.domain.read() as connection:
        made = world.ids["health.visits"]
        assert [one.version for one in catalogue.versions_of(connection, made)] == [0, 1, 2]
        assert catalogue.latest_version(connection, made).version == 2


def test_an_empty_dataset_has_no_newest_version(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    made = declare(world, "health.beds")
    with world.domain.read() as connection, refused(DefinitionError, "dataset.empty"):
        catalogue.latest_version(connection, made)


def test_a_version_has_its_place_in_the_graph(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    add_dataset(world, "doctor", "health.visits", COLUMNS["health.visits"])
    entry = world.log()[-1]
    assert entry.kind is Kind.DATASET_IMPORTED
    assert entry.payload["lineage"]["to"] == ["dataset:health.visits@0"]
    assert entry.payload["as_of"] == "2026-11-01"


def test_anothers_dataset_is_as_unknown_as_none(world_at: WorldAt) -> None:
    world = world_at(Stage.CATALOGUE)
    captain = world.session("captain")
    with world.domain.read() as connection:
        catalogue.own_dataset(connection, captain, "police.residents")
        for name in ("health.visits", "health.nothing"):
            with refused(NotPermittedError, "dataset.unknown"):
                catalogue.own_dataset(connection, captain, name)
