"""A release is set against the earlier ones that lie in the domain: read from their evidence, of any tenant (law 4; B7)."""

from __future__ import annotations

import json

import pytest

from export_gate import release
from export_gate.attacks.released import union_of_export
from export_gate.attacks.told import Interval, Measure
from export_gate.exports import Export, folder_of
from export_gate.states import ExportState
from lineage.errors import GateRefusedError
from tests.factories import World
from tests.fixtures_domain import WorldAt
from tests.selftests import file_real
from tests.telling import approve, check, grant_of, provision_rows, tell
from tests.worlds import Stage


ALL = "SELECT district, COUNT(*) AS n FROM visits GROUP BY district"
ONLY_A = "SELECT district, COUNT(*) AS n FROM visits WHERE clinic = 'A' GROUP BY district"
ONLY_B = "SELECT district, COUNT(*) AS n, AVG(CAST(cost AS INTEGER)) AS c FROM visits WHERE clinic IN ('B') GROUP BY district"


def visits(rest: int) -> list[dict[str, str]]:
    """Forty people at each of two clinics in each of two districts, and ``rest`` of them at a third."""
    sizes = {"A": 40, "B": 40, "C": rest}
    rows = [(district, clinic) for district in ("north", "south") for clinic in sizes for _ in range(sizes[clinic])]
    return [
        {"resident_id": f"p{number}", "district": district, "clinic": clinic, "cost": str(100 + number % 37)}
        for number, (district, clinic) in enumerate(rows)
    ]


def world_with(world_at: WorldAt, rest: int) -> World:
    found = world_at(Stage.SCENARIO)
    file_real(found.domain)
    for tenant in ("medica", "rival"):
        grant_of(found, tenant)
        provision_rows(found, tenant, visits(rest), 0)
    return found


@pytest.fixture
def world(world_at: WorldAt) -> World:
    """The third clinic sees four people in each district."""
    return world_with(world_at, 4)


def attacks(found: Export) -> set[str]:
    return {one["reason"] for one in found.reasons if one["check"].startswith("attacks.")}


def evidence(world: World, found: Export, file: str = "evidence.json") -> dict[str, str]:
    whole = json.loads((folder_of(world.domain, found.id) / file).read_text(encoding="utf-8"))
    (one,) = [each for each in whole["findings"] if each["check"] == "attacks.reconstruction"]
    return dict(one["evidence"])


def test_three_releases_that_leave_four_people_are_remembered(world: World) -> None:
    first, second = tell(world, "medica", ALL), tell(world, "medica", ONLY_A)
    assert attacks(first) == attacks(second) == {"attacks.passed"}
    third = check(world, "rival", ONLY_B)
    assert third.state is ExportState.REFUSED
    assert attacks(third) == {"attacks.reconstruction"}
    known = evidence(world, third)
    assert set(json.loads(known["known"])) == {first.id, second.id}
    north = [one[-2:] for one in json.loads(known["recovered"]) if "north" in dict(map(tuple, one[2])).values()]
    assert ["4", "4"] in north
    assert first.id not in json.dumps(third.reasons)


def test_a_large_rest_passes(world_at: WorldAt) -> None:
    world = world_with(world_at, 30)
    tell(world, "medica", ALL)
    tell(world, "medica", ONLY_A)
    assert attacks(check(world, "rival", ONLY_B)) == {"attacks.passed"}


def test_two_approved_tables_pass_each_other_and_one_leaves(world: World) -> None:
    tell(world, "medica", ALL)
    second, third = (approve(world, check(world, who, sql)) for who, sql in (("medica", ONLY_A), ("rival", ONLY_B)))
    release.release(world.domain, second.id)
    with pytest.raises(GateRefusedError, match=r"records\.overtaken"):
        release.release(world.domain, third.id)
    assert json.loads(evidence(world, third, "refusal.json")["recovered"])


def test_a_release_is_read_as_it_went_out(world: World) -> None:
    tell(world, "medica", ONLY_A)
    found = tell(world, "medica", ONLY_B)
    with world.domain.read() as connection:
        union = union_of_export(world.domain, connection, found.id)
    assert union.new.cells == (("north",), ("south",))
    counts, sums = sorted(union.new.numbers)
    assert union.new.numbers[counts] == (Interval(40, 40), Interval(40, 40))
    assert counts == Measure("count", "*")
    assert all(one is not None and one.low < one.high for one in union.new.numbers[sums])
    assert union.new.behind[sums] == (40, 40)
    assert [one.cells for one in union.earlier] == [union.new.cells]
    assert union.earlier[0].population == union.new.population
