"""Lanes: the runs of one tenant and one stage stand in one line and wait for nobody else (D1, D3, law 8).

One queue for everybody would tell each tenant, by how long it waits, what the others do; one for both of a tenant's stages would tell
it when its production run ended. Within production's own line the next run starts when the last one's end is written down, which
is on the grid (``jobs.told``).
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.carrying import Carrier, reserved_by
from jobs.holding import drop_outbox, works
from jobs.jail.spec import JailSpec
from jobs.runs import RUN_PREFIX, Lane, Run, get_job, interrupted, lane_of, move, next_queued
from jobs.settling import Settled, finish, forget, kept
from jobs.spec import load_job
from jobs.states import RunState
from lineage.clock import parse_stamp
from lineage.errors import NotPermittedError
from sandbox.domain import Domain
from sandbox.parties import FIRST_UID


@contextmanager
def lane_lock(domain: Domain, lane: Lane) -> Iterator[bool]:
    """Try to become the one who carries a lane for the time of a block; False when another thread or process does."""
    folder = domain.home / "run" / "lanes"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / f"{lane.tenant}.{lane.stage}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def lanes_left(domain: Domain) -> set[Lane]:
    """Give the lanes in which something lies that a run left on the disk: it works, or its supervisor died."""
    names = {path.name for path in works(domain).glob(f"{RUN_PREFIX}-*")}
    names |= {path.stem for path in (domain.home / "run" / "settled").glob(f"{RUN_PREFIX}-*.json")}
    found = set()
    with domain.read() as connection:
        for name in names:
            try:
                found.add(lane_of(connection, name))
            except NotPermittedError:
                # No run of this database: whoever put it there must know what it is.
                continue
    return found


class LaneCarrier:
    """Carries one lane. Must be used under its ``lane_lock``."""

    def __init__(self, carrier: Carrier, lane: Lane) -> None:
        self.carrier = carrier
        self.domain = carrier.domain
        self.lane = lane

    def carry_next(self) -> bool:
        """Carry the run that has waited longest; False when none waits."""
        with self.domain.read() as connection:
            found = next_queued(connection, self.lane)
        if found is None or self.carrier.stopping.is_set():
            return False
        self.carrier.carry(found)
        return True

    def reconcile(self) -> None:
        """Settle what a dead supervisor left in this lane; safe to repeat.

        Nothing runs twice: a run goes back to the queue only from ``preparing``, where no line of the tenant's code has run.
        """
        for workspace in sorted(works(self.domain).glob(f"{RUN_PREFIX}-*")):
            # Also of runs that are over: the crash may have come between their last entry and the cleaning up.
            if self._is_ours(workspace.name):
                self._clear(workspace.name)
        with self.domain.read() as connection:
            left = interrupted(connection, self.lane)
        for found in left:
            self._settle(found)
        for path in (self.domain.home / "run" / "settled").glob(f"{RUN_PREFIX}-*.json"):
            if self._is_ours(path.stem) and not self.carrier.stopping.is_set():
                forget(self.domain, path.stem)

    def _settle(self, found: Run) -> None:
        if found.state is RunState.PREPARING:
            drop_outbox(self.domain, found.id)
            if found.cancel_asked is not None:
                move(self.domain, found.id, RunState.CANCELLED, "reason.cancelled")
            else:
                move(self.domain, found.id, RunState.QUEUED, "reason.requeued")
            return
        settled = kept(self.domain, found.id)
        if settled is None:
            drop_outbox(self.domain, found.id)
            settled = self._died(found)
        finish(self.domain, found.id, settled, self.carrier.stopping)

    def _died(self, found: Run) -> Settled:
        """A run whose supervisor died while it worked: void, and told when a run that failed just now would be (law 8)."""
        with self.domain.read() as connection:
            job = get_job(connection, found.job)
        chosen = load_job(self.domain.home / "jobs" / job.digest).runs[found.position]
        started = parse_stamp(found.started or found.queued)
        elapsed = (self.domain.now() - started).total_seconds()
        return Settled(RunState.FAILED, "reason.supervisor-died", elapsed, None, reserved_by(chosen))

    def _is_ours(self, run_id: str) -> bool:
        with self.domain.read() as connection:
            try:
                return lane_of(connection, run_id) == self.lane
            except NotPermittedError:
                return False

    def _clear(self, name: str) -> None:
        """End what lives of a dead supervisor's run, unmount its outbox and remove its workspace."""
        workspace = works(self.domain) / name
        self.carrier.jail.cleanup(JailSpec(name=name, workspace=workspace, uid=FIRST_UID, argv=("/nothing",)))
        shutil.rmtree(workspace)
