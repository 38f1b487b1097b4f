"""What every jail of one machine shares: the run's folder, its control groups, its outbox, its cut log, its end (D1, D2; laws 1, 7).

The backends differ in what they put round the program; they are started, watched, bounded, ended and collected in one way only.
"""

from __future__ import annotations

import os
import stat
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from jobs.jail import cgroup, outbox
from jobs.jail.collect import collect_outbox
from jobs.jail.spec import Capability, Collected, Ending, JailSpec, Limits, Outcome, check_host_path
from jobs.jail.watch import CutLog, Started, drain, exit_code, watch
from lineage.errors import DefinitionError, MissingPartError


class LocalJail(ABC):
    """A jail on this machine; keeps the contract of :class:`jobs.jail.spec.Jail` and holds no state of its own."""

    @abstractmethod
    def capability(self) -> Capability:
        """Tell what this machine offers."""

    @abstractmethod
    def _launch(
        self, spec: JailSpec, place: Place, group: cgroup.Group, ours: ExitStack
    ) -> tuple[int, int, subprocess.Popen[bytes]]:
        """Start the launcher; gives the reading ends of log and status, which ``ours`` closes, and the process."""

    def prepare(self, spec: JailSpec) -> None:
        """Make the run's folder and its empty outbox."""
        self._require_whole()
        for inside, host in spec.read_only.items():
            check_host_path(inside, host)
            _require_readable(inside, host)
        _require_closed(spec.workspace)
        self.cleanup(spec)
        place = Place(spec)
        for folder in (place.jail, place.root, place.outbox):
            folder.mkdir(mode=0o700)
        try:
            outbox.make(place.image, place.outbox, spec.uid, spec.limits)
        except BaseException:
            self.cleanup(spec)
            raise

    def run(self, spec: JailSpec, cancelled: Callable[[], bool]) -> Outcome:
        """Run the program to its end and return when its last process is dead."""
        place = self.check_prepared(spec)
        group = cgroup.group(spec.name)
        group.remove()
        group.create(self._bounds(spec.limits))
        try:
            with self._started(spec, place, group) as started:
                return see_through(started, group, spec, place, cancelled, read=self._exit_code)
        finally:
            group.remove()

    def collect(self, spec: JailSpec, into: Path) -> tuple[Collected, ...]:
        """Copy the outbox out, whole or not at all."""
        if cgroup.group(spec.name).members():
            raise MissingPartError("jail.still-running")
        place = Place(spec)
        if not outbox.is_mounted(place.outbox):
            raise MissingPartError("jail.outbox-gone")
        return collect_outbox(place.outbox, spec.uid, spec.limits, into)

    def cleanup(self, spec: JailSpec) -> None:
        """End what lives, unmount and remove everything of this run."""
        cgroup.group(spec.name).remove()
        outbox.remove_tree(Place(spec).jail)

    def _bounds(self, limits: Limits) -> Limits:
        """Give what the control groups are set to: the run's limits and what the jail itself needs."""
        return limits

    def _exit_code(self, started: Started, *, killed: bool) -> int:
        """Read the program's exit code after the death of everything; refuse when it never started."""
        return bubblewrap_code(started, killed=killed)

    def _require_whole(self) -> None:
        """Refuse to run in less than the whole jail (law 7)."""
        capability = self.capability()
        if not capability.whole:
            raise MissingPartError("jail.incomplete", missing=", ".join(capability.missing))

    def check_prepared(self, spec: JailSpec) -> Place:
        """Refuse to start what was not prepared, or in less than the whole jail (law 7); gives where the run's things lie.

        Raises:
            MissingPartError: ``jail.incomplete`` or ``jail.outbox-gone``.
        """
        self._require_whole()
        place = Place(spec)
        if not outbox.is_mounted(place.outbox):
            raise MissingPartError("jail.outbox-gone")
        return place

    @contextmanager
    def _started(self, spec: JailSpec, place: Place, group: cgroup.Group) -> Iterator[Started]:
        """Start the launcher with exactly the descriptors it needs, and close ours at the end."""
        with ExitStack() as ours:
            log_read, status_read, process = self._launch(spec, place, group, ours)
            yield Started(process, log_read, status_read)


def see_through(
    started: Started,
    group: cgroup.Group,
    spec: JailSpec,
    place: Place,
    cancelled: Callable[[], bool],
    used: float = 0.0,
    read: Callable[..., int] | None = None,
) -> Outcome:
    """Watch a started run to its end, end what outlived it, and say what is known of it.

    ``used`` are the processor seconds of its group from before it was anybody's run; ``read`` takes what was started, all of it dead, and
    whether it was ``killed``, and gives the program's exit code.
    """
    begun = time.monotonic()
    log = CutLog(place.log, spec.limits.log_bytes)
    try:
        forced = watch(started, log, spec.limits.seconds, cancelled)
    finally:
        # The launcher first: cancelled at once, it may not have joined the groups yet. Then what outlived the program: a late
        # writer must not find the outbox while it is read.
        started.process.kill()
        started.process.wait()
        group.kill()
        drain(started.log, log)
        log.close()
    code = (read or bubblewrap_code)(started, killed=forced is not None or group.killed_for_memory())
    return Outcome(
        ending=forced or _ending(code, group, place.outbox),
        exit_code=code,
        wall_seconds=time.monotonic() - begun,
        cpu_seconds=group.cpu_seconds() - used,
        peak_bytes=group.peak_bytes(),
        log=place.log,
    )


def bubblewrap_code(started: Started, *, killed: bool) -> int:
    """Read the exit code that bubblewrap reported.

    Raises:
        MissingPartError: the program never started, though nobody killed it (law 7).
    """
    return exit_code(started.status, killed=killed)


class Place:
    """Where the things of one run lie."""

    def __init__(self, spec: JailSpec) -> None:
        self.jail = spec.workspace.resolve() / "jail"
        self.root = self.jail / "root"
        self.outbox = self.jail / "outbox"
        self.image = self.jail / "outbox.img"
        self.log = self.jail / "log"


def _require_closed(workspace: Path) -> None:
    """Make the workspace, or refuse one that others could enter: uids and modes must hold even if a mount is wrong."""
    workspace.mkdir(mode=0o700, exist_ok=True)
    state = workspace.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != 0 or stat.S_IMODE(state.st_mode) != 0o700:
        raise DefinitionError("jail.open-workspace")


def _require_readable(inside: str, host: Path) -> None:
    """Refuse a source that the tenant's uid could not read: the job would fail without knowing why."""
    wanted = stat.S_IROTH | (stat.S_IXOTH if host.is_dir() else 0)
    if host.stat().st_mode & wanted != wanted:
        raise DefinitionError("jail.unreadable-source", path=ascii(inside)[:80])


def _ending(code: int, group: cgroup.Group, folder: Path) -> Ending:
    """Name the ending of a program that was not ended by force."""
    if code == 0:
        return Ending.DONE
    if group.killed_for_memory():
        return Ending.MEMORY
    return Ending.OUTPUT if outbox.is_full(folder) else Ending.FAILED


def pipe(ours: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    """Make a pipe whose reading end is ours and whose writing end is the launcher's."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    ours.callback(os.close, reading)
    theirs.callback(os.close, writing)
    return reading, writing


def launcher_environment() -> dict[str, str]:
    """Only what the interpreter itself may need to start; bubblewrap then gets nothing at all, because it is readable as process 1."""
    return {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}


def memory_file(theirs: ExitStack, name: str, content: bytes) -> int:
    """Put bytes into an anonymous file and rewind it."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    theirs.callback(os.close, descriptor)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
