"""How a run ended, and when that is written down: at once in development, at the next step of the grid in production (law 8).

Between a production run's end and its step, what is known of it lies in one root-only file: the database, the log and its size, every
counter and every door stand as they would for a run that still works. A supervisor that dies meanwhile leaves the file to the next one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

from jobs import bell, told
from jobs.holding import drop_outbox
from jobs.runs import Run, Stage, get_job, get_run, settle
from jobs.starting import Watch
from jobs.states import RunState
from lineage.canonical import Json
from lineage.clock import parse_stamp
from sandbox.domain import Domain


_ASK_EVERY = 0.1


@dataclass(frozen=True)
class Settled:
    """How a run ended.

    Attributes:
        state: a final state.
        reason: the code of the reason, exact.
        elapsed: seconds from its start to its end, or to the moment at which it was asked to stop.
        exact: what it used, in the words of the jail; None when the jail was never left.
        reserved: what it had reserved.
    """

    state: RunState
    reason: str
    elapsed: float
    exact: Mapping[str, Any] | None
    reserved: told.Reserved

    @property
    def due(self) -> int:
        """Seconds after its start at which it is written down."""
        if self.state is RunState.CANCELLED:
            return told.stop_due(self.elapsed)
        return told.due(self.elapsed, self.reserved.seconds)

    @property
    def outcome(self) -> dict[str, Json]:
        """What is kept with the run: the exact figures for the authority and the auditor, and those that are told and billed (P7)."""
        if self.exact is None or self.state is RunState.CANCELLED:
            heard = told.reserved_use(self.reserved, self.due)
        else:
            heard = told.metered(self.reserved, self.due, self.exact["cpu_seconds"], self.exact["peak_mebibytes"])
        return {**(self.exact or {}), "told": heard}


def finish(domain: Domain, run_id: str, settled: Settled, stopping: Event) -> None:
    """Write down how a run ended, when it is time; what did not succeed leaves no outbox.

    Returns early, with nothing written down, when the platform stops: the next supervisor goes on from the file.
    """
    with domain.read() as connection:
        found = get_run(connection, run_id)
    if found.stage is Stage.PRODUCTION and found.started is not None:
        _keep(domain, run_id, settled)
        waited = _await_step(domain, found, settled, stopping)
        if waited is None:
            return
        settled = waited
        outcome: Mapping[str, Json] | None = settled.outcome
        moment = _moment(found, settled)
    else:
        outcome, moment = settled.exact, None
    ended = settle(domain, run_id, settled.state, settled.reason, outcome, moment)
    if ended is not RunState.SUCCEEDED:
        drop_outbox(domain, run_id)
    _path(domain, run_id).unlink(missing_ok=True)
    bell.ring(domain)


def _moment(found: Run, settled: Settled) -> datetime:
    """Give the moment at which a run's end is written down, and which stands there as its end."""
    return parse_stamp(found.started or found.queued) + timedelta(seconds=settled.due)


def _await_step(domain: Domain, found: Run, settled: Settled, stopping: Event) -> Settled | None:
    """Wait for the step; a stop that comes meanwhile stops this run like one that still works. None when the platform stops."""
    with domain.read() as connection:
        job = get_job(connection, found.job)
    watch = Watch(domain, job.scenario, found.queued_by, found.id)
    while True:
        left = (_moment(found, settled) - domain.now()).total_seconds()
        if settled.state is not RunState.CANCELLED:
            if left <= 0:
                watch.look()
            if watch():
                stopped = (parse_stamp(watch.at) - parse_stamp(found.started or found.queued)).total_seconds()
                settled = replace(settled, state=RunState.CANCELLED, reason=watch.reason or "", elapsed=stopped)
                _keep(domain, found.id, settled)
                continue
        if left <= 0:
            return settled
        # Never past the moment: the fraction of a second by which it is missed would depend on the true end.
        if stopping.wait(min(_ASK_EVERY, left)):
            return None


def kept(domain: Domain, run_id: str) -> Settled | None:
    """Give how a run ended whose supervisor died before it was written down, or None."""
    try:
        values = json.loads(_path(domain, run_id).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    reserved = told.Reserved(**values.pop("reserved"))
    return Settled(**{**values, "state": RunState(values["state"]), "reserved": reserved})


def forget(domain: Domain, run_id: str) -> None:
    """Throw the file away, of a run that is written down."""
    _path(domain, run_id).unlink(missing_ok=True)


def _keep(domain: Domain, run_id: str, settled: Settled) -> None:
    path = _path(domain, run_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(asdict(settled)), encoding="utf-8")
    fresh.replace(path)


def _path(domain: Domain, run_id: str) -> Path:
    return domain.home / "run" / "settled" / f"{run_id}.json"
