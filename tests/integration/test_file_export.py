"""A file's whole way on the real jail: written by a tenant's code, previewed, promoted, run on inputs, taken, decided, released."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from export_gate import exports, release
from export_gate.gatekeeper import Gatekeeper
from export_gate.previewing import preview
from export_gate.states import ExportState
from export_gate.verifying import verify_release
from jobs.carrying import Carrier
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.probe import BWRAP
from jobs.lanes import LaneCarrier
from jobs.runs import Stage, get_run, lane_of, queue
from jobs.states import RunState
from tests import handing, telling
from tests.fixtures_domain import WorldAt
from tests.fixtures_lanes import Ticking
from tests.worlds import World


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0 or not BWRAP.exists(), reason="needs root and bubblewrap"),
]

CODE = """
import io

def main(job):
    table = job.table("visits").head(30)
    made = table.assign(half=["first"] * 12 + ["second"] * 18).groupby("half").agg(rows=("district", "size")).reset_index()
    job.save("result/halves.parquet", made)
    job.save("result/notes.txt", "not described, so it stays in")
"""
LINES = """
path = "result/halves.parquet"
format = "parquet"
bytes = 200
columns = { half = "text", rows = "integer" }
"""


def run_one(world: World, job: str, stage: Stage) -> str:
    run = queue(world.domain, world.session("processor"), job, 0, stage)
    with world.domain.read() as connection:
        lane = lane_of(connection, run)
    # The end of a production run is told by a clock that only the test moves.
    carrier = LaneCarrier(Carrier(world.domain, BubblewrapJail(), Path("/nowhere"), Ticking(world.hands)), lane)
    assert carrier.carry_next()
    with world.domain.read() as connection:
        assert get_run(connection, run).state is RunState.SUCCEEDED
    return run


def test_from_the_job_to_the_verified_release(world_at: WorldAt) -> None:
    world = handing.open_world(world_at)
    gate = Gatekeeper(world.domain, BubblewrapJail())
    job = handing.submit(world, LINES, CODE)
    run_one(world, job, Stage.DEVELOPMENT)
    (shown,) = preview(gate, world.session("processor"), job, "handed")
    assert [list(row) for row in shown.rows] == [["first", "12"], ["second", "18"]]
    found = handing.take(gate, world, job, run_one(world, job, Stage.PRODUCTION))
    assert found.state is ExportState.IN_REVIEW, found.reasons
    folder = release.release(world.domain, telling.approve(world, found).id)
    verify_release(folder, world.domain.log.signer.verifier, world.domain.release_signer.verifier)
    assert {path.name for path in (folder / "data").iterdir()} == {"data.csv", "data.parquet", "card.json"}
    assert (folder / "data" / "data.csv").read_text() == "half,rows\nfirst,12\nsecond,18\n"
    with world.domain.read() as connection:
        assert exports.get_export(connection, found.id).state is ExportState.RELEASED
