"""What is kept of jobs and runs: the frozen folder, a run's outbox, a development run's log; each with who may read it."""

from __future__ import annotations

from pathlib import Path

from jobs.runs import Job, Run, Stage, get_job, get_run
from jobs.spec import digest_of
from lineage.errors import DefinitionError, GateRefusedError
from sandbox.domain import Domain


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


def works(domain: Domain) -> Path:
    """Where the workspaces of runs and of the gate lie while they work."""
    return (domain.home / "run" / "work").resolve()


def workspace_of(domain: Domain, run_id: str) -> Path:
    """Where one run works."""
    return works(domain) / run_id
