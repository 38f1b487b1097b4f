"""Two tenants' runs in two real jails at once: whatever one does, the other ends well and the machine carries on (D1, P1; law 1)."""

from __future__ import annotations

import os

import pytest

from jobs.jail.probe import BWRAP
from jobs.runs import Stage as RunStage
from jobs.runs import ask_cancel, queue
from jobs.states import RunState
from jobs.supervisor import outbox_opened, read_log
from sandbox.parties import suspend
from tests.factories import World
from tests.fixtures_lanes import submit_code
from tests.fixtures_serving import QUIET, begun, living, now, wait_until


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0 or not BWRAP.exists(), reason="needs root and bubblewrap"),
]

HOSTILE = {
    "fork bomb": """
import os, time
def main(job):
    job.log("begun")
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)
""",
    "memory hog": """
def main(job):
    job.log("begun")
    held = []
    while True:
        held.append(bytearray(16 << 20))
""",
    "disk filler": """
import os
def main(job):
    job.log("begun")
    number = 0
    while True:
        for folder in ("/out", "/tmp"):
            try:
                with open(f"{folder}/{number}", "wb") as file:
                    file.write(os.urandom(1 << 20))
            except OSError:
                pass
        number += 1
""",
    "ignores every signal": """
import signal
def main(job):
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    job.log("begun")
    while True:
        pass
""",
    "daemonises": """
import os, time
def main(job):
    for _ in range(5):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.setsid()
                while True:
                    time.sleep(0.001)
            os._exit(0)
    job.log("begun")
    time.sleep(1000)
""",
    "floods its log": """
import sys
def main(job):
    job.log("begun")
    while True:
        sys.stdout.write("x" * 65536)
""",
}


@pytest.mark.parametrize("hostile", list(HOSTILE))
def test_a_hostile_neighbour_harms_nobody(served: World, hostile: str) -> None:
    world = served
    bad = submit_code(world, "processor", "scenario", "bad", HOSTILE[hostile])
    good = submit_code(world, "rival-processor", "scenario:rivals", "good", QUIET)
    first = queue(world.domain, world.session("processor"), bad, 0, RunStage.DEVELOPMENT)
    wait_until(world, lambda: begun(world, first) or now(world, first).over)
    second = queue(world.domain, world.session("rival-processor"), good, 0, RunStage.DEVELOPMENT)
    wait_until(world, lambda: now(world, second).over)
    found = now(world, second)
    assert (found.state, found.reason) == (RunState.SUCCEEDED, "reason.ended.done")
    assert "read 100" in read_log(world.domain, found)
    with outbox_opened(world.domain, second) as outbox:
        assert (outbox / "rows.csv").stat().st_size > 100
    if not now(world, first).over:
        ask_cancel(world.domain, world.session("processor"), first)
    wait_until(world, lambda: now(world, first).over)
    assert now(world, first).state in {RunState.CANCELLED, RunState.FAILED}
    assert living(first) == []
    assert list((world.domain.home / "run" / "work").iterdir()) == []


def test_a_suspended_tenants_run_ends_and_its_neighbours_goes_on(served: World) -> None:
    world = served
    endless = HOSTILE["ignores every signal"]
    runs = []
    for login, scenario in (("processor", "scenario"), ("rival-processor", "scenario:rivals")):
        job = submit_code(world, login, scenario, "endless", endless)
        runs.append(queue(world.domain, world.session(login), job, 0, RunStage.DEVELOPMENT))
    wait_until(world, lambda: all(begun(world, run) for run in runs))
    suspend(world.domain, world.session("officer"), world.ids["medica"], "risk found")
    wait_until(world, lambda: now(world, runs[0]).over)
    assert (now(world, runs[0]).state, now(world, runs[0]).reason) == (RunState.CANCELLED, "reason.tenant-suspended")
    assert now(world, runs[1]).state is RunState.RUNNING
    assert living(runs[0]) == []
    assert living(runs[1]) != []
