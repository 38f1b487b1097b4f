"""Lanes: one line a tenant and stage, independent in order, start and failure; shares that depend on nobody (D1, D3)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs import bell, runs
from jobs.carrying import Carrier
from jobs.jail.spec import JailSpec, Outcome
from jobs.lanes import LaneCarrier, lane_lock, lanes_left
from jobs.runs import Lane, Run
from jobs.runs import Stage as RunStage
from jobs.shares import Share, can_run, check_share, share_of
from jobs.spec import Run as RunSpec
from jobs.states import RunState
from jobs.supervisor import Supervisor, carry_until, supervisor_lock
from lineage.errors import DefinitionError, MissingPartError
from sandbox.domain import open_domain
from tests.factories import Stage, World, add_grant, provision, refused, submit
from tests.fixtures_domain import WorldAt
from tests.fixtures_lanes import ActedJail, Signal, Ticking, carry, make_tables, promoted, queued


PATIENCE = 30
NOWHERE = Path("/nowhere")


def read(world: World, run: str) -> Run:
    with world.domain.read() as connection:
        return runs.get_run(connection, run)


@pytest.fixture
def two(world_at: WorldAt) -> World:
    """Two tenants, each with a job that may run in development; ``first`` and ``second`` wait."""
    world = promoted(world_at)
    world.ids["rival-grant"] = add_grant(world, "rival", "scenario:rivals")
    provision(world, world.ids["rival-grant"])
    make_tables(world, "rival-grant")
    world.ids["rival-job"] = submit(world, "rival-processor", "scenario:rivals")
    world.ids["first"] = queued(world, RunStage.DEVELOPMENT)
    world.ids["second"] = queued(world, RunStage.DEVELOPMENT, "rival-processor", "rival-job")
    return world


class MeetingJail(ActedJail):
    """Ends a run only when as many as the barrier holds run at the same moment."""

    def __init__(self, world: World, barrier: threading.Barrier) -> None:
        super().__init__(world.hands)
        self.barrier = barrier

    def run(self, spec: JailSpec, cancelled: Callable[[], bool]) -> Outcome:
        self.barrier.wait(PATIENCE)
        return super().run(spec, cancelled)


def test_two_tenants_run_at_the_same_moment(two: World) -> None:
    """In one queue the first would wait for the second for ever."""
    supervisor = Supervisor(two.domain, MeetingJail(two, threading.Barrier(2)), NOWHERE)
    assert supervisor.drain() == 2
    assert {read(two, two.ids[name]).state for name in ("first", "second")} == {RunState.SUCCEEDED}


class BrokenJail(ActedJail):
    """Cannot clean up after the runs of one uid: trouble of the platform, not of a run."""

    def cleanup(self, spec: JailSpec) -> None:
        if spec.uid == self.broken:
            raise MissingPartError("jail.still-mounted")

    broken = 0


def test_trouble_in_one_lane_is_told_and_the_others_go_on(two: World) -> None:
    jail = BrokenJail(two.hands)
    with two.domain.read() as connection:
        from sandbox.parties import get_organisation

        jail.broken = get_organisation(connection, "medica").uid or 0
    heard: list[tuple[Lane, Exception]] = []
    supervisor = Supervisor(two.domain, jail, NOWHERE, trouble=lambda lane, error: heard.append((lane, error)))
    with refused(MissingPartError, "jail.still-mounted"):
        supervisor.drain()
    assert {lane.tenant for lane, _ in heard} == {two.ids["medica"]}
    assert read(two, two.ids["second"]).state is RunState.SUCCEEDED
    assert read(two, two.ids["first"]).reason == "jail.still-mounted"


def test_a_lane_that_another_carries_is_left_to_it(two: World) -> None:
    with two.domain.read() as connection:
        lane = runs.lane_of(connection, two.ids["first"])
    with lane_lock(two.domain, lane) as mine:
        assert mine
        assert Supervisor(two.domain, ActedJail(two.hands), NOWHERE).drain() == 1
        assert not carry_until(two.domain, ActedJail(two.hands), NOWHERE, two.ids["first"])
    assert read(two, two.ids["first"]).state is RunState.QUEUED
    assert read(two, two.ids["second"]).state is RunState.SUCCEEDED


def test_who_waits_carries_its_own_lane_only_and_only_when_nobody_supervises(two: World) -> None:
    with supervisor_lock(two.domain) as mine:
        assert mine
        assert not carry_until(two.domain, ActedJail(two.hands), NOWHERE, two.ids["first"])
    assert read(two, two.ids["first"]).state is RunState.QUEUED
    assert carry_until(two.domain, ActedJail(two.hands), NOWHERE, two.ids["first"])
    assert read(two, two.ids["first"]).state is RunState.SUCCEEDED
    assert read(two, two.ids["second"]).state is RunState.QUEUED


def test_who_waits_stops_at_its_own_run(two: World) -> None:
    two.hands.forward(seconds=1)
    later = queued(two, RunStage.DEVELOPMENT)
    assert carry_until(two.domain, ActedJail(two.hands), NOWHERE, two.ids["first"])
    assert read(two, later).state is RunState.QUEUED


def test_development_does_not_wait_for_production(world_at: WorldAt) -> None:
    world = promoted(world_at)
    production = queued(world)
    world.hands.forward(seconds=1)
    development = queued(world, RunStage.DEVELOPMENT)
    carry(world, development, Signal())
    assert read(world, development).state is RunState.SUCCEEDED
    assert read(world, production).state is RunState.QUEUED


def test_each_stage_has_a_user_and_a_zone_of_its_own(world_at: WorldAt) -> None:
    world = promoted(world_at)
    specs = [carry(world, queued(world, stage), Signal()).seen[0] for stage in RunStage]
    with world.domain.read() as connection:
        from sandbox.parties import list_organisations

        given = [one.uid for one in list_organisations(connection) if one.uid is not None]
    assert len({spec.uid for spec in specs}) == 2
    assert len({*given, *(uid + 1 for uid in given)}) == 2 * len(given)
    views, inputs = ({path for inside, path in spec.read_only.items() if inside.startswith("/in/")} for spec in specs)
    assert views
    assert not views & inputs
    assert {path.parent.name for path in views} == {"view"}
    assert {path.parent.name for path in inputs} == {"input"}


def test_serving_picks_up_what_is_queued_and_stops_when_asked(two: World) -> None:
    supervisor = Supervisor(two.domain, ActedJail(two.hands), NOWHERE)
    serving = threading.Thread(target=supervisor.serve)
    serving.start()
    try:
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                since = bell.rung(two.domain)
                if all(read(two, two.ids[name]).over for name in ("first", "second")):
                    done.set()
                else:
                    bell.wait(two.domain, since, done, 1)

        watching = threading.Thread(target=watch)
        watching.start()
        assert done.wait(PATIENCE)
        watching.join(PATIENCE)
    finally:
        done.set()
        supervisor.stop()
        serving.join(PATIENCE)
    assert not serving.is_alive()


class StoppingJail(ActedJail):
    """Asks the platform to stop while a run works, and ends it as cancelled when it is told to."""

    supervisor: Supervisor

    def run(self, spec: JailSpec, cancelled: Callable[[], bool]) -> Outcome:
        self.signal = Signal(seconds=10**6)
        self.look = self.supervisor.stop
        return super().run(spec, cancelled)


def test_stopping_ends_what_works_and_starts_nothing_new(world_at: WorldAt) -> None:
    world = promoted(world_at)
    first = queued(world, RunStage.DEVELOPMENT)
    world.hands.forward(seconds=1)
    second = queued(world, RunStage.DEVELOPMENT)
    jail = StoppingJail(world.hands)
    jail.supervisor = Supervisor(world.domain, jail, NOWHERE)
    jail.supervisor.drain()
    assert (read(world, first).state, read(world, first).reason) == (RunState.FAILED, "reason.supervisor-died")
    assert read(world, second).state is RunState.QUEUED


def test_a_production_run_that_ended_untold_is_told_by_the_next_supervisor(world_at: WorldAt) -> None:
    world = promoted(world_at)
    run = queued(world)
    jail, stopping = ActedJail(world.hands, Signal(files=3)), Ticking(world.hands)
    jail.look = stopping.set
    with world.domain.read() as connection:
        lane = runs.lane_of(connection, run)
    carrier = LaneCarrier(Carrier(world.domain, jail, NOWHERE, stopping), lane)
    jail.signal = Signal(seconds=0, files=3)
    stopping.clear()

    class StopAtTheWait(Ticking):
        def wait(self, timeout: float | None = None) -> bool:
            self.set()
            return True

    carrier.carrier.stopping = StopAtTheWait(world.hands)
    carrier.carry_next()
    assert read(world, run).state is RunState.RUNNING
    assert lanes_left(world.domain) == {lane}
    again = LaneCarrier(Carrier(world.domain, jail, NOWHERE, Ticking(world.hands)), lane)
    again.reconcile()
    assert (read(world, run).state, read(world, run).reason) == (RunState.SUCCEEDED, "reason.ended.done")
    assert lanes_left(world.domain) == set()
    assert len(jail.seen) == 1


def spec(cores: int = 1, memory_mib: int = 256) -> RunSpec:
    return RunSpec("work", "python", "main.py", cores, memory_mib << 20, 10)


@pytest.mark.parametrize(
    ("asked", "fits"), [(spec(), True), (spec(2, 1024), True), (spec(3), False), (spec(1, 1025), False)]
)
def test_a_run_fits_its_share_or_is_refused(asked: RunSpec, fits: bool) -> None:
    share = Share(2, 1024)
    assert can_run(share, asked) is fits
    if not fits:
        with refused(DefinitionError, "share.exceeded") as caught:
            check_share(share, asked)
        assert (caught.value.params["share_cores"], caught.value.params["share_memory"]) == (2, 1024)


def shared(world: World, text: str) -> World:
    settings = world.domain.home / "domain.toml"
    settings.write_text(f"{settings.read_text()}\n[share]\n{text}\n")
    world.domain = open_domain(world.domain.home, clock=world.hands)
    return world


def test_what_asks_for_more_than_the_share_is_not_queued(world_at: WorldAt) -> None:
    world = shared(world_at(Stage.SUBMITTED), "memory_mib = 1024")
    with refused(DefinitionError, "share.exceeded"):
        queued(world, RunStage.DEVELOPMENT)


def test_what_asks_for_more_than_the_share_is_not_even_submitted(world_at: WorldAt) -> None:
    world = shared(world_at(Stage.PROVISIONED), "memory_mib = 1024")
    count = len(world.log())
    with refused(DefinitionError, "share.exceeded"):
        submit(world, "processor", "scenario")
    assert len(world.log()) == count


def test_a_share_that_was_lowered_holds_at_the_start_too(world_at: WorldAt) -> None:
    world = promoted(world_at)
    run = queued(world, RunStage.DEVELOPMENT)
    carry(shared(world, "memory_mib = 1024"), run, Signal())
    assert (read(world, run).state, read(world, run).reason) == (RunState.FAILED, "share.exceeded")


@pytest.mark.parametrize("text", ["cores = 0", 'cores = "2"', "other = 1", "memory_mib = 1.5"])
def test_a_share_that_cannot_be_read_lets_nothing_run(world_at: WorldAt, text: str) -> None:
    world = shared(world_at(Stage.SUBMITTED), text)
    with refused(MissingPartError, "share.bad-settings"):
        share_of(world.domain)
