"""Acts seven to nine: decisions and release, audit and tampering, suspension and the end of an agreement."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from time import monotonic, sleep

from console.demo.acts_data import MOBILITY, OFFICER
from console.demo.acts_work import ask_out, submit_job, supervise
from console.demo.play import Play
from export_gate.exports import Export
from export_gate.release import fetch, release
from export_gate.review import Decision, approve, inspect, vote
from export_gate.states import ExportState
from export_gate.verifying import verify_release
from jobs.runs import Stage, get_run, queue
from jobs.states import RunState
from lineage.errors import MissingPartError, NotPermittedError
from lineage.graph import Graph
from lineage.picture import svg
from lineage.verify import verify
from sandbox.domain import read_public_keys
from sandbox.ending import end_agreement
from sandbox.grants import Zone, get_grant, zone_opened
from sandbox.messages import listed, text
from sandbox.parties import suspend


RELEASED = ("visits_by_district", "visits_by_department", "readmission_risk")
NUMBERS, DRAWN = ("visits_by_district", "visits_by_department"), ("visits_chart", "visits_report")
_PATIENCE = 60


def release_products(play: Play) -> None:
    """Act 7: two reviewers, the authority, the signature, and verification without the domain (E1, L1)."""
    # Another seed or scale is another city: what its gate keeps in is not put to people.
    passed = [one for one in RELEASED if play.facts["exports"][one].state is ExportState.IN_REVIEW]
    for product in passed:
        _decide(play, play.facts["exports"][product])
    if set(NUMBERS) <= set(passed):
        passed += _draw(play)
    session = play.sessions["wang"]
    inbox = play.stage.home / "demo" / "recipient"
    keys = read_public_keys((play.stage.home / "public" / "domain.pub").read_text(encoding="ascii"))
    for product in passed:
        identity = play.facts["exports"][product].id
        path = fetch(play.stage, session, identity, inbox)
        verified = verify_release(path, *keys)
        play.facts.setdefault("releases", {})[product] = path
        play.tell(
            "story.fetched",
            f"shuzha release verify {path} --key {play.stage.home / 'public' / 'domain.pub'}",
            who=session.name,
            product=product,
            size=verified.log_size,
        )


def _draw(play: Play) -> list[str]:
    """Have the chart, and then the report that shows it, made from what is released now."""
    passed: list[str] = []
    for product in DRAWN:
        found = ask_out(play, play.facts["clinic"], product)
        if found.state is not ExportState.IN_REVIEW:
            break
        _decide(play, found)
        passed.append(product)
    return passed


def _decide(play: Play, found: Export) -> None:
    digest = found.evidence_digest or ""
    reason = text("story.review-reason", play.door.language)
    for login in ("sun", "zhou", OFFICER):
        inspect(play.stage, play.sessions[login], found.id)
    for login in ("sun", "zhou"):
        vote(play.stage, play.sessions[login], found.id, Decision.APPROVE, reason=reason, digest=digest)
    approve(play.stage, play.sessions[OFFICER], found.id, reason=reason, digest=digest)
    release(play.stage, found.id)
    play.tell(
        "story.released",
        f"shuzha export inspect {found.id}; shuzha export approve {found.id} --digest … --reason … --as sun | zhou | {OFFICER}",
        product=found.product,
        reviewers=listed((play.sessions[login].name for login in ("sun", "zhou")), play.door.language),
        who=play.sessions[OFFICER].name,
    )


def audit(play: Play) -> None:
    """Act 8: where a release came from, where a column went; the log holds; one altered row is found (L1, L2, L5)."""
    auditor = play.sessions["wu"]
    node = f"release:{play.facts['exports']['visits_by_district'].id}"
    with play.stage.read() as connection:
        graph = Graph.read(connection)
    origins = graph.origins(node)
    play.facts["origins"] = origins
    dated = [(one.facts.get("title", one.node), one.facts.get("date")) for one in origins.sources]
    sources = ", ".join(f"{title} ({date})" if date else str(title) for title, date in dated)
    command = f"shuzha lineage show {node} --as wu"
    play.tell(
        "story.origins",
        command,
        who=auditor.name,
        release=node,
        sources=sources,
        persons=len(origins.persons),
        entries=len(origins.entries),
    )
    destinations = graph.destinations("health.visits#cost")
    play.facts["destinations"] = destinations
    reached = ", ".join(one.node.partition("/")[2] for one in destinations.nodes if one.node.startswith("product:"))
    play.tell(
        "story.destinations",
        "shuzha lineage show 'health.visits#cost' --to --as wu",
        column="health.visits#cost",
        reached=reached,
    )

    def say(code: str, /, **params: str | int) -> str:
        return text(code, play.door.language, **params)

    picture = play.stage.home / "demo" / "lineage.svg"
    picture.write_text(svg(origins, say), encoding="utf-8")
    play.tell("story.picture", f"shuzha lineage export {node} --into lineage.svg --as wu", file=str(picture))
    log = play.stage.log
    with play.stage.read() as connection:
        found = verify(connection, log.signer.verifier, [log.checkpoint_file.read_text()])
    play.facts["verified"] = found
    play.tell("story.log-holds", "shuzha audit verify", size=found.size, root=found.root[:16])
    _tamper(play)


def _tamper(play: Play) -> None:
    """Alter one row of the log's storage behind the software's back, in a copy, so that the domain left behind is whole."""
    if play.stage.database.url.get_backend_name() != "sqlite":
        return
    copy = play.stage.home / "demo" / "tampered.db"
    with sqlite3.connect(str(play.stage.database.url.database)) as live, sqlite3.connect(copy) as target:
        live.backup(target)
        newest = "SELECT max(seq) FROM log_payload WHERE CAST(body AS TEXT) LIKE '%approve%'"
        (seq,) = target.execute(newest).fetchone()
        altered = "CAST(replace(CAST(body AS TEXT), 'approve', 'refused') AS BLOB)"
        target.execute(f"UPDATE log_payload SET body = {altered} WHERE seq = ?", (seq,))  # noqa: S608 - a constant
        target.commit()
    live.close()
    target.close()
    from lineage.database import Database

    log = play.stage.log
    with Database(f"sqlite:///{copy}").read() as connection:
        found = verify(connection, log.signer.verifier, [log.checkpoint_file.read_text()])
    play.facts["tampered"] = (int(seq), found)
    problems = " ".join(text(one.code, play.door.language, **one.params) for one in found.problems)
    play.tell("story.tampered", "", seq=int(seq), problems=problems)


def end(play: Play) -> None:
    """Act 9: suspension stops a run; the end of the agreement destroys the keys (A8, A9, D11)."""
    job = submit_job(play, "patience", "mobility", "chen", {})
    run_id = queue(play.stage, play.sessions["chen"], job.id, 0, Stage.DEVELOPMENT)
    worker = threading.Thread(target=supervise, args=(play,))
    worker.start()
    _wait_until_running(play, run_id)
    officer, reason = play.sessions[OFFICER], text("story.suspend-reason", play.door.language)
    started = monotonic()
    suspend(play.stage, officer, play.ids[MOBILITY], reason)
    worker.join(timeout=_PATIENCE)
    stopped = monotonic() - started
    with play.stage.read() as connection:
        run = get_run(connection, run_id)
    play.facts["suspended"] = run
    command = f"shuzha tenant suspend {MOBILITY} --reason … --as {OFFICER}"
    state = text(f"label.run.{run.state}", play.door.language)
    play.tell("story.suspended", command, who=officer.name, state=state, seconds=round(stopped))
    _end_agreement(play, reason)


def _end_agreement(play: Play, reason: str) -> None:
    officer = play.sessions[OFFICER]
    with play.stage.read() as connection:
        grant = get_grant(connection, play.ids["mobility.grant"])
    kept = play.stage.home / "demo" / "copy-before-the-end"
    shutil.copytree(play.stage.sealed(grant.id, Zone.VIEW), kept)
    end_agreement(play.stage, officer, play.ids["mobility.agreement"], reason)
    command = f"shuzha agreement end {play.ids['mobility.agreement']} --reason … --as {OFFICER}"
    play.tell("story.ended", command, who=officer.name)
    try:
        with zone_opened(play.stage, grant, Zone.VIEW):
            play.facts["after_end"] = "readable"
    except (MissingPartError, NotPermittedError) as error:
        play.facts["after_end"] = error.code
        play.tell_refused("story.unreadable", error)


def _wait_until_running(play: Play, run_id: str) -> None:
    """Wait for the run to be in the jail.

    Raises:
        MissingPartError: it did not start in time.
    """
    deadline = monotonic() + _PATIENCE
    while monotonic() < deadline:
        with play.stage.read() as connection:
            state = get_run(connection, run_id).state
        if state is RunState.RUNNING:
            sleep(1)
            return
        if state not in {RunState.QUEUED, RunState.PREPARING}:
            break
        sleep(0.1)
    raise MissingPartError("run.did-not-start", run=run_id)
