"""The supervisor carries queued runs through their machine: prepare → run → collect → clean up, one at a time under one lock.

What a crash leaves is settled by ``reconcile`` before anything new starts (law 7). Nothing runs twice: a run goes back to the queue
only from ``preparing``, where no line of the tenant's code has run; one that was ``running`` ends as failed; one that was
``collecting`` is failed too, because its outbox died with the jail. Nothing leaves: collected files lie in the run's own root-only
folder, and only the gate reads them.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from sqlalchemy import Connection

from jobs.jail.runtimes import Runtime as JailRuntime
from jobs.jail.runtimes import python_runtime, spark_runtime
from jobs.jail.spec import Ending, Jail, JailSpec, Limits, Outcome
from jobs.promotion import check_promoted
from jobs.runs import RUN_PREFIX, Job, Run, Stage, get_job, get_run, interrupted, move, next_queued
from jobs.spec import Job as JobSpec
from jobs.spec import Run as RunSpec
from jobs.spec import digest_of, load_job
from jobs.states import RunState
from lineage.canonical import Json
from lineage.clock import stamp
from lineage.errors import DefinitionError, GateRefusedError, MissingPartError, NotPermittedError, ShuzhaError
from sandbox.agreements import reason_not_to_work
from sandbox.domain import Domain
from sandbox.grants import Grant, Provisioned, Zone, live_grant, tables_of, zone_opened
from sandbox.parties import FIRST_UID, get_organisation, get_person
from sandbox.states import PersonState
from sandbox.storage import sweep


_LOOK_EVERY = 0.5
"""Seconds between two looks whether a run must stop: a suspension stops it well within a few seconds (A8, law 10)."""

ZONES: Mapping[Stage, Zone] = {Stage.DEVELOPMENT: Zone.VIEW, Stage.PRODUCTION: Zone.INPUT}
"""Development sees views and production reads inputs; there is no other way to name a zone for a run (D3)."""


@dataclass(frozen=True)
class _Task:
    """What is known of a run before it starts."""

    run: Run
    job: Job
    spec: JobSpec
    grant: Grant
    tables: Mapping[str, Provisioned]
    uid: int


@contextmanager
def supervisor_lock(domain: Domain) -> Iterator[bool]:
    """Try to become the one supervisor of a domain for the time of a block; False when another process is."""
    with (domain.home / "run" / "supervisor.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


class Supervisor:
    """Runs what is queued. Must hold ``supervisor_lock``."""

    def __init__(self, domain: Domain, jail: Jail, jars: Path) -> None:
        self.domain = domain
        self.jail = jail
        self.jars = jars

    def drain(self) -> int:
        """Settle what a crash left, then run the queue empty; gives how many runs were started."""
        self.reconcile()
        started = 0
        while (found := self._next()) is not None:
            self._carry(found)
            started += 1
        return started

    def reconcile(self) -> None:
        """Settle interrupted runs; safe to repeat."""
        for workspace in sorted(_works(self.domain).glob(f"{RUN_PREFIX}-*")):
            # Also of runs that are over: the crash may have come between their last entry and the cleaning up.
            self._clear(workspace)
        sweep(self.domain.mounts)
        with self.domain.read() as connection:
            left = interrupted(connection)
        for found in left:
            shutil.rmtree(outbox_of(self.domain, found.id), ignore_errors=True)
            if found.state is RunState.PREPARING and found.cancel_asked is not None:
                move(self.domain, found.id, RunState.CANCELLED, "reason.cancelled")
            elif found.state is RunState.PREPARING:
                move(self.domain, found.id, RunState.QUEUED, "reason.requeued")
            else:
                move(self.domain, found.id, RunState.FAILED, "reason.supervisor-died")

    def _clear(self, workspace: Path) -> None:
        """End what lives of a dead supervisor's run, unmount its outbox and remove its workspace."""
        self.jail.cleanup(JailSpec(name=workspace.name, workspace=workspace, uid=FIRST_UID, argv=("/nothing",)))
        shutil.rmtree(workspace)

    def _next(self) -> Run | None:
        with self.domain.read() as connection:
            return next_queued(connection)

    def _carry(self, found: Run) -> None:
        """Carry one run to its end; a refusal or a missing part ends it as failed with that reason."""
        try:
            task = self._task(found)
        except ShuzhaError as error:
            move(self.domain, found.id, RunState.FAILED, error.code)
            return
        try:
            move(self.domain, found.id, RunState.PREPARING, "reason.preparing")
            with zone_opened(self.domain, task.grant, ZONES[found.stage]) as folder:
                self._run_in_jail(task, folder)
        except ShuzhaError as error:
            self._fail(found.id, error.code)
        except Exception:  # noqa: BLE001 - the process boundary: one tenant's run must not stop everybody's (D1)
            self._fail(found.id, "reason.platform-failed")

    def _task(self, found: Run) -> _Task:
        at = stamp(self.domain.now())
        with self.domain.read() as connection:
            job = get_job(connection, found.job)
            check_can_start(connection, found, job, at)
            grant = live_grant(connection, job.scenario, at)
            uid = get_organisation(connection, job.tenant).uid
            tables = tables_of(connection, grant, ZONES[found.stage])
        if uid is None:
            raise MissingPartError("run.no-uid", tenant=job.tenant)
        spec = load_job(frozen_folder(self.domain, job))
        absent = sorted(set(spec.inputs.values()) - set(tables))
        if absent:
            raise DefinitionError("job.table-not-granted", tables=", ".join(absent))
        return _Task(found, job, spec, grant, tables, uid)

    def _run_in_jail(self, task: _Task, folder: Path) -> None:
        spec = self._jail_spec(task, folder)
        self.jail.prepare(spec)
        try:
            move(self.domain, task.run.id, RunState.RUNNING, "reason.running")
            outcome = self.jail.run(spec, self._must_stop(task))
            self._keep_log(task, outcome)
            if outcome.ending is not Ending.DONE:
                state = RunState.CANCELLED if outcome.ending is Ending.CANCELLED else RunState.FAILED
                move(self.domain, task.run.id, state, self._ending_reason(task, outcome), _metered(outcome))
                return
            move(self.domain, task.run.id, RunState.COLLECTING, "reason.collecting", _metered(outcome))
            target = outbox_of(self.domain, task.run.id)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.jail.collect(spec, target)
            move(self.domain, task.run.id, RunState.SUCCEEDED, "reason.ended.done", _metered(outcome))
        finally:
            self.jail.cleanup(spec)
            shutil.rmtree(spec.workspace, ignore_errors=True)

    def _jail_spec(self, task: _Task, folder: Path) -> JailSpec:
        chosen = task.spec.runs[task.run.position]
        workspace = _workspace(self.domain, task.run.id)
        shutil.rmtree(workspace, ignore_errors=True)
        workspace.mkdir(mode=0o700, parents=True)
        mounts = {f"/in/{name}": folder / task.tables[source].id for name, source in task.spec.inputs.items()}
        runtime = _runtime(chosen, self.jars)
        return JailSpec(
            name=task.run.id,
            workspace=workspace,
            uid=task.uid,
            argv=runtime.run_job,
            environment=runtime.environment,
            read_only={**runtime.read_only, **mounts, "/job": _job_copy(self.domain, task, workspace)},
            limits=Limits(memory_bytes=chosen.memory_bytes, seconds=chosen.minutes * 60, cores=chosen.cores),
        )

    def _must_stop(self, task: _Task) -> Callable[[], bool]:
        """Look at the database now and then: cancelled by its owner, or its tenant may not work any more (A8)."""
        looked, answer = monotonic(), False

        def look() -> bool:
            nonlocal looked, answer
            if not answer and monotonic() - looked >= _LOOK_EVERY:
                looked = monotonic()
                with self.domain.read() as connection:
                    asked = get_run(connection, task.run.id).cancel_asked is not None
                    at = stamp(self.domain.now())
                    answer = asked or reason_not_to_work(connection, task.job.scenario, at) is not None
            return answer

        return look

    def _ending_reason(self, task: _Task, outcome: Outcome) -> str:
        if outcome.ending is Ending.CANCELLED:
            with self.domain.read() as connection:
                reason = reason_not_to_work(connection, task.job.scenario, stamp(self.domain.now()))
            return reason or "reason.cancelled"
        return f"reason.ended.{outcome.ending}"

    def _keep_log(self, task: _Task, outcome: Outcome) -> None:
        """Keep a development run's log; what a production run says over full rows is not heard, so it is not kept (law 8)."""
        target = log_of(self.domain, task.run.id)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if task.run.stage is Stage.DEVELOPMENT and outcome.log.is_file():
            shutil.copyfile(outcome.log, target)

    def _fail(self, identity: str, reason: str) -> None:
        """End a run as failed from whatever live state it is in; a run that is over already stays as it is."""
        with self.domain.read() as connection:
            state = get_run(connection, identity).state
        if state in {RunState.PREPARING, RunState.RUNNING, RunState.COLLECTING}:
            move(self.domain, identity, RunState.FAILED, reason)


