"""Looking at a view: the named processors alone, at views alone, and every look is on the log (P1, A6, L2)."""

from __future__ import annotations

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lineage.errors import NotPermittedError
from lineage.kinds import Kind
from sandbox import grants, parties, viewing
from sandbox.grants import Zone
from tests.factories import Stage, World, refused
from tests.fixtures_domain import WorldAt


@pytest.fixture
def world(world_at: WorldAt) -> World:
    """A grant whose view of health.visits and whose input of it hold rows."""
    world = world_at(Stage.PROVISIONED)
    with world.domain.read() as connection:
        found = grants.get_grant(connection, world.ids["grant"])
        tables = {zone: grants.tables_of(connection, found, zone)["health.visits"].id for zone in Zone}
    for zone, table in tables.items():
        with grants.zone_opened(world.domain, found, zone) as folder:
            write_deltalake(
                folder / table, pa.table({"clinic": [f"{zone.value}-{n}" for n in range(5)], "cost": range(5)})
            )
    return world


def look(world: World, login: str, dataset: str = "health.visits", scenario: str = "scenario") -> viewing.Head:
    return viewing.first_rows(world.domain, world.session(login), world.ids[scenario], dataset, 3)


def test_a_named_processor_sees_the_first_rows_of_the_view_and_never_the_input(world: World) -> None:
    count = len(world.log())
    head = look(world, "processor")
    assert head.columns == ("clinic", "cost")
    assert len(head.rows) == 3
    assert {row[0][:4] for row in head.rows} == {"view"}
    assert world.kinds(count) == [Kind.VIEW_SHOWN]
    assert world.log()[-1].payload["rows"] == 3


@pytest.mark.parametrize(
    ("login", "code"),
    [
        ("colleague", "grant.not-named"),
        ("manager", "grant.not-named"),
        ("rival-processor", "access.not-found"),
        ("rival-manager", "access.not-found"),
        ("officer", "permission.missing"),
        ("reviewer", "permission.missing"),
        ("auditor", "permission.missing"),
        ("doctor", "permission.missing"),
        ("keeper", "permission.missing"),
    ],
)
def test_nobody_else_sees_a_row(world: World, login: str, code: str) -> None:
    count = len(world.log())
    with refused(NotPermittedError, code):
        look(world, login)
    assert len(world.log()) == count


@pytest.mark.parametrize("dataset", ["health.nothing", "", "T-1", "../input"])
def test_what_is_not_granted_has_no_view(world: World, dataset: str) -> None:
    with refused(NotPermittedError, "view.not-granted"):
        look(world, "processor", dataset)


def test_nothing_is_shown_after_the_end(world: World) -> None:
    session = world.session("processor")
    world.hands.forward(days=90)
    with refused(NotPermittedError, "grant.none"):
        viewing.first_rows(world.domain, session, world.ids["scenario"], "health.visits", 3)


def test_nothing_is_shown_to_a_suspended_tenant(world: World) -> None:
    session = world.session("processor")
    parties.suspend(world.domain, world.session("officer"), world.ids["medica"], "risk found")
    with refused(NotPermittedError, "work.tenant-suspended"):
        viewing.first_rows(world.domain, session, world.ids["scenario"], "health.visits", 3)


def test_a_look_that_cannot_be_logged_shows_nothing(world: World) -> None:
    from lineage.errors import MissingPartError

    (world.domain.home / "checkpoint").unlink()
    with refused(MissingPartError, "log.no-checkpoint-file"):
        look(world, "processor")


def test_the_record_tells_the_treatment_and_not_how_much_raw_data_there_is() -> None:
    record = {"columns": [{"name": "clinic"}], "sample_rate": "1/10", "rows_raw": 12345, "subjects": 99}
    assert viewing.told(record) == {"columns": [{"name": "clinic"}], "sample_rate": "1/10"}
