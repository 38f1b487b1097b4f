"""Runs that hand files over: a job that describes a file, a run that left one, and the gate that takes it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from export_gate import checking, exports
from export_gate.exports import Export
from export_gate.gatekeeper import Gatekeeper
from export_gate.worker import carry_out
from jobs import promotion, runs, submitting
from jobs.supervisor import outbox_opened
from tests import telling
from tests.factories import COLUMNS
from tests.fixtures_domain import WorldAt
from tests.fixtures_lanes import Signal, carry, fill_tables, promoted, queued
from tests.worlds import World


MANIFEST = """
[job]
name = "hands-over-{number}"
scenario = "{scenario}"

[inputs]
visits = "health.visits"

[[run]]
name = "work"
runtime = "python"
entry = "main.py"
memory = "512m"
minutes = 5

[[run]]
name = "other"
runtime = "python"
entry = "main.py"
memory = "512m"
minutes = 5

[[product]]
name = "handed"
kind = "file"
run = "work"
{described}
"""
TABLE = 'path = "left"\nformat = "{form}"\nbytes = 4096\n'
DECLARED = 'columns = { district = "text", visits = "integer", share = "decimal(2)" }\n'
TABLES = ("csv", "json-lines", "parquet", "arrow")


def described(form: str, size: int = 4096) -> str:
    """The lines of a product that describe a file called ``left``."""
    lines = TABLE.format(form=form).replace("4096", str(size))
    return lines + (DECLARED if form in TABLES else "")


def open_world(world_at: WorldAt, bits: int = 10_000_000) -> World:
    """A world with a promoted job, tables to search files for, and caps of bits that leave room for files."""
    world = promoted(world_at)
    fill_tables(world)
    for name, columns in COLUMNS.items():
        rows = {column: [f"{column} of subject {number:06d}" for number in range(100)] for column in columns}
        raw = world.domain.raw(world.ids[name]) / "table"
        raw.parent.mkdir(parents=True, exist_ok=True)
        write_deltalake(raw, pa.table(rows))
    world.domain = replace(world.domain, settings={**world.domain.settings, "bits": {"scenario": bits, "tenant": bits}})
    return world


def submit(world: World, lines: str, code: str = "def main(job):\n    pass\n") -> str:
    """Submit and promote a job whose one product is described by these lines; gives its id."""
    number = world.ids["handing"] = str(int(world.ids.get("handing", "0")) + 1)
    folder = world.domain.home.parent / f"handing-{number}"
    folder.mkdir()
    text = MANIFEST.format(number=number, scenario=world.ids["scenario"], described=lines)
    (folder / "job.toml").write_text(text)
    (folder / "main.py").write_text(code)
    session = world.session("processor")
    job = submitting.submit(world.domain, session, folder).id
    asked = promotion.request(world.domain, session, job)
    promotion.decide(world.domain, world.session("reviewer"), asked, approve=True, reason="read")
    world.ids["handing-job"] = job
    return job


def leave(
    world: World, job: str, left: Mapping[str, bytes], stage: runs.Stage = runs.Stage.PRODUCTION, position: int = 0
) -> str:
    """Let a run of a job leave files, as the collector would have taken them; gives its id."""
    world.ids["handing-job"] = job
    if position:
        run = runs.queue(world.domain, world.session("processor"), job, position, stage)
    else:
        run = queued(world, stage, job="handing-job")
    carry(world, run, Signal(files=0))
    with outbox_opened(world.domain, run) as outbox:
        for name, data in left.items():
            (outbox / name).parent.mkdir(exist_ok=True)
            (outbox / name).write_bytes(data)
            (outbox / name).chmod(0o400)
    return run


@dataclass(frozen=True)
class Desk(telling.Desk):
    """The gate with its workers in this process; the wall around them is tried elsewhere."""

    def work(
        self, request: Mapping[str, Any], job: Path, tables: Mapping[str, Path], scenario: str, person: str
    ) -> dict[str, Any]:
        """Carry a request out; a file that is to be parsed lies as it does in the jail, and no table beside it."""
        if job.is_dir():
            return super().work(request, job, tables, scenario, person)
        assert not tables
        folder = Path(tempfile.mkdtemp(dir=self.domain.home))
        try:
            shutil.copyfile(job, folder / "file")
            return carry_out(request, folder, Path("/nowhere"))
        finally:
            shutil.rmtree(folder)


def take(gate: Gatekeeper, world: World, job: str, run: str) -> Export:
    """Ask for the file that a run left and let the gate check it."""
    asked = exports.request(world.domain, world.session("processor"), job, "handed", run)
    return checking.check_export(gate, asked)


def reasons(found: Export) -> set[str]:
    """What the findings of an export say."""
    return {str(one["reason"]) for one in found.reasons}
