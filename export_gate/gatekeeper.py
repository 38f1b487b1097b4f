"""The gate's own jail: runs the worker on exactly the tables a product reads and takes back nothing but its result (law 1)."""

from __future__ import annotations

import fcntl
import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.jail.runtimes import python_runtime, with_sources
from jobs.jail.spec import Ending, Jail, JailSpec, Limits
from jobs.starting import Watch
from lineage.errors import DefinitionError, Exit, GateRefusedError
from sandbox.domain import Domain


class WorkerFailedError(DefinitionError):
    """The worker refused a description on this data, or died over it; which of the two, and why, can depend on the data (law 8)."""


class WorkStoppedError(DefinitionError):
    """The work was ended from outside: the tenant may not work any more, its grant is over, or the person may not (A8, law 10)."""

    exit = Exit.NOT_PERMITTED


GATE_UID = 199_999
"""The gate's uid outside the jail: no tenant's, no account's."""

LIMITS = Limits(memory_bytes=4096 << 20, seconds=15 * 60, cores=2, outbox_bytes=256 << 20, outbox_files=4)


@dataclass(frozen=True)
class Gatekeeper:
    """Starts workers for one domain, each within ``limits``."""

    domain: Domain
    jail: Jail
    limits: Limits = LIMITS

    def work(
        self, request: Mapping[str, Any], job: Path, tables: Mapping[str, Path], scenario: str, person: str
    ) -> dict[str, Any]:
        """Carry a request out on tables (input name → opened Delta folder); gives the worker's plain result.

        ``job`` is the frozen folder, or the one file that is to be parsed instead (then ``/job/file`` inside, under no other name).
        ``scenario`` and ``person`` say for whom: when one of them may not work any more, the worker is stopped within seconds.

        Raises:
            WorkStoppedError: it was stopped, or might not begin; nothing of its result is kept.
            MissingPartError: the jail could not be made (law 7).
            WorkerFailedError: the description was refused on these tables, or the worker died.
        """
        watch = Watch(self.domain, scenario, person)
        watch.look()
        _check_goes_on(watch)
        works = (self.domain.home / "run" / "work").resolve()
        self._sweep(works)
        name = f"gate-{secrets.token_hex(12)}"
        workspace = works / name
        workspace.mkdir(mode=0o700, parents=True)
        with (works / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                result = self._work_in(self._spec(name, workspace, request, job, tables), watch)
            finally:
                shutil.rmtree(workspace, ignore_errors=True)
                workspace.with_name(f"{name}.lock").unlink(missing_ok=True)
        _check_carried_out(result)
        return result

    def _work_in(self, spec: JailSpec, watch: Watch) -> dict[str, Any]:
        self.jail.prepare(spec)
        try:
            outcome = self.jail.run(spec, watch)
            _check_goes_on(watch)
            if outcome.ending is not Ending.DONE:
                self._keep_log(spec.name, outcome.log)
                raise WorkerFailedError("gate.worker-died")
            collected = self._taken(spec)
            return _plain(collected)
        finally:
            self.jail.cleanup(spec)

    def _taken(self, spec: JailSpec) -> Mapping[str, Path]:
        """Take what the worker left; an outbox that is refused is a worker that was taken over."""
        try:
            return {item.name: item.path for item in self.jail.collect(spec, spec.workspace / "taken")}
        except GateRefusedError as error:
            raise WorkerFailedError("gate.worker-died") from error

    def _sweep(self, works: Path) -> None:
        """Clear what a killed check left: its lock can be taken, its result may hold what was never released."""
        for lock_path in sorted(works.glob("gate-*.lock")):
            with lock_path.open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                workspace = lock_path.with_suffix("")
                self.jail.cleanup(JailSpec(name=workspace.name, workspace=workspace, uid=GATE_UID, argv=("/nothing",)))
                shutil.rmtree(workspace, ignore_errors=True)
                lock_path.unlink(missing_ok=True)

    def _keep_log(self, name: str, log: Path) -> None:
        """Keep a dead worker's log for the maintainer; nothing of it is told, for an engine's error can quote values (law 8)."""
        folder = self.domain.home / "run" / "broken"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if log.is_file():
            shutil.copyfile(log, folder / f"{name}.log")

    def _spec(
        self, name: str, workspace: Path, request: Mapping[str, Any], job: Path, tables: Mapping[str, Path]
    ) -> JailSpec:
        asked = workspace / "request"
        asked.mkdir(mode=0o755)
        (asked / "request.json").write_text(json.dumps(request, ensure_ascii=False), encoding="utf-8")
        frozen = workspace / "job"
        if job.is_dir():
            shutil.copytree(job, frozen)
        else:
            frozen.mkdir()
            shutil.copyfile(job, frozen / "file")
        for path in (asked, *asked.rglob("*"), frozen, *frozen.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        runtime = with_sources(python_runtime(self.limits.cores, self.limits.memory_bytes))
        mounts = {f"/in/{table}": folder for table, folder in tables.items()}
        return JailSpec(
            name=name,
            workspace=workspace,
            uid=GATE_UID,
            argv=(*runtime.argv, "-m", "export_gate.worker"),
            environment=runtime.environment,
            read_only={**runtime.read_only, **mounts, "/job": frozen, "/request": asked},
            limits=self.limits,
        )


def _plain(collected: Mapping[str, Path]) -> dict[str, Any]:
    """Read a worker's answer; one that is no JSON object came from a worker that was taken over."""
    try:
        answer = json.loads(collected["result.json"].read_text(encoding="utf-8"))
    except (KeyError, ValueError, RecursionError) as error:
        raise WorkerFailedError("gate.worker-died") from error
    if not isinstance(answer, dict):
        raise WorkerFailedError("gate.worker-died")
    return answer


def _check_carried_out(answer: Mapping[str, Any]) -> None:
    """Check that an answer is no refusal.

    Raises:
        WorkerFailedError: it is; one that is not even a proper refusal came from a worker that was taken over.
    """
    if "refused" not in answer:
        return
    try:
        error = WorkerFailedError(str(answer["refused"]["code"]), **answer["refused"]["params"])
    except (KeyError, TypeError) as broken:
        raise WorkerFailedError("gate.worker-died") from broken
    raise error


def _check_goes_on(watch: Watch) -> None:
    """Check that nothing asked the work to stop.

    Raises:
        WorkStoppedError: something did.
    """
    if watch.reason is not None:
        raise WorkStoppedError("gate.work-stopped")
