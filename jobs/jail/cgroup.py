"""Control groups: one group a run holds all its processes, bounds them together, counts them, and kills them at once.

Version 1 (one tree a controller) and version 2 (one tree) are both in use; a machine that offers neither with memory, processes and
processor share cannot hold a jail (law 7). The kernel's ``admin-guide/cgroup-v1`` and ``admin-guide/cgroup-v2`` name the files.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.jail.spec import Limits
from lineage.errors import MissingPartError


ROOT: Final = Path("/sys/fs/cgroup")
PARENT: Final = "shuzha"
PERIOD: Final = 100_000
"""Microseconds over which the processor share is counted; the kernel's default."""

_NEEDED_V1: Final = ("memory", "pids", "cpu", "cpuacct")
_NEEDED_V2: Final = ("memory", "pids", "cpu")
_KILL_SECONDS: Final = 20.0
_PAUSE: Final = 0.005


@dataclass(frozen=True)
class Group:
    """The control group of one run.

    Attributes:
        name: the run id.
        folders: controller -> folder; for version 2 one folder under the key ``""``.
    """

    name: str
    folders: dict[str, Path]

    @property
    def unified(self) -> bool:
        """Whether this is version 2."""
        return "" in self.folders

    @property
    def doors(self) -> tuple[Path, ...]:
        """The files that a process writes its id to in order to join."""
        return tuple(folder / "cgroup.procs" for folder in self.folders.values())

    def create(self, limits: Limits) -> None:
        """Make the folders and set the limits.

        Raises:
            MissingPartError: the kernel refuses a limit.
        """
        try:
            for folder in self.folders.values():
                folder.mkdir(parents=True, exist_ok=True)
            for path, value in (*self._weight(), *self._settings(limits)):
                path.write_text(value, encoding="ascii")
        except OSError as error:
            raise MissingPartError("jail.no-limits", detail=str(error.strerror)) from error

    def _weight(self) -> Iterator[tuple[Path, str]]:
        """Let all jails together weigh as one process a core: weighing as one alone, they stand still beside a busy machine."""
        cores = os.cpu_count() or 1
        if self.unified:
            yield self.folders[""].parent / "cpu.weight", str(min(100 * cores, 10_000))
        else:
            yield self.folders["cpu"].parent / "cpu.shares", str(1024 * cores)

    def _settings(self, limits: Limits) -> Iterator[tuple[Path, str]]:
        quota = limits.cores * PERIOD
        if self.unified:
            folder = self.folders[""]
            yield folder / "memory.max", str(limits.memory_bytes)
            yield folder / "memory.swap.max", "0"
            yield folder / "pids.max", str(limits.processes)
            yield folder / "cpu.max", f"{quota} {PERIOD}"
            return
        memory = self.folders["memory"]
        # The order matters: memory plus swap may never be below memory, so a second run of one name lifts it first.
        swap = memory / "memory.memsw.limit_in_bytes"
        if swap.exists():
            yield swap, "-1"
        yield memory / "memory.limit_in_bytes", str(limits.memory_bytes)
        if swap.exists():
            yield swap, str(limits.memory_bytes)
        yield self.folders["pids"] / "pids.max", str(limits.processes)
        yield self.folders["cpu"] / "cpu.cfs_period_us", str(PERIOD)
        yield self.folders["cpu"] / "cpu.cfs_quota_us", str(quota)

    def members(self) -> frozenset[int]:
        """Give the ids of all processes in the group, of every controller's tree."""
        found: set[int] = set()
        for door in self.doors:
            with contextlib.suppress(FileNotFoundError, OSError):
                found.update(int(line) for line in door.read_text(encoding="ascii").split())
        return frozenset(found)

    def kill(self) -> None:
        """Kill every process and return when none is left.

        Raises:
            MissingPartError: something survives, which only a broken kernel or a stuck device explains.
        """
        deadline = time.monotonic() + _KILL_SECONDS
        while members := self.members():
            if time.monotonic() > deadline:
                raise MissingPartError("jail.will-not-die", processes=len(members))
            self._kill_once(members)
            _wait_for_death(members)

    def _kill_once(self, members: frozenset[int]) -> None:
        if self.unified and (self.folders[""] / "cgroup.kill").exists():
            (self.folders[""] / "cgroup.kill").write_text("1", encoding="ascii")
            return
        # Frozen processes cannot fork away between reading the list and killing it.
        self._freeze("FROZEN")
        for pid in self.members() | members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._freeze("THAWED")

    def _freeze(self, state: str) -> None:
        if "freezer" in self.folders:
            with contextlib.suppress(FileNotFoundError):
                (self.folders["freezer"] / "freezer.state").write_text(state, encoding="ascii")

    def remove(self) -> None:
        """Kill what lives and remove the folders; a group that is not there is no error.

        A process that is dying has left the listing but still holds its folder for a moment, so that the removal is also the proof
        that every process has closed its files.

        Raises:
            MissingPartError: something survives.
        """
        deadline = time.monotonic() + _KILL_SECONDS
        for folder in self.folders.values():
            while not _removed(folder):
                if time.monotonic() > deadline:
                    raise MissingPartError("jail.will-not-die", processes=len(self.members()))
                self.kill()

    def cpu_seconds(self) -> float:
        """Processor seconds of all processes that ever were in the group."""
        if self.unified:
            return _field(self.folders[""] / "cpu.stat", "usage_usec") / 1e6
        return _number(self.folders["cpuacct"] / "cpuacct.usage") / 1e9

    def peak_bytes(self) -> int:
        """The most memory used at one time; 0 where a version 2 kernel is too old to tell (before 5.19)."""
        if self.unified:
            peak = self.folders[""] / "memory.peak"
            return _number(peak) if peak.exists() else 0
        return _number(self.folders["memory"] / "memory.max_usage_in_bytes")

    def killed_for_memory(self) -> bool:
        """Whether the kernel killed a process of the group because its memory was full."""
        if self.unified:
            return _field(self.folders[""] / "memory.events", "oom_kill") > 0
        return _field(self.folders["memory"] / "memory.oom_control", "oom_kill") > 0


