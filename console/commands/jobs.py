"""Jobs and runs on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from console.door import door


def submit(folder: Path) -> None:
    """Submit a job folder: validated and frozen by its digest."""
    from jobs.submitting import submit as hand_in

    here = door()
    job = hand_in(here.domain, here.session, folder)
    here.give({"job": job.id, "name": job.name, "digest": job.digest})


def run(
    job: str,
    position: Annotated[int, typer.Option(min=0)] = 0,
    production: Annotated[bool, typer.Option()] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait")] = True,
) -> None:
    """Run one [[run]] of a job in the jail, over views, or over inputs when it is promoted."""
    from console.waiting import heard, wait_for_run
    from jobs.runs import Stage, queue
    from jobs.states import RunState

    here = door()
    stage = Stage.PRODUCTION if production else Stage.DEVELOPMENT
    identity = queue(here.domain, here.session, job, position, stage)
    here.say("done.queued", run=identity)
    found = wait_for_run(here, identity) if wait else heard(here, identity)
    here.give(
        {"run": identity, "state": found.state.value, "reason": here.reason(found.reason), "outcome": found.outcome}
    )
    if wait and found.state is not RunState.SUCCEEDED:
        from lineage.errors import GateRefusedError

        raise GateRefusedError("run.not-succeeded", run=identity, reason=here.reason(found.reason))


def preview(
    job: str,
    product: Annotated[str, typer.Option()] = "",
    into: Annotated[Path | None, typer.Option(file_okay=False)] = None,
) -> None:
    """Preview the products of a job on its views; nothing is charged and nothing leaves. Pictures and pages are kept with --into."""
    from console.showing import keep_files, show_preview
    from export_gate.gatekeeper import Gatekeeper
    from export_gate.previewing import preview as make

    here = door()
    gate = Gatekeeper(here.domain, here.jail)
    for one in make(gate, here.session, job, product or None):
        show_preview(here, one)
        if into is not None:
            keep_files(one.files, into / one.product)


def list_all() -> None:
    """List jobs."""
    from jobs.runs import list_jobs, runs_of

    here = door()
    with here.domain.read() as connection:
        rows = [
            (j.id, j.name, j.scenario, j.digest[:12], len(runs_of(connection, j.id, here.session)))
            for j in list_jobs(connection, here.session)
        ]
    here.give_rows(["job", "name", "scenario", "digest", "runs"], rows)


def show(job: str) -> None:
    """Show a job's runs, each with its state and the reason for it."""
    from jobs.runs import runs_of

    here = door()
    with here.domain.read() as connection:
        runs = runs_of(connection, job, here.session)
    here.give_rows(
        ["run", "stage", "state", "reason", "queued", "outcome"],
        [(r.id, r.stage, r.state, here.reason(r.reason), r.queued, r.outcome) for r in runs],
    )


def logs(run_id: Annotated[str, typer.Argument(metavar="RUN")]) -> None:
    """Show a development run's log; a production run's is not heard."""
    from jobs.runs import get_run
    from jobs.supervisor import read_log

    here = door()
    with here.domain.read() as connection:
        found = get_run(connection, run_id, here.session)
    text = read_log(here.domain, found)
    here.give({"run": run_id, "log": text}, shown=text)


def cancel(run_id: Annotated[str, typer.Argument(metavar="RUN")]) -> None:
    """Stop a run."""
    from jobs.runs import ask_cancel

    here = door()
    ask_cancel(here.domain, here.session, run_id)
    here.say("done.cancel-asked", run=run_id)


COMMANDS: Mapping[str, Callable[..., None]] = {
    "submit": submit,
    "run": run,
    "preview": preview,
    "list": list_all,
    "show": show,
    "logs": logs,
    "cancel": cancel,
}
