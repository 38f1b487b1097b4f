"""One warm jail: started for nobody, given to one run, ended with it (D1, D2; laws 1 and 7).

It is a cold jail in everything but the order: namespaces, filter, limits, closed descriptors and the read-only tree are there from its
first moment, when only our own code runs in it; the tenant's things come afterwards. Three things differ, each on purpose.

- Its uid is its own, from a range no tenant has, because nobody knows yet whose it will be; the outbox maps that owner to the tenant's.
- Its stdin is a pipe that carries one word and is let go of before the tenant's first line.
- What it writes before that word is read up to a bound and thrown away.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.jail import cgroup, late_mount, outbox
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.local import Place, launcher_environment, memory_file
from jobs.jail.options import OUTBOX_BITS, mount_bits, process_limits
from jobs.jail.pool_names import UIDS, new_name
from jobs.jail.runtimes import JOB, Runtime
from jobs.jail.spec import JailSpec, Limits
from jobs.jail.watch import Started
from lineage.errors import MissingPartError


READY: Final = b"\x06warm\n"
"""What ``jobs.sdk.warm`` writes; said twice because neither side imports the other."""
GO: Final = b"go\n"
_HEARD: Final = 256 * 1024
"""Bytes a warm jail may say before it is ready: warnings of an engine, no more."""
_LOOK_EVERY: Final = 0.2
_WAITING, _RUNNING = 50, 100
_CHUNK: Final = 16 * 1024


class LateMountError(Exception):
    """A warm jail could not be given its tenant's things; nothing of the tenant has run in it, and it must be ended."""


