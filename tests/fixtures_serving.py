"""A supervisor at work on two tenants' lanes, in real jails and on a clock that goes on by itself."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs import bell
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.runs import Run, get_run
from jobs.supervisor import Supervisor
from sandbox.engine import jars_folder
from tests.factories import Stage, World, add_grant, provision
from tests.fixtures_domain import WorldAt
from tests.fixtures_lanes import fill_tables


PATIENCE = 240

QUIET = """
def main(job):
    rows = job.table("visits")
    job.save("rows.csv", rows)
    job.log(f"read {len(rows)}")
"""


@pytest.fixture
def two(world_at: WorldAt) -> World:
    """Two tenants with a few rows each."""
    world = world_at(Stage.PROVISIONED)
    world.ids["rival-grant"] = add_grant(world, "rival", "scenario:rivals")
    provision(world, world.ids["rival-grant"])
    for grant in ("grant", "rival-grant"):
        fill_tables(world, grant)
    return world


def now(world: World, run: str) -> Run:
    with world.domain.read() as connection:
        return get_run(connection, run)


def wait_until(world: World, holds: Callable[[], bool]) -> None:
    """Look whenever the bell rings, and now and then."""
    never = threading.Event()
    for _ in range(PATIENCE):
        since = bell.rung(world.domain)
        if holds():
            return
        bell.wait(world.domain, since, never, 1)
    raise AssertionError("it did not come to that")


@pytest.fixture
def served(two: World) -> Iterator[World]:
    """A supervisor of all lanes at work, on a clock that goes on by itself."""
    supervisor = Supervisor(two.domain, BubblewrapJail(), jars_folder())
    serving = threading.Thread(target=supervisor.serve)
    serving.start()
    yield two
    supervisor.stop()
    serving.join(PATIENCE)
    assert not serving.is_alive()


def begun(world: World, run: str) -> bool:
    log = world.domain.home / "run" / "work" / run / "jail" / "log"
    return log.exists() and b"begun" in log.read_bytes()


def living(run: str) -> list[int]:
    """Processes that were ever put into a run's control group and do not end by themselves at once."""
    left = []
    for path in Path("/proc").iterdir():
        try:
            mine = path.name.isdigit() and run in (path / "cgroup").read_text()
            descriptor = os.pidfd_open(int(path.name)) if mine else None
        except OSError:
            continue
        if descriptor is not None:
            if not select.select([descriptor], [], [], 5)[0]:
                left.append(int(path.name))
            os.close(descriptor)
    return left
