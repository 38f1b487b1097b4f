"""Keys change while runs read and start: nothing stops, and what starts afterwards opens under the new keys (D9)."""

from __future__ import annotations

import os

import pytest

from jobs.jail.probe import BWRAP
from jobs.runs import Stage as RunStage
from jobs.runs import queue
from jobs.states import RunState
from jobs.supervisor import read_log
from lineage.kinds import Kind
from sandbox.rotation import list_keys, rotate_root, rotate_tenant
from tests.factories import World
from tests.fixtures_lanes import submit_code
from tests.fixtures_serving import QUIET, begun, now, wait_until


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0 or not BWRAP.exists(), reason="needs root and bubblewrap"),
]

READING = """
import time
def main(job):
    until = time.monotonic() + 10
    job.log("begun")
    while time.monotonic() < until:
        rows = job.table("visits")
    job.log(f"read {len(rows)}")
"""


def test_runs_go_on_and_new_ones_start_while_keys_change(served: World) -> None:
    world = served
    keeper = world.session("keeper")
    before = {one.purpose: one.generation for one in list_keys(world.domain, keeper)}
    reading = submit_code(world, "processor", "scenario", "reading", READING)
    first = queue(world.domain, world.session("processor"), reading, 0, RunStage.DEVELOPMENT)
    wait_until(world, lambda: begun(world, first) or now(world, first).over)
    rotate_root(world.domain, keeper)
    rotate_tenant(world.domain, keeper, world.ids["medica"])
    fresh = submit_code(world, "rival-processor", "scenario:rivals", "fresh", QUIET)
    second = queue(world.domain, world.session("rival-processor"), fresh, 0, RunStage.DEVELOPMENT)
    again = submit_code(world, "processor", "scenario", "again", QUIET)
    third = queue(world.domain, world.session("processor"), again, 0, RunStage.DEVELOPMENT)
    for run in (first, second, third):
        wait_until(world, lambda run=run: now(world, run).over)  # type: ignore[misc]
        assert (now(world, run).state, now(world, run).reason) == (RunState.SUCCEEDED, "reason.ended.done")
        assert "read 100" in read_log(world.domain, now(world, run))
    entries = world.log()
    rotated = [entry.seq for entry in entries if entry.kind is Kind.KEY_ROTATED]
    (ended,) = [entry.seq for entry in entries if entry.kind is Kind.RUN_ENDED and first in entry.subjects]
    assert len(rotated) == 2
    assert max(rotated) < ended, "the keys changed after the run was over, so nothing was shown"
    after = {one.purpose: one.generation for one in list_keys(world.domain, keeper)}
    changed = {purpose for purpose in before if after.get(purpose) != before[purpose]}
    assert f"tenant:{world.ids['medica']}" in changed
    assert world.verified().problems == ()
