"""Reading the budget: a tenant sees its own, staff see all, and every figure is the ledger's (D1, D5)."""

from __future__ import annotations

from fractions import Fraction

import pytest

from export_gate.budget import Line, overview
from export_gate.ledger import Caps, admit, decimal
from lineage.errors import NotPermittedError
from lineage.log import PLATFORM
from tests.factories import Stage, World, claim, refused
from tests.fixtures_domain import WorldAt


CAPS = Caps()


@pytest.fixture
def world(world_at: WorldAt) -> World:
    """Both tenants have spent on persons, the second on companies too."""
    world = world_at(Stage.EXPORT_REQUESTED)
    rival = {"tenant": world.ids["rival"], "scenario": world.ids["scenario:rivals"]}
    both = (world.ids["health.visits"], world.ids["police.residents"])
    claims = [
        claim(world, world.ids["export"], question="a", rho=Fraction(1, 70)),
        claim(world, world.ids["export"], question="b", rho=Fraction(1, 50), datasets=both, **rival),
        claim(world, world.ids["export"], question="c", rho=Fraction(1, 30), universe="company", **rival),
    ]
    with world.domain.change(PLATFORM) as change:
        for one in claims:
            admit(change, one, CAPS)
    return world


def lines(world: World, login: str) -> list[Line]:
    with world.domain.read() as connection:
        return overview(connection, world.session(login), CAPS)


def figures(found: list[Line]) -> set[tuple[str, str, str]]:
    return {(line.limit, line.name, line.spent) for line in found}


@pytest.mark.parametrize("login", ["manager", "processor"])
def test_a_tenant_sees_its_own_spending_alone(world: World, login: str) -> None:
    spent = decimal(Fraction(1, 70))
    assert figures(lines(world, login)) == {
        ("tenant", "medica", spent),
        ("tenant", "medica", decimal(Fraction(0))),
        ("scenario", "clinics", spent),
    }
    told = " ".join(str(line) for line in lines(world, login))
    for hidden in ("rival", "'universe'", "health.visits", decimal(Fraction(1, 50)), decimal(Fraction(1, 30))):
        assert hidden not in told


@pytest.mark.parametrize("login", ["officer", "reviewer", "expert", "auditor"])
def test_staff_see_every_limit(world: World, login: str) -> None:
    person = Fraction(1, 70) + Fraction(1, 50)
    found = figures(lines(world, login))
    assert found >= {
        ("universe", "person", decimal(person)),
        ("universe", "company", decimal(Fraction(1, 30))),
        ("tenant", "medica", decimal(Fraction(1, 70))),
        ("tenant", "rival", decimal(Fraction(1, 50))),
        ("dataset", "police.residents", decimal(Fraction(1, 50))),
    }


def test_spent_and_left_fill_the_cap(world: World) -> None:
    for line in lines(world, "officer"):
        rest = Fraction(line.cap) - Fraction(line.spent) - Fraction(line.left)
        # Both are cut to six digits: what is missing of the sum is less than two of the last one.
        assert 0 <= rest < Fraction(2, 10**6)
        assert Fraction(line.epsilon_left) > 0


@pytest.mark.parametrize("login", ["doctor", "keeper"])
def test_whoever_has_no_part_in_exports_sees_no_budget(world: World, login: str) -> None:
    with refused(NotPermittedError, "permission.missing"):
        lines(world, login)