def check_can_start(connection: Connection, found: Run, job: Job, at: str) -> None:
    """Check, right before it starts, everything that had to hold when the run was queued (law 10).

    Raises:
        NotPermittedError: the reason, which becomes the run's.
    """
    grant = live_grant(connection, job.scenario, at)
    person = get_person(connection, found.queued_by)
    if person.state is not PersonState.ACTIVE or person.id not in grant.persons:
        raise NotPermittedError("grant.not-named", person=person.name)
    if found.stage is Stage.PRODUCTION:
        check_promoted(connection, job)


def can_start(connection: Connection, found: Run, job: Job, at: str) -> bool:
    """Whether ``check_can_start`` would let it start."""
    try:
        check_can_start(connection, found, job, at)
    except NotPermittedError:
        return False
    return True


def read_log(domain: Domain, found: Run) -> str:
    """Give a development run's log, with control characters made visible.

    Raises:
        GateRefusedError: it is a production run: what it says is not heard (law 8).
    """
    if found.stage is not Stage.DEVELOPMENT:
        raise GateRefusedError("run.log-not-heard", run=found.id)
    path = log_of(domain, found.id)
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)


def frozen_folder(domain: Domain, job: Job) -> Path:
    """Give where a job's frozen folder lies, held once more against its digest: promoted are these bytes and no others (D3).

    Raises:
        DefinitionError: somebody changed it behind the platform's back.
    """
    folder = domain.home / "jobs" / job.digest
    if digest_of(folder) != job.digest:
        raise DefinitionError("job.frozen-changed", digest=job.digest)
    return folder


