"""Lanes under a clock that only the test moves: a jail that behaves as a test says, and a supervisor that never really waits.

What is tried here is what the platform tells and when, so the jail is a stand-in whose runs take exactly the time, memory and
ending that are to be told apart; the real jail has its own tests in ``tests/integration``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jobs import runs, settling, starting, submitting
from jobs.carrying import Carrier
from jobs.jail.spec import Capability, Collected, Ending, JailSpec, Outcome
from jobs.lanes import LaneCarrier
from lineage.errors import GateRefusedError
from sandbox.grants import Zone, get_grant, tables_of
from tests.factories import Stage, World
from tests.worlds import Hands


@dataclass(frozen=True)
class Signal:
    """Everything that a run can do to be heard."""

    seconds: float = 3
    ending: Ending = Ending.DONE
    exit_code: int = 0
    cpu_seconds: float = 1
    peak_mebibytes: int = 100
    log: str = ""
    files: int = 1
    outbox_error: str = ""
    defect: bool = False


@dataclass
class ActedJail:
    """Keeps the contract of a jail and acts a signal instead of running a program; a second passes at each look."""

    hands: Hands
    signal: Signal = Signal()
    look: Callable[[], None] = lambda: None
    seen: list[JailSpec] = field(default_factory=list)

    def capability(self) -> Capability:
        return Capability(network=True, files=True, uid=True, limits=True, kernel=False)

    def prepare(self, spec: JailSpec) -> None:
        (spec.workspace / "jail").mkdir(exist_ok=True)

    def run(self, spec: JailSpec, cancelled: Callable[[], bool]) -> Outcome:
        self.seen.append(spec)
        log = spec.workspace / "jail" / "log"
        log.write_text(self.signal.log)
        ending, passed = self.signal.ending, 0.0
        while passed < self.signal.seconds:
            self.look()
            if cancelled():
                ending = Ending.CANCELLED
                break
            step = min(1.0, self.signal.seconds - passed)
            self.hands.forward(seconds=step)
            passed += step
        if self.signal.defect:
            raise RuntimeError("a defect that the run brought about")
        peak = self.signal.peak_mebibytes << 20
        return Outcome(ending, self.signal.exit_code, passed, self.signal.cpu_seconds, peak, log)

    def collect(self, spec: JailSpec, into: Path) -> tuple[Collected, ...]:
        if self.signal.outbox_error:
            raise GateRefusedError(self.signal.outbox_error)
        into.mkdir()
        for number in range(self.signal.files):
            (into / f"part-{number}").touch()
        return ()

    def cleanup(self, spec: JailSpec) -> None:
        return


class Ticking(threading.Event):
    """The platform's stop signal, of which a wait lets the time pass on the test's clock alone."""

    def __init__(self, hands: Hands, look: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._hands, self._look = hands, look

    def wait(self, timeout: float | None = None) -> bool:
        self._look()
        self._hands.forward(seconds=timeout or 0)
        return self.is_set()


def make_tables(world: World, grant: str = "grant") -> None:
    """Make the empty folder of each table that was entered as provisioned, for a jail mounts what is there."""
    with world.domain.read() as connection:
        found = get_grant(connection, world.ids[grant])
        for zone in Zone:
            for table in tables_of(connection, found, zone).values():
                folder = world.domain.sealed(found.id, zone) / table.id
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)


def queued(world: World, stage: runs.Stage = runs.Stage.PRODUCTION, login: str = "processor", job: str = "job") -> str:
    """Queue a run of the world's job; gives its id."""
    return runs.queue(world.domain, world.session(login), world.ids[job], 0, stage)


def promoted(world_at: Callable[[Stage], World]) -> World:
    """A world with a promoted job, its tables, and nothing in the queue."""
    world = world_at(Stage.PROMOTED)
    make_tables(world)
    runs.ask_cancel(world.domain, world.session("processor"), world.ids["run"])
    return world


def carry(world: World, run: str, signal: Signal, look: Callable[[], None] = lambda: None) -> ActedJail:
    """Carry the lane of a run until nothing waits in it, acting a signal; ``look`` is called at each second that passes."""
    jail = ActedJail(world.hands, signal, look)
    carrier = Carrier(world.domain, jail, Path("/nowhere"), Ticking(world.hands, look))
    with world.domain.read() as connection:
        lane = LaneCarrier(carrier, runs.lane_of(connection, run))
    lane.reconcile()
    while lane.carry_next():
        continue
    return jail


def by_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a watch look at each question and a wait last a second: of the test's clock, which costs no time."""
    monkeypatch.setattr(starting, "_LOOK_EVERY", 0.0)
    monkeypatch.setattr(settling, "_ASK_EVERY", 1.0)


def fill_tables(world: World, grant: str = "grant") -> None:
    """Write a few rows into each table that was entered as provisioned, so that a real jail has something to read."""
    import pyarrow as pa
    from deltalake import write_deltalake

    with world.domain.read() as connection:
        found = get_grant(connection, world.ids[grant])
        tables = [table for zone in Zone for table in tables_of(connection, found, zone).values()]
    for table in tables:
        folder = world.domain.sealed(found.id, table.zone) / table.id
        rows = pa.table({name: [f"{name}-{row}" for row in range(100)] for name in table.columns})
        write_deltalake(folder, rows)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


MANIFEST = """
[job]
name = "{name}"
scenario = "{scenario}"

[inputs]
visits = "health.visits"

[[run]]
name = "work"
runtime = "python"
entry = "main.py"
memory = "512m"
minutes = 5

[[product]]
name = "files"
kind = "file"
run = "work"
"""


def submit_code(world: World, login: str, scenario: str, name: str, code: str) -> str:
    """Submit a job that is one file of code; gives its id."""
    folder = world.domain.home.parent / f"code-{login}-{name}"
    folder.mkdir()
    (folder / "job.toml").write_text(MANIFEST.format(name=name, scenario=world.ids[scenario]))
    (folder / "main.py").write_text(code)
    return submitting.submit(world.domain, world.session(login), folder).id
