"""The gate's work stops when its ground is taken away: suspension, end, a person who may not (A8, law 10); tried on the real jail."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from export_gate.checking import check_export
from export_gate.finding import Verdict
from export_gate.gatekeeper import Gatekeeper, WorkStoppedError
from export_gate.previewing import preview
from export_gate.states import ExportState
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.probe import BWRAP
from jobs.jail.spec import Ending, JailSpec, Outcome
from sandbox import parties
from sandbox.states import PersonState
from tests.factories import STATISTIC, Stage, World
from tests.fixtures_domain import WorldAt
from tests.fixtures_lanes import fill_tables


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0 or not BWRAP.exists(), reason="needs root and bubblewrap"),
]


class InterruptedJail(BubblewrapJail):
    """The real jail, at whose door something happens just before the worker starts."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self.happens = happens
        self.outcomes: list[Outcome] = []

    def run(self, spec: JailSpec, cancelled: Callable[[], bool]) -> Outcome:
        self.happens()
        outcome = super().run(spec, cancelled)
        self.outcomes.append(outcome)
        return outcome


def suspend_tenant(world: World) -> None:
    parties.suspend(world.domain, world.session("officer"), world.ids["medica"], "risk found")


def suspend_person(world: World) -> None:
    parties.advance_person(world.domain, world.session("deputy"), world.ids["processor"], PersonState.SUSPENDED)


def end_the_term(world: World) -> None:
    world.hands.forward(days=91)


EVENTS = {"tenant suspended": suspend_tenant, "person suspended": suspend_person, "grant over": end_the_term}


@pytest.mark.parametrize("event", list(EVENTS))
def test_a_check_is_stopped_and_the_export_says_so(world_at: WorldAt, event: str) -> None:
    world = world_at(Stage.EXPORT_REQUESTED)
    fill_tables(world)
    jail = InterruptedJail(lambda: EVENTS[event](world))
    begun = monotonic()
    found = check_export(Gatekeeper(world.domain, jail), world.ids["export"])
    assert [one.ending for one in jail.outcomes] == [Ending.CANCELLED]
    assert jail.outcomes[0].wall_seconds < 10
    assert monotonic() - begun < 60
    assert (found.state, found.verdict) == (ExportState.REFUSED, Verdict.CANNOT_CHECK.value)
    assert "gate.work-stopped" in {one["reason"] for one in found.reasons}
    assert nothing_left(world)


def test_a_preview_is_stopped(world_at: WorldAt) -> None:
    world = world_at(Stage.PROMOTED)
    fill_tables(world)
    gate = Gatekeeper(world.domain, InterruptedJail(lambda: suspend_tenant(world)))
    with pytest.raises(WorkStoppedError) as caught:
        list(preview(gate, world.session("processor"), world.ids["job"], STATISTIC))
    assert (caught.value.code, int(caught.value.exit)) == ("gate.work-stopped", 12)
    assert nothing_left(world)


def test_the_innocent_twin_is_carried_to_its_end(world_at: WorldAt) -> None:
    world = world_at(Stage.PROMOTED)
    fill_tables(world)
    gate = Gatekeeper(world.domain, InterruptedJail(lambda: None))
    (made,) = preview(gate, world.session("processor"), world.ids["job"], STATISTIC)
    assert len(made.rows) == 100
    assert nothing_left(world)


def nothing_left(world: World) -> bool:
    works = world.domain.home / "run" / "work"
    return list(works.iterdir()) == [] and str(works) not in Path("/proc/self/mountinfo").read_text()
