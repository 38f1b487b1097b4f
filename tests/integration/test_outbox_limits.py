"""Ordinary jobs that leave far too much or the oddest names: each ends with a reason that names the limit, and nothing is kept."""

from __future__ import annotations

import os

import pytest

from jobs.holding import outbox_of
from jobs.jail.probe import BWRAP
from jobs.runs import Stage as RunStage
from jobs.runs import queue
from jobs.states import RunState
from tests.factories import World
from tests.fixtures_lanes import submit_code
from tests.fixtures_serving import now, wait_until


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0 or not BWRAP.exists(), reason="needs root and bubblewrap"),
]

JOBS = {
    "a million files": ("for n in range(10**6): open(f'/out/{n}', 'w').close()", "reason.ended.output"),
    "a terabyte that is not there": (
        "os.truncate(os.open('/out/big', os.O_RDWR | os.O_CREAT), 1 << 40)",
        "reason.ended.failed",
    ),
    "names in every encoding": (
        "[open(b'/out/' + '資料'.encode(c), 'w').close() for c in ('utf-8', 'gb18030', 'big5', 'shift_jis', 'utf-16-le')]",
        "outbox.name",
    ),
}


@pytest.mark.parametrize("name", list(JOBS))
def test_what_is_too_much_or_too_odd_ends_with_its_reason(served: World, name: str) -> None:
    world = served
    line, reason = JOBS[name]
    job = submit_code(world, "processor", "scenario", "odd", f"import os\ndef main(job):\n    {line}\n")
    run = queue(world.domain, world.session("processor"), job, 0, RunStage.DEVELOPMENT)
    wait_until(world, lambda: now(world, run).over)
    found = now(world, run)
    assert (found.state, found.reason) == (RunState.FAILED, reason)
    assert not outbox_of(world.domain, run).exists()