@dataclass(frozen=True)
class WarmKind:
    """What a warm jail is ready for.

    Attributes:
        name: ``spark`` or ``python``.
        runtime: mounts, environment and command line; a run must have exactly these.
        limits: a run must ask for exactly the cores, memory and processes of these.
        count: how many are kept.
    """

    name: str
    runtime: Runtime
    limits: Limits
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse a kind that the driver inside does not know."""
        if self.name not in {"spark", "python"} or self.count < 1:
            raise ValueError("a warm jail is of kind spark or python, and at least one")

    def fits(self, spec: JailSpec) -> bool:
        """Tell whether a run would find in a warm jail exactly what a cold one would give it."""
        mounts = dict(spec.read_only)
        same = all(mounts.pop(inside, None) == host for inside, host in self.runtime.read_only.items())
        return (
            same
            and JOB in mounts
            and all(inside == JOB or _is_table(inside) for inside in mounts)
            and spec.argv == self.runtime.run_job
            and dict(spec.environment) == dict(self.runtime.environment)
            and spec.uid not in UIDS
            and self._same_limits(spec)
        )

    def _same_limits(self, spec: JailSpec) -> bool:
        """Compare what the groups and the processes hold; time, log and outbox are bounded from outside, run by run."""
        mine, theirs = self.limits, spec.limits
        return (mine.memory_bytes, mine.cores, mine.processes) == (
            theirs.memory_bytes,
            theirs.cores,
            theirs.processes,
        ) and process_limits(theirs) == process_limits(mine)


def _is_table(inside: str) -> bool:
    return inside.startswith("/in/") and inside.count("/") == 2


class WarmJail:
    """A jail that was started for nobody. Made by ``warm_up``, used once, always ended."""

    def __init__(self, kind: WarmKind, spec: JailSpec, group: cgroup.Group) -> None:
        self.kind = kind
        self.spec = spec
        self.group = group
        self._ours = ExitStack()
        self._begun = time.monotonic()
        self._inside = -1
        self._start = -1
        self._started: Started | None = None

    @property
    def started(self) -> Started:
        """The launcher and the reading ends of its two pipes."""
        if self._started is None:
            raise MissingPartError("jail.not-made", detail="warm")
        return self._started

    @property
    def age(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._begun

    @property
    def alive(self) -> bool:
        """Whether its launcher still lives, and with it all that is inside."""
        return self._started is not None and self._started.process.poll() is None

    def begin(self, jail: BubblewrapJail) -> None:
        """Start it; the calling thread's end is its end."""
        place = Place(self.spec)
        for folder in (self.spec.workspace, place.jail, place.root):
            folder.mkdir(mode=0o700)
        self.group.create(self.spec.limits)
        self._weigh(_WAITING)
        with ExitStack() as theirs:
            reading, writing = os.pipe2(os.O_CLOEXEC)
            theirs.callback(os.close, reading)
            self._start = writing
            self._ours.callback(os.close, writing)
            log, status, process = jail.launch(self.spec, place, self.group, self._ours, reading)
        self._started = Started(process, log, status)

    def wait_ready(self, seconds: float, stopping: Callable[[], bool]) -> bool:
        """Wait until it says that it is ready; False when it died, said too much, took too long, or nobody wants it any more."""
        deadline = time.monotonic() + seconds
        said = b""
        while self.alive and len(said) <= _HEARD and time.monotonic() < deadline and not stopping():
            ready, _, _ = select.select([self.started.log], [], [], _LOOK_EVERY)
            if ready:
                data = os.read(self.started.log, _CHUNK)
                said += data
                if not data:
                    return False
            if said.endswith(READY):
                self._inside = self._first_process()
                return self._inside >= 0
        return False

    def _first_process(self) -> int:
        """Hold the first process inside by descriptor; bubblewrap told its number before it started anything."""
        try:
            report = json.loads(os.read(self.started.status, _CHUNK).splitlines()[0])
            descriptor = os.pidfd_open(int(report["child-pid"]))
        except (ValueError, KeyError, IndexError, ProcessLookupError):
            return -1
        self._ours.callback(os.close, descriptor)
        return descriptor

    def give(self, spec: JailSpec) -> float:
        """Mount a run's things and say go; gives the processor seconds used until then.

        Raises:
            LateMountError: a step failed before the word was said.
        """
        if not self.alive or self._inside < 0:
            raise LateMountError("dead")
        try:
            self._forget_what_it_said()
            _mount_late(self._plan(spec), self._inside)
            self._weigh(_RUNNING)
            self._forget_peak()
            used = self.group.cpu_seconds()
            os.write(self._start, GO)
        except OSError as error:
            raise LateMountError(type(error).__name__) from error
        return used

    def _plan(self, spec: JailSpec) -> dict[str, object]:
        """Say what ``late_mount`` is to mount, with the flags that a cold jail's launcher would set."""
        return {
            "parent": os.getpid(),
            "process": self._inside,
            "group": self.group.name,
            "uid": self.spec.uid,
            "owner": spec.uid,
            "outbox": str(Place(spec).outbox),
            "outbox_bits": OUTBOX_BITS,
            "binds": [
                (str(host), inside, mount_bits(inside))
                for inside, host in sorted(spec.read_only.items())
                if inside not in self.kind.runtime.read_only
            ],
        }

    def _weigh(self, share: int) -> None:
        """Set its share of a busy processor, in hundredths of a run's: getting ready must not slow what somebody waits for."""
        if self.group.unified:
            (self.group.folders[""] / "cpu.weight").write_text(str(share), encoding="ascii")
        else:
            (self.group.folders["cpu"] / "cpu.shares").write_text(str(1024 * share // 100), encoding="ascii")

    def _forget_peak(self) -> None:
        """Begin the count of memory anew for the run; version 2 of control groups cannot, and tells the larger of both."""
        if not self.group.unified:
            (self.group.folders["memory"] / "memory.max_usage_in_bytes").write_text("0", encoding="ascii")

    def _forget_what_it_said(self) -> None:
        """Throw away what an engine wrote since it was ready: none of it is the run's."""
        heard = 0
        while heard < _HEARD and select.select([self.started.log], [], [], 0)[0]:
            data = os.read(self.started.log, _CHUNK)
            heard += len(data)
            if not data:
                raise LateMountError("dead")

    def end(self) -> None:
        """Kill everything in it and remove everything of it; safe to repeat."""
        if self._started is not None:
            self._started.process.kill()
            self._started.process.wait()
        self.group.remove()
        self._ours.close()
        outbox.remove_tree(self.spec.workspace)


def prepare_warm(kind: WarmKind, folder: Path) -> WarmJail:
    """Name a new warm jail of a kind below a root-only folder; nothing is started."""
    name, uid = new_name()
    runtime = kind.runtime
    spec = JailSpec(
        name=name,
        workspace=folder / name,
        uid=uid,
        argv=runtime.get_warm(kind.name),
        environment=runtime.environment,
        read_only=runtime.read_only,
        limits=kind.limits,
        late=True,
    )
    return WarmJail(kind, spec, cgroup.group(name))


def _mount_late(plan: dict[str, object], inside: int) -> None:
    """Run ``late_mount`` in a process of its own: entering a mount namespace needs one thread, and must not change ours."""
    with ExitStack() as theirs:
        plan_file = memory_file(theirs, "plan", json.dumps(plan).encode())
        done = subprocess.run(
            [sys.executable, "-I", "-S", late_mount.__file__, str(plan_file)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=(plan_file, inside),
            env=launcher_environment(),
            cwd="/",
            check=False,
        )
    if done.returncode != 0:
        raise LateMountError(ascii(done.stdout[:120]))


def end_quietly(warm: WarmJail) -> None:
    """End a warm jail that nobody waits for; what would not go is found by the next sweep."""
    with suppress(MissingPartError, OSError):
        warm.end()
