"""At launch the jail must isolate what the grade of the run's tables needs; the same run on a stronger jail is the innocent twin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from jobs.carrying import Carrier
from jobs.jail.spec import Capability
from jobs.lanes import LaneCarrier
from jobs.runs import Stage as RunStage
from jobs.runs import get_run, lane_of
from jobs.states import RunState
from tests.factories import Stage, World
from tests.fixtures_lanes import ActedJail, Ticking, make_tables, promoted, queued


WHOLE = Capability(network=True, files=True, uid=True, limits=True, kernel=False)


@dataclass
class Strength(ActedJail):
    """An acted jail that isolates what a test says."""

    isolates: Capability = field(default_factory=lambda: WHOLE)

    def capability(self) -> Capability:
        return self.isolates


def carried(world: World, run: str, isolates: Capability, settings: Mapping[str, Any]) -> tuple[RunState, str, int]:
    """Carry one run; gives its state, its reason, and how many programs started."""
    jail = Strength(world.hands, isolates=isolates)
    domain = replace(world.domain, settings={**world.domain.settings, **settings})
    carrier = Carrier(domain, jail, Path("/nowhere"), Ticking(world.hands))
    with world.domain.read() as connection:
        lane = LaneCarrier(carrier, lane_of(connection, run))
    while lane.carry_next():
        continue
    with world.domain.read() as connection:
        found = get_run(connection, run)
    return found.state, str(found.reason), len(jail.seen)


@pytest.mark.parametrize(
    ("stage", "settings", "kernel", "starts"),
    [
        (RunStage.PRODUCTION, {"own_kernel": {"production": 4}}, False, False),
        (RunStage.PRODUCTION, {"own_kernel": {"production": 4}}, True, True),
        (RunStage.PRODUCTION, {"own_kernel": {"development": 4}}, False, True),
        (RunStage.PRODUCTION, {}, False, True),
        (RunStage.DEVELOPMENT, {"own_kernel": {"development": 1}}, False, False),
        (RunStage.DEVELOPMENT, {"own_kernel": {"development": 1}}, True, True),
    ],
)
def test_a_kernel_of_its_own_where_the_domain_asks_for_it(
    world_at: Callable[[Stage], World], stage: RunStage, settings: dict[str, Any], kernel: bool, starts: bool
) -> None:
    world = promoted(world_at)
    state, reason, started = carried(world, queued(world, stage), replace(WHOLE, kernel=kernel), settings)
    assert started == int(starts)
    assert (state is RunState.SUCCEEDED) is starts
    if not starts:
        assert (state, reason) == (RunState.FAILED, "jail.too-weak")


@pytest.mark.parametrize("part", ["network", "files", "uid", "limits"])
def test_a_jail_that_lost_a_wall_carries_nothing(world_at: Callable[[Stage], World], part: str) -> None:
    world = promoted(world_at)
    run = queued(world, RunStage.DEVELOPMENT)
    weak = replace(WHOLE, kernel=True)
    object.__setattr__(weak, part, False)
    assert carried(world, run, weak, {}) == (RunState.FAILED, "jail.too-weak", 0)


def test_a_demand_that_cannot_be_read_lets_nothing_start(world_at: Callable[[Stage], World]) -> None:
    world = promoted(world_at)
    make_tables(world)
    run = queued(world, RunStage.DEVELOPMENT)
    settings = {"own_kernel": {"prodution": 4}}
    assert carried(world, run, replace(WHOLE, kernel=True), settings) == (RunState.FAILED, "jail.bad-policy", 0)
