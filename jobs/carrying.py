"""One run from its start to its end: prepare, run in the jail, collect, clean up; then its end is written down (``jobs.settling``)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from jobs.holding import LOG, frozen_folder, held_opened, log_of, outbox_opened, workspace_of
from jobs.jail.backends import name_of
from jobs.jail.runtimes import Runtime as JailRuntime
from jobs.jail.runtimes import python_runtime, spark_runtime
from jobs.jail.spec import MEBIBYTE, Ending, Jail, JailSpec, Limits, Outcome
from jobs.jail_policy import check_jail
from jobs.runs import Job, Run, Stage, get_job, get_run, move, settle
from jobs.settling import Settled, finish
from jobs.shares import check_share, share_of
from jobs.spec import Job as JobSpec
from jobs.spec import Run as RunSpec
from jobs.spec import load_job
from jobs.starting import Watch, check_can_start
from jobs.states import RunState
from jobs.told import Reserved
from jobs.zones import Ground, check_mounted, ground_opened
from lineage.canonical import Json
from lineage.clock import parse_stamp, stamp
from lineage.errors import DefinitionError, MissingPartError, ShuzhaError
from sandbox.domain import Domain
from sandbox.grants import Grant, live_grant
from sandbox.parties import get_organisation


@dataclass(frozen=True)
class _Task:
    """What is known of a run before it starts."""

    run: Run
    job: Job
    spec: JobSpec
    grant: Grant
    uid: int

    @property
    def chosen(self) -> RunSpec:
        """The ``[[run]]`` it carries out."""
        return self.spec.runs[self.run.position]

    @property
    def reserved(self) -> Reserved:
        """What the manifest reserves for it."""
        return reserved_by(self.chosen)


@dataclass(frozen=True)
class _End:
    """How a run's own work ended: state, exact reason, and what was metered if it ever ran."""

    state: RunState
    reason: str
    outcome: Outcome | None = None
    since: str = ""