def outbox_of(domain: Domain, run_id: str) -> Path:
    """Where the collected outbox of a run lies: root-only, read by the gate alone, gone with its tenant (law 10)."""
    return _held(domain, run_id) / "outbox" / run_id


def log_of(domain: Domain, run_id: str) -> Path:
    """Where the log of a development run lies."""
    return _held(domain, run_id) / "logs" / f"{run_id}.log"


def _held(domain: Domain, run_id: str) -> Path:
    with domain.read() as connection:
        return domain.held(get_job(connection, get_run(connection, run_id).job).tenant)


def _works(domain: Domain) -> Path:
    return (domain.home / "run" / "work").resolve()


def _workspace(domain: Domain, run_id: str) -> Path:
    return _works(domain) / run_id


def _runtime(chosen: RunSpec, jars: Path) -> JailRuntime:
    if chosen.runtime == "spark":
        return spark_runtime(chosen.cores, chosen.memory_bytes, jars)
    return python_runtime(chosen.cores, chosen.memory_bytes)


def _job_copy(domain: Domain, task: _Task, workspace: Path) -> Path:
    """Copy the frozen folder for this run and add what the in-jail runner needs; readable by the tenant's uid, writable by none."""
    chosen = task.spec.runs[task.run.position]
    target = workspace / "job"
    shutil.copytree(frozen_folder(domain, task.job), target)
    told: Mapping[str, Json] = {
        "runtime": chosen.runtime,
        "entry": chosen.entry,
        "stage": task.run.stage.value,
        "tables": {name: f"/in/{name}" for name in task.spec.inputs},
        "steps": [[name, sql] for name, sql in task.spec.steps.items()],
    }
    shutil.rmtree(target / "run.json", ignore_errors=True)
    (target / "run.json").write_text(json.dumps(told), encoding="utf-8")
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


def _metered(outcome: Outcome) -> Mapping[str, Json]:
    """What is metered and billed (P7); rounded, because exact numbers are a channel (law 8)."""
    return {
        "ending": outcome.ending.value,
        "wall_seconds": round(outcome.wall_seconds),
        "cpu_seconds": round(outcome.cpu_seconds),
        "peak_mebibytes": outcome.peak_bytes // (16 << 20) * 16,
    }
