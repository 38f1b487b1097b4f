"""The supervisor carries every lane that has work, each in a thread of its own, so that no tenant waits for another (D1, law 8).

What a crash leaves is settled lane by lane before anything new starts there (law 7). Nothing runs twice, and nothing leaves:
collected files lie in the run's own root-only folder, and only the gate reads them.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from jobs import bell
from jobs.carrying import Carrier
from jobs.holding import frozen_folder, log_of, outbox_of, outbox_opened, read_log
from jobs.jail.spec import Jail
from jobs.lanes import LaneCarrier, lane_lock, lanes_left
from jobs.runs import Lane, busy_lanes, get_run, lane_of
from jobs.starting import can_start, check_can_start
from jobs.zones import ZONES
from sandbox.domain import Domain
from sandbox.storage import sweep


__all__ = [
    "ZONES",
    "Supervisor",
    "can_start",
    "carry_until",
    "check_can_start",
    "frozen_folder",
    "is_supervised",
    "log_of",
    "outbox_of",
    "outbox_opened",
    "read_log",
    "supervisor_lock",
]

_LOOK_EVERY = 2.0
"""Seconds between two looks in the database without the bell."""
_RETRY_AFTER = 5.0
"""Seconds before a lane in which the platform itself failed is tried again."""
_PATIENCE = 5
_PAUSE = 0.05


@contextmanager
def supervisor_lock(domain: Domain) -> Iterator[bool]:
    """Try to become the one supervisor of all lanes for the time of a block; False when another process is."""
    with (domain.home / "run" / "supervisor.lock").open("w") as lock:
        taken = _take(lock.fileno())
        for _ in range(_PATIENCE):
            # Somebody may only just have looked whether there is one.
            if taken:
                break
            sleep(_PAUSE)
            taken = _take(lock.fileno())
        yield taken


def is_supervised(domain: Domain) -> bool:
    """Whether somebody supervises all lanes of the domain now."""
    with (domain.home / "run" / "supervisor.lock").open("w") as lock:
        return not _take(lock.fileno())


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Supervisor:
    """Runs what is queued in every lane. Must hold ``supervisor_lock``.

    ``trouble`` hears of a lane in which the platform itself failed; the other lanes go on.
    """

    def __init__(
        self, domain: Domain, jail: Jail, jars: Path, trouble: Callable[[Lane, Exception], None] | None = None
    ) -> None:
        self.domain = domain
        self.jail = jail
        self.jars = jars
        self._trouble = trouble
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._guard = threading.Lock()
        self._threads: dict[Lane, threading.Thread] = {}
        self._not_before: dict[Lane, float] = {}
        self._broken: list[Exception] = []
        self._started = 0

    def drain(self) -> int:
        """Settle what a crash left, then run every queue empty; gives how many runs were started.

        A lane that another process carries is left to it.

        Raises:
            Exception: the platform itself failed in a lane; the other lanes were carried to their end first.
        """
        with self._joined():
            while not self._stopping.is_set():
                since = bell.rung(self.domain)
                started = self._start_lanes()
                if not started and not self._alive():
                    break
                self._sleep(since, _LOOK_EVERY)
        if self._broken:
            raise self._broken[0]
        return self._started

    def serve(self) -> None:
        """Carry every lane until ``stop`` is called; runs that work then end as failed, and what is not told yet is told later."""
        with self._joined():
            while not self._stopping.is_set():
                since = bell.rung(self.domain)
                self._start_lanes()
                self._sleep(since, _LOOK_EVERY)

    def stop(self) -> None:
        """Ask to stop, from a signal handler or another thread: nothing new starts, and what runs is ended."""
        self._stopping.set()
        self._woken.set()

    def _start_lanes(self) -> bool:
        """Start a thread for each lane with work that has none; tells whether one was started."""
        with self.domain.read() as connection:
            wanted = set(busy_lanes(connection))
        wanted |= lanes_left(self.domain)
        fresh = [lane for lane in sorted(wanted) if self._may_start(lane)]
        for lane in fresh:
            thread = threading.Thread(target=self._carry_lane, args=(lane,), name=f"{lane.tenant}.{lane.stage}")
            self._threads[lane] = thread
            thread.start()
        return bool(fresh)

    def _may_start(self, lane: Lane) -> bool:
        running = self._threads.get(lane)
        return (running is None or not running.is_alive()) and monotonic() >= self._not_before.get(lane, 0.0)

    def _carry_lane(self, lane: Lane) -> None:
        """Carry a lane until nothing waits in it; whatever fails here, the other lanes' threads live on."""
        try:
            with lane_lock(self.domain, lane) as mine:
                if not mine:
                    self._not_before[lane] = monotonic() + _LOOK_EVERY
                    return
                carrier = LaneCarrier(Carrier(self.domain, self.jail, self.jars, self._stopping), lane)
                carrier.reconcile()
                while carrier.carry_next():
                    with self._guard:
                        self._started += 1
        except Exception as error:  # noqa: BLE001 - the process boundary: one lane's trouble must not stop the others (D1)
            self._note(lane, error)
        finally:
            self._woken.set()

    def _note(self, lane: Lane, error: Exception) -> None:
        with self._guard:
            self._broken.append(error)
            self._not_before[lane] = monotonic() + _RETRY_AFTER
        if self._trouble is not None:
            self._trouble(lane, error)

    def _alive(self) -> bool:
        return any(thread.is_alive() for thread in self._threads.values())

    def _sleep(self, since: int, seconds: float) -> None:
        bell.wait(self.domain, since, self._woken, seconds)
        self._woken.clear()

    @contextmanager
    def _joined(self) -> Iterator[None]:
        """Leave no thread behind at the end of a block; when it is broken off, what runs is ended."""
        sweep(self.domain.mounts)
        try:
            yield
        except BaseException:
            self.stop()
            raise
        finally:
            for thread in self._threads.values():
                thread.join()


def carry_until(domain: Domain, jail: Jail, jars: Path, run_id: str) -> bool:
    """Carry the lane of a run until that run is over, where nobody else carries it; False when somebody else does.

    A waiting command line carries no other lane than its own tenant's: what it kills when it is interrupted is its own.
    """
    with domain.read() as connection:
        lane = lane_of(connection, run_id)
    if is_supervised(domain):
        return False
    with lane_lock(domain, lane) as mine:
        if not mine:
            return False
        carrier = LaneCarrier(Carrier(domain, jail, jars, threading.Event()), lane)
        carrier.reconcile()
        while not _over(domain, run_id) and carrier.carry_next():
            continue
    return True


def _over(domain: Domain, run_id: str) -> bool:
    with domain.read() as connection:
        return get_run(connection, run_id).over
