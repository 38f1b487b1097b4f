"""What is kept of jobs and runs: the frozen folder, a run's outbox, a development run's log; each with who may read it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.runs import Job, Run, Stage, get_job, get_run
from jobs.spec import digest_of
from lineage.errors import DefinitionError, GateRefusedError
from sandbox.domain import Domain
from sandbox.grants import make_sealed


OUTBOX, LOG = "outbox", "log"
"""What the sealed folders hold."""


def read_log(domain: Domain, found: Run) -> str:
    """Give a development run's log, with control characters made visible.

    Raises:
        GateRefusedError: it is a production run: what it says is not heard (law 8).
    """
    if found.stage is not Stage.DEVELOPMENT:
        raise GateRefusedError("run.log-not-heard", run=found.id)
    if not log_of(domain, found.id).exists():
        return ""
    with held_opened(domain, found.id, log_of(domain, found.id)) as folder:
        text = (folder / LOG).read_text(encoding="utf-8", errors="replace")
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
    """Where the collected outbox of a run lies, sealed under a key of its tenant and gone with it (D11, law 10)."""
    return domain.held(_tenant(domain, run_id)) / f"{run_id}.outbox"


def log_of(domain: Domain, run_id: str) -> Path:
    """Where the log of a development run lies, sealed likewise."""
    return domain.held(_tenant(domain, run_id)) / f"{run_id}.log"


@contextmanager
def held_opened(domain: Domain, run_id: str, sealed: Path) -> Iterator[Path]:
    """Open what is kept of a run for the time of a block; made at the first call.

    Raises:
        MissingPartError: the tenant's key is destroyed or the storage provider fails (law 7).
    """
    key = domain.keys.held_key(_tenant(domain, run_id))
    if not sealed.exists():
        make_sealed(domain, sealed, key)
    with domain.storage.opened(sealed, key, domain.mounts) as folder:
        yield folder


@contextmanager
def outbox_opened(domain: Domain, run_id: str) -> Iterator[Path]:
    """Give a run's collected outbox to read for the time of a block; for trusted code alone.

    Raises:
        MissingPartError: as ``held_opened``.
    """
    with held_opened(domain, run_id, outbox_of(domain, run_id)) as folder:
        yield folder / OUTBOX


def drop_outbox(domain: Domain, run_id: str) -> None:
    """Destroy what was collected of a run; nothing when there is nothing."""
    domain.storage.destroy(outbox_of(domain, run_id))


def _tenant(domain: Domain, run_id: str) -> str:
    with domain.read() as connection:
        return get_job(connection, get_run(connection, run_id).job).tenant


def works(domain: Domain) -> Path:
    """Where the workspaces of runs and of the gate lie while they work."""
    return (domain.home / "run" / "work").resolve()


def workspace_of(domain: Domain, run_id: str) -> Path:
    """Where one run works."""
    return works(domain) / run_id