class Carrier:
    """Carries runs, one at a time a thread."""

    def __init__(self, domain: Domain, jail: Jail, jars: Path, stopping: Event) -> None:
        self.domain = domain
        self.jail = jail
        self.jars = jars
        self.stopping = stopping

    def carry(self, found: Run) -> None:
        """Carry one queued run to its end; a refusal or a missing part ends it as failed with that reason."""
        try:
            task = self._task(found)
        except ShuzhaError as error:
            settle(self.domain, found.id, RunState.FAILED, error.code)
            return
        try:
            move(self.domain, found.id, RunState.PREPARING, "reason.preparing")
        except DefinitionError:
            # Cancelled meanwhile, or in other hands: not ours to end.
            return
        end = self._attempt(task)
        if self.stopping.is_set() and end.state is not RunState.SUCCEEDED and not self._began(found.id):
            # The next supervisor settles it: nothing of the tenant's has run.
            return
        finish(self.domain, found.id, self._settled(task, end), self.stopping)

    def _task(self, found: Run) -> _Task:
        at = stamp(self.domain.now())
        with self.domain.read() as connection:
            job = get_job(connection, found.job)
            check_can_start(connection, found, job, at, name_of(self.domain.settings))
            grant = live_grant(connection, job.scenario, at)
            uid = get_organisation(connection, job.tenant).uid
        if uid is None:
            raise MissingPartError("run.no-uid", tenant=job.tenant)
        spec = load_job(frozen_folder(self.domain, job))
        check_share(share_of(self.domain), spec.runs[found.position])
        return _Task(found, job, spec, grant, uid)

    def _attempt(self, task: _Task) -> _End:
        """Prepare, run, collect and clean up; whatever is raised is an end of this run alone."""
        try:
            with ground_opened(self.domain, task.grant, task.run.stage, task.uid) as ground:
                return self._run_in_jail(task, ground)
        except ShuzhaError as error:
            return _End(RunState.FAILED, error.code)
        except Exception:  # noqa: BLE001 - the process boundary: one tenant's run must not stop everybody's (D1)
            return _End(RunState.FAILED, "reason.platform-failed")

    def _run_in_jail(self, task: _Task, ground: Ground) -> _End:
        spec = self._jail_spec(task, ground)
        try:
            self.jail.prepare(spec)
            move(self.domain, task.run.id, RunState.RUNNING, "reason.running")
            watch = Watch(self.domain, task.job.scenario, task.run.queued_by, task.run.id)
            outcome = self.jail.run(spec, lambda: self.stopping.is_set() or watch())
            self._keep_log(task, outcome)
            if outcome.ending is Ending.CANCELLED:
                return self._stopped(watch, outcome)
            if outcome.ending is not Ending.DONE:
                return _End(RunState.FAILED, f"reason.ended.{outcome.ending}", outcome)
            return self._collect(task, spec, outcome)
        finally:
            self.jail.cleanup(spec)
            shutil.rmtree(spec.workspace, ignore_errors=True)

    def _collect(self, task: _Task, spec: JailSpec, outcome: Outcome) -> _End:
        if task.run.stage is Stage.DEVELOPMENT:
            move(self.domain, task.run.id, RunState.COLLECTING, "reason.collecting")
        try:
            with outbox_opened(self.domain, task.run.id) as target:
                self.jail.collect(spec, target)
        except ShuzhaError as error:
            return _End(RunState.FAILED, error.code, outcome)
        return _End(RunState.SUCCEEDED, "reason.ended.done", outcome)

    def _stopped(self, watch: Watch, outcome: Outcome) -> _End:
        if watch.reason is None:
            return _End(RunState.FAILED, "reason.supervisor-died", outcome)
        return _End(RunState.CANCELLED, watch.reason, outcome, watch.at)

    def _jail_spec(self, task: _Task, ground: Ground) -> JailSpec:
        workspace = workspace_of(self.domain, task.run.id)
        shutil.rmtree(workspace, ignore_errors=True)
        workspace.mkdir(mode=0o700, parents=True)
        mounts = ground.mounts(task.spec.inputs)
        with self.domain.read() as connection:
            check_mounted(connection, ground, mounts)
        check_jail(
            self.jail, self.domain.settings, [ground.tables[one] for one in task.spec.inputs.values()], ground.stage
        )
        chosen = task.chosen
        runtime = _runtime(chosen, self.jars)
        return JailSpec(
            name=task.run.id,
            workspace=workspace,
            uid=ground.uid,
            argv=runtime.run_job,
            environment=runtime.environment,
            read_only={**runtime.read_only, **mounts, "/job": _job_copy(self.domain, task, workspace)},
            limits=Limits(memory_bytes=chosen.memory_bytes, seconds=chosen.minutes * 60, cores=chosen.cores),
        )

    def _keep_log(self, task: _Task, outcome: Outcome) -> None:
        """Keep a development run's log; what a production run says over full rows is not heard, so it is not kept (law 8)."""
        if task.run.stage is Stage.DEVELOPMENT and outcome.log.is_file():
            with held_opened(self.domain, task.run.id, log_of(self.domain, task.run.id)) as folder:
                shutil.copyfile(outcome.log, folder / LOG)

    def _settled(self, task: _Task, end: _End) -> Settled:
        return Settled(
            state=end.state,
            reason=end.reason,
            elapsed=self._elapsed(task.run.id, end.since),
            exact=None if end.outcome is None else _metered(end.outcome),
            reserved=task.reserved,
        )

    def _elapsed(self, run_id: str, until: str) -> float:
        """Seconds from a run's start until a stored moment, until now when none is given; 0 for what never started."""
        with self.domain.read() as connection:
            started = get_run(connection, run_id).started
        if started is None:
            return 0.0
        end = parse_stamp(until) if until else self.domain.now()
        return (end - parse_stamp(started)).total_seconds()

    def _began(self, run_id: str) -> bool:
        with self.domain.read() as connection:
            return get_run(connection, run_id).started is not None


def reserved_by(chosen: RunSpec) -> Reserved:
    """Give what a manifest's ``[[run]]`` reserves."""
    return Reserved(chosen.minutes * 60, chosen.cores, -(-chosen.memory_bytes // MEBIBYTE))


def _runtime(chosen: RunSpec, jars: Path) -> JailRuntime:
    if chosen.runtime == "spark":
        return spark_runtime(chosen.cores, chosen.memory_bytes, jars)
    return python_runtime(chosen.cores, chosen.memory_bytes)


def _job_copy(domain: Domain, task: _Task, workspace: Path) -> Path:
    """Copy the frozen folder for this run and add what the in-jail runner needs; readable by the tenant's uid, writable by none."""
    target = workspace / "job"
    shutil.copytree(frozen_folder(domain, task.job), target)
    told: Mapping[str, Json] = {
        "runtime": task.chosen.runtime,
        "entry": task.chosen.entry,
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
    """What was metered; exact for a development run and for the authority, for a tenant's production run see ``jobs.told`` (P7)."""
    return {
        "ending": outcome.ending.value,
        "wall_seconds": round(outcome.wall_seconds),
        "cpu_seconds": round(outcome.cpu_seconds),
        "peak_mebibytes": -(-outcome.peak_bytes // MEBIBYTE),
    }