def _removed(folder: Path) -> bool:
    """Try to remove a folder; False, after a short pause, while something holds it."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        time.sleep(_PAUSE)
        return False
    return True


def _number(path: Path) -> int:
    return int(path.read_text(encoding="ascii").split()[0])


def _field(path: Path, name: str) -> int:
    """Read one line ``name value`` of a flat-keyed file.

    Raises:
        MissingPartError: the kernel does not tell it; an ending could then be reported wrongly.
    """
    for line in path.read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    raise MissingPartError("jail.no-limits", detail=f"{path.name} {name}")


def _wait_for_death(members: frozenset[int]) -> None:
    """Wait, at most a second, until each process of the list is dead; a descriptor of a process becomes readable at its death."""
    deadline = time.monotonic() + 1.0
    for pid in members:
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        finally:
            os.close(descriptor)


def group(name: str, root: Path = ROOT) -> Group:
    """Name the group of a run on this machine's version of control groups; nothing is made yet.

    Raises:
        MissingPartError: no version with all needed controllers is here.
    """
    if unified_usable(root):
        return Group(name, {"": root / PARENT / name})
    missing = [controller for controller in _NEEDED_V1 if not (root / controller / "cgroup.procs").exists()]
    if missing:
        raise MissingPartError("jail.no-limits", detail=", ".join(missing))
    controllers = [*_NEEDED_V1, *(["freezer"] if (root / "freezer").is_dir() else [])]
    return Group(name, {controller: root / controller / PARENT / name for controller in controllers})


def unified_usable(root: Path = ROOT) -> bool:
    """Tell whether version 2 is mounted with the controllers needed, and hand them down to our folder."""
    listing = root / "cgroup.controllers"
    if not listing.exists() or not set(_NEEDED_V2) <= set(listing.read_text(encoding="ascii").split()):
        return False
    wanted = " ".join(f"+{controller}" for controller in _NEEDED_V2)
    try:
        (root / "cgroup.subtree_control").write_text(wanted, encoding="ascii")
        (root / PARENT).mkdir(exist_ok=True)
        (root / PARENT / "cgroup.subtree_control").write_text(wanted, encoding="ascii")
    except OSError:
        return False
    return True
