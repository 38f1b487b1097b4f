"""Acts four to six: the processor looks, develops, and production is carried out by the gate."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from console.demo.play import Play
from console.showing import finding_text
from export_gate.checking import check_export
from export_gate.exports import Export
from export_gate.exports import request as request_export
from export_gate.gatekeeper import Gatekeeper
from export_gate.previewing import preview
from jobs.promotion import decide
from jobs.promotion import request as request_promotion
from jobs.runs import Job, Run, Stage, get_run, queue
from jobs.submitting import submit
from jobs.supervisor import Supervisor, read_log, supervisor_lock
from lineage.errors import MissingPartError, NotPermittedError
from sandbox.agreements import get_scenario
from sandbox.engine import jars_folder
from sandbox.messages import text
from sandbox.viewing import first_rows


JOBS = Path(__file__).parent / "jobs"


def look(play: Play) -> None:
    """Act 4: the view is there; the raw table, the other tenant and the network are not (P1, D1, D2)."""
    session, scenario = play.sessions["wang"], play.ids["medical"]
    head = first_rows(play.stage, session, scenario, "health.visits", 3)
    play.facts["view"] = head
    command = f"shuzha view show {scenario} health.visits --as wang"
    play.tell("story.view", command, who=session.name, columns=", ".join(head.columns), rows=len(head.rows))
    try:
        first_rows(play.stage, session, scenario, "social.payments", 3)
    except NotPermittedError as error:
        play.facts["raw_refused"] = error.code
        play.tell_refused("story.raw-tried", error, f"shuzha view show {scenario} social.payments --as wang")
    try:
        with play.stage.read() as connection:
            get_scenario(connection, play.ids["mobility"], session)
    except NotPermittedError as error:
        play.facts["other_refused"] = error.code
        play.tell_refused("story.other-tried", error, f"shuzha view list {play.ids['mobility']} --as wang")
    _look_around(play)


def _look_around(play: Play) -> None:
    """Let a job look for the host's folders and for a listener of the host, and show its log."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fill = {"HOME_FOLDER": str(play.stage.home), "LISTENER": str(listener.getsockname()[1])}
        job = submit_job(play, "probe", "medical", "wang", fill)
        run = run_job(play, job, "wang", Stage.DEVELOPMENT)
    log = read_log(play.stage, run)
    play.facts["probe"] = log
    play.tell("story.looked-around", f"shuzha job logs {run.id} --as wang", log=" | ".join(log.strip().splitlines()))


def develop(play: Play) -> None:
    """Act 5: a Spark run over the views, its log, and previews of the products (P2)."""
    job = submit_job(play, "clinic", "medical", "wang", {})
    play.facts["clinic"] = job
    session = play.sessions["wang"]
    play.tell(
        "story.submitted", "shuzha job submit clinic/ --as wang", who=session.name, job=job.id, digest=job.digest[:16]
    )
    run = run_job(play, job, "wang", Stage.DEVELOPMENT)
    play.facts["explored"] = run
    log = [line for line in read_log(play.stage, run).splitlines() if line.strip() and "netlib" not in line]
    play.tell(
        "story.explored", f"shuzha job run {job.id} --as wang; shuzha job logs {run.id}", log=" | ".join(log[-3:])
    )
    for one in preview(gate(play), session, job.id):
        play.facts.setdefault("previews", []).append(one)
        detail = f"{len(one.rows)} × {len(one.columns)}" if one.rows else ", ".join(sorted(one.card or one.files))[:80]
        command = f"shuzha job preview {job.id} --product {one.product} --as wang"
        play.tell("story.previewed", command, product=one.product, kind=f"label.product.{one.kind}", detail=detail)


def produce(play: Play) -> None:
    """Act 6: promotion reviewed; the gate carries the frozen descriptions out; three succeed, three are kept in (D3, E1–E3)."""
    clinic: Job = play.facts["clinic"]
    promote(play, clinic)
    for product in ("visits_by_district", "visits_by_department", "readmission_risk"):
        ask_out(play, clinic, product)
    risky = submit_job(play, "risky", "medical", "wang", {})
    play.facts["risky"] = risky
    promote(play, risky)
    for product in ("illness_by_district", "overfitted"):
        ask_out(play, risky, product)
    run = run_job(play, risky, "wang", Stage.PRODUCTION)
    ask_out(play, risky, "raw_rows", run.id)


def promote(play: Play, job: Job) -> None:
    """Have a job's promotion asked for, read and approved by somebody else (law 6)."""
    identity = request_promotion(play.stage, play.sessions["wang"], job.id)
    reviewer = play.sessions["sun"]
    reason = text("story.promotion-reason", play.door.language)
    decide(play.stage, reviewer, identity, approve=True, reason=reason)
    command = f"shuzha promotion show {identity} --as sun; shuzha promotion approve {identity} --reason … --as sun"
    play.tell("story.promoted", command, who=reviewer.name, job=job.name, digest=job.digest[:16])


def ask_out(play: Play, job: Job, product: str, run: str | None = None) -> Export:
    """Ask for a product, have the gate make and check it, and tell what it said."""
    session = play.sessions["wang"]
    identity = request_export(play.stage, session, job.id, product, run)
    found = check_export(gate(play), identity)
    play.facts.setdefault("exports", {})[product] = found
    kept = [one for one in found.reasons if one["verdict"] in {"block", "cannot check"}]
    asked = [one for one in found.reasons if one["verdict"] == "review"]
    shown = kept or asked or list(found.reasons)[:1]
    reasons = " ".join(finding_text(one, play.door.language) for one in shown)
    code = "story.kept-in" if kept else "story.checked"
    verdict = f"label.verdict.{(found.verdict or '').replace(' ', '-')}"
    command = f"shuzha export request {job.id} {product} --as wang"
    play.tell(code, command, product=product, kind=f"label.product.{found.kind}", verdict=verdict, reasons=reasons)
    return found


def submit_job(play: Play, name: str, scenario: str, login: str, fill: dict[str, str]) -> Job:
    """Write a demo job's folder for a scenario into the home folder, and submit it."""
    folder = play.stage.home / "demo" / "jobs" / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(JOBS / name, folder, ignore=shutil.ignore_patterns("__pycache__"))
    values = {"SCENARIO": play.ids[scenario], **fill}
    for path in (path for path in folder.rglob("*") if path.is_file()):
        content = path.read_text(encoding="utf-8")
        for word, value in values.items():
            content = content.replace(word, value)
        path.write_text(content, encoding="utf-8")
    return submit(play.stage, play.sessions[login], folder)


def run_job(play: Play, job: Job, login: str, stage: Stage) -> Run:
    """Queue a job's run and supervise it to its end."""
    identity = queue(play.stage, play.sessions[login], job.id, 0, stage)
    supervise(play)
    with play.stage.read() as connection:
        return get_run(connection, identity)


def supervise(play: Play) -> None:
    """Run the queue empty.

    Raises:
        MissingPartError: another process supervises this domain.
    """
    with supervisor_lock(play.stage) as mine:
        if not mine:
            raise MissingPartError("supervisor.taken")
        Supervisor(play.stage, play.door.jail, jars_folder()).drain()


def gate(play: Play) -> Gatekeeper:
    """The gate of the play's domain."""
    return Gatekeeper(play.stage, play.door.jail)
