"""Jobs and runs in the database: submitted by digest, queued as the manifest has them, moved along one way (D3, P8)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from jobs import runs, submitting
from jobs.runs import Stage as RunStage
from jobs.states import RUN, RunState
from lineage.errors import DefinitionError, NotPermittedError
from lineage.kinds import Kind
from sandbox.domain import open_domain
from tests.factories import Stage, World, add_grant, provision, refused, submit, write_job
from tests.fixtures_domain import WorldAt


def queue(world: World, position: int = 0, stage: RunStage = RunStage.DEVELOPMENT) -> str:
    return runs.queue(world.domain, world.session("processor"), world.ids["job"], position, stage)


def read(world: World, run: str) -> runs.Run:
    with world.domain.read() as connection:
        return runs.get_run(connection, run)


def test_the_same_folder_is_the_same_job(world_at: WorldAt) -> None:
    world = world_at(Stage.SUBMITTED)
    count = len(world.log())
    assert submit(world, "processor", "scenario") == world.ids["job"]
    assert len(world.log()) == count
    assert submit(world, "processor", "scenario", epsilon="0.4") != world.ids["job"]


def test_the_same_folder_of_another_tenant_is_another_job(world_at: WorldAt) -> None:
    world = world_at(Stage.SUBMITTED)
    provision(world, add_grant(world, "rival", "scenario:rivals"))
    other = submit(world, "rival-processor", "scenario:rivals")
    assert other != world.ids["job"]
    with world.domain.read() as connection:
        assert runs.get_job(connection, other).tenant == world.ids["rival"]


def test_what_is_changed_in_the_folder_afterwards_does_not_count(world_at: WorldAt) -> None:
    world = world_at(Stage.PROVISIONED)
    folder = write_job(world.domain.home.parent / "job", world.ids["scenario"])
    made = submitting.submit(world.domain, world.session("processor"), folder)
    (folder / "main.py").write_text("def main(job):\n    raise SystemExit\n")
    frozen = world.domain.home / "jobs" / made.digest
    assert (frozen / "main.py").read_text() == "def main(job):\n    pass\n"


def test_a_table_that_is_not_granted_is_no_input(world_at: WorldAt) -> None:
    world = world_at(Stage.GRANTED)
    with refused(DefinitionError, "job.table-not-granted"):
        submit(world, "processor", "scenario")


def test_only_who_is_named_submits(world_at: WorldAt) -> None:
    world = world_at(Stage.PROVISIONED)
    with refused(NotPermittedError, "grant.not-named"):
        submit(world, "colleague", "scenario")


@pytest.mark.parametrize("position", [-1, 1, 10**6])
def test_a_run_that_the_job_does_not_have_is_not_queued(world_at: WorldAt, position: int) -> None:
    """It would kill the supervisor whenever that comes to it, and with it everybody's runs."""
    world = world_at(Stage.SUBMITTED)
    with refused(DefinitionError, "run.no-such-position"):
        queue(world, position)


def test_only_who_is_named_queues(world_at: WorldAt) -> None:
    world = world_at(Stage.SUBMITTED)
    with refused(NotPermittedError, "grant.not-named"):
        runs.queue(world.domain, world.session("colleague"), world.ids["job"], 0, RunStage.DEVELOPMENT)


def test_nothing_is_queued_after_the_grants_term(world_at: WorldAt) -> None:
    world = world_at(Stage.SUBMITTED)
    session = world.session("processor")
    world.hands.forward(days=90)
    with refused(NotPermittedError, "grant.none"):
        runs.queue(world.domain, session, world.ids["job"], 0, RunStage.DEVELOPMENT)


def test_the_longest_waiting_run_is_next(world_at: WorldAt) -> None:
    world = world_at(Stage.SUBMITTED)
    world.hands.forward(seconds=1)
    second = queue(world)
    with world.domain.read() as connection:
        lane = runs.lane_of(connection, world.ids["run"])
        first = runs.next_queued(connection, lane)
    assert first is not None
    assert first.id == world.ids["run"]
    runs.move(world.domain, first.id, RunState.PREPARING, "reason.preparing")
    with world.domain.read() as connection:
        following = runs.next_queued(connection, lane)
        assert [one.id for one in runs.interrupted(connection, lane)] == [first.id]
    assert following is not None
    assert following.id == second


def walk(world: World, to: RunState) -> str:
    """Lead the world's run to a state by the moves a supervisor makes."""
    ways = {
        RunState.QUEUED: [],
        RunState.PREPARING: [RunState.PREPARING],
        RunState.RUNNING: [RunState.PREPARING, RunState.RUNNING],
        RunState.COLLECTING: [RunState.PREPARING, RunState.RUNNING, RunState.COLLECTING],
        RunState.SUCCEEDED: [RunState.PREPARING, RunState.RUNNING, RunState.COLLECTING, RunState.SUCCEEDED],
        RunState.FAILED: [RunState.FAILED],
        RunState.CANCELLED: [RunState.CANCELLED],
    }
    for state in ways[to]:
        runs.move(world.domain, world.ids["run"], state, "reason.running", {"cpu_seconds": 1})
    return world.ids["run"]


@pytest.mark.parametrize("state", RunState)
def test_a_run_moves_where_its_machine_lets_it(world_at: WorldAt, state: RunState) -> None:
    for then in RunState:
        world = world_at(Stage.SUBMITTED)
        run = walk(world, state)
        count = len(world.log())
        if RUN.can_move(state, then):
            runs.move(world.domain, run, then, "reason.running")
            assert read(world, run).state is then
            assert world.kinds(count) == [Kind.RUN_ADVANCED if RUN.following[then] else Kind.RUN_ENDED]
        else:
            with refused(DefinitionError, "state.cannot-move"):
                runs.move(world.domain, run, then, "reason.running")
            assert len(world.log()) == count


@pytest.mark.parametrize("state", RunState)
def test_a_cancellation_stops_what_is_not_over(world_at: WorldAt, state: RunState) -> None:
    world = world_at(Stage.SUBMITTED)
    run = walk(world, state)
    session = world.session("processor")
    if not RUN.following[state]:
        with refused(DefinitionError, "run.over"):
            runs.ask_cancel(world.domain, session, run)
        return
    runs.ask_cancel(world.domain, session, run)
    found = read(world, run)
    assert found.cancel_asked is not None
    assert found.state is (RunState.CANCELLED if state is RunState.QUEUED else state)


def test_the_outcome_is_metered(world_at: WorldAt) -> None:
    world = world_at(Stage.SUBMITTED)
    run = walk(world, RunState.SUCCEEDED)
    assert read(world, run).outcome == {"cpu_seconds": 1}


def test_two_supervisors_at_the_same_instant_take_a_run_once(world_on: WorldAt) -> None:
    world = world_on(Stage.SUBMITTED)
    start = Barrier(4)

    def take(_: int) -> str:
        own = open_domain(world.domain.home, clock=world.hands)
        start.wait(timeout=60)
        try:
            runs.move(own, world.ids["run"], RunState.PREPARING, "reason.preparing")
        except DefinitionError as error:
            return error.code
        return "taken"

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(take, range(4)))
    assert answers == ["state.cannot-move"] * 3 + ["taken"]
    assert world.verified().holds
