"""Carry out a selftest: the hostile job as an ordinary job of two tenants, in development and in production, and a control without jail.

A process of its own (``python -m jobs.selftest_trial``), because the baits are planted in it: an environment variable, a group, a
session keyring and open folders that the platform's own process shall not carry about. It reads what to look for as JSON on stdin
and answers with the result as JSON on stdout.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any, Final

from jobs.holding import outbox_of, outbox_opened
from jobs.jail.backends import jail_of, name_of
from jobs.jail.battery import TWO_WALLS, Planted, Result, Surroundings, planted, run_mines, run_unjailed
from jobs.jail.battery.baits import furnish_table
from jobs.jail.battery.host import bounds, judged
from jobs.jail.battery.hostile.__main__ import LOADED
from jobs.jail.battery.hostile.mines import MARKS, MINES
from jobs.jail.battery.hostile.table import PROBES
from jobs.jail.launcher import die_with
from jobs.jail.outbox import remove_tree
from jobs.jail.spec import Jail
from jobs.promotion import decide
from jobs.promotion import request as request_promotion
from jobs.runs import Job, Stage, get_run, queue
from jobs.selftest_domain import DATASET, Tenant, TrialDomain, build
from jobs.selftest_job import INPUT, LIMITS, MINE, read_results, write_job
from jobs.selftest_job import PROBES as PROBES_RUN
from jobs.selftest_machine import machine, profile
from jobs.selftest_result import Control, ProbeResult, SelftestResult, State
from jobs.states import RunState
from jobs.submitting import submit
from jobs.supervisor import Supervisor
from jobs.zones import uid_of
from lineage.clock import stamp, system_clock
from lineage.errors import MissingPartError, ShuzhaError
from sandbox.engine import jars_folder
from sandbox.grants import Zone, tables_of, zone_opened


LINK_REFUSED: Final = "link-in-ordinary-run"
"""The mine that is left to the ordinary way: the run must end as failed, and nothing of it be kept."""
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 -- where the host keeps files in memory
_PREFIX, _LOCK = "shuzha-selftest-", "lock"
_SECONDS_FOR_CONTROL: Final = 300
_NEXT_PAIR: Final = 2

Allow = Callable[[TrialDomain, SelftestResult], None]


@dataclass
class _Findings:
    """What each run said of each probe."""

    jailed: dict[str, list[Result]] = field(default_factory=dict)
    control: dict[str, Result] = field(default_factory=dict)
    expected: int = 0

    def add(self, results: Iterable[Result]) -> None:
        """Keep the results of one run."""
        for result in results:
            self.jailed.setdefault(result.probe, []).append(result)


@dataclass(frozen=True)
class _Party:
    """A tenant of the trial with the baits that were planted for it, and its submitted job."""

    tenant: Tenant
    baits: Planted
    job: Job


def run_trial(settings: Mapping[str, Any], storage: str, around: Surroundings, allow: Allow) -> SelftestResult:
    """Carry out a selftest in this process.

    Args:
        settings: of the domain whose jail is tried.
        storage: the storage provider of the trial's domain.
        around: what of the real domain is looked for.
        allow: files the result of the development half in the trial's own domain, so that production may start there by the same
            rule as anywhere.

    Raises:
        MissingPartError: a part is missing, so nothing was tried.
    """
    begun, started = system_clock(), monotonic()
    jail, kind = jail_of(settings), name_of(settings)
    findings = _Findings()
    with _place() as (place, quick), ExitStack() as stack:
        trial = build(place / "home", storage, quick / "domain.db", kind)
        parties = [stack.enter_context(_party(trial, tenant, place, around)) for tenant in trial.tenants]
        control = _start_control(stack.enter_context(_control_baits(trial, place)), findings)
        findings.add(_development(trial, parties, jail))
        for party in parties:
            findings.add(run_mines(jail, party.baits, place / f"mines-{party.tenant.name}"))
        control.join(_SECONDS_FOR_CONTROL)
        result = _result(findings, kind, stamp(begun), started, [Stage.DEVELOPMENT])
        if result.holds:
            allow(trial, result)
            findings.add(_production(trial, parties, jail))
            result = _result(findings, kind, stamp(begun), started, [Stage.DEVELOPMENT, Stage.PRODUCTION])
    return result


@contextmanager
def _place() -> Iterator[tuple[Path, Path]]:
    """Make a folder for the trial, and one for its database: in memory where there is any, for nothing of it is kept."""
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with _folder(None) as folder, _folder(memory) as quick:
        folder.chmod(0o755)
        yield folder, quick


@contextmanager
def _folder(parent: Path | None) -> Iterator[Path]:
    """Make a folder that is locked while it is used, after removing what trials that were killed left beside it."""
    _sweep(parent or Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            remove_tree(folder)


def _sweep(parent: Path) -> None:
    """Remove the folders of trials whose process is dead: only a living one holds its lock."""
    for path in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError, MissingPartError), path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(path.parent)


@contextmanager
def _party(trial: TrialDomain, tenant: Tenant, place: Path, around: Surroundings) -> Iterator[_Party]:
    """Plant the baits for one tenant, furnish its tables, and submit its hostile job."""
    folder = place / f"baits-{tenant.name}"
    folder.mkdir()
    home = str(trial.domain.home)
    # Both see the domain's own folder; what is the other's is found there too.
    wanted = Surroundings((*around.places, home, f"{home}/sealed", f"{home}/keys"), (*around.names, *trial.names))
    with planted(folder, tenant.uid, wanted) as baits:
        _furnish(trial, tenant)
        inside = {"job": "/job", "input": f"/in/{INPUT}", "outbox": "/out", "group": "shuzha/", "workspace": home}
        source = write_job(
            place / f"job-{tenant.name}", tenant.scenario, DATASET, {**baits.targets, **bounds(LIMITS), **inside}
        )
        yield _Party(tenant, baits, submit(trial.domain, tenant.processor, source))


def _furnish(trial: TrialDomain, tenant: Tenant) -> None:
    """Lay into the tenant's tables what only the mount protects."""
    for stage, zone in ((Stage.DEVELOPMENT, Zone.VIEW), (Stage.PRODUCTION, Zone.INPUT)):
        with trial.domain.read() as connection:
            table = tables_of(connection, tenant.grant, zone)[DATASET]
        with zone_opened(trial.domain, tenant.grant, zone) as folder:
            furnish_table(folder / table.id, uid_of(tenant.uid, stage))


@contextmanager
def _control_baits(trial: TrialDomain, place: Path) -> Iterator[Planted]:
    """Plant baits for the control under a uid of its own: what is left of it is ended, and must not be a tenant's run."""
    folder = place / "baits-control"
    folder.mkdir()
    with planted(folder, trial.tenants[1].uid + _NEXT_PAIR) as baits:
        yield baits


def _start_control(baits: Planted, findings: _Findings) -> threading.Thread:
    """Run the probes without the jail meanwhile; it needs nothing of the domain."""

    def control() -> None:
        findings.control.update({result.probe: result for result in run_unjailed(baits)})

    thread = threading.Thread(target=control, name="control")
    thread.start()
    return thread


def _development(trial: TrialDomain, parties: Sequence[_Party], jail: Jail) -> list[Result]:
    """Run both tenants' probes at the same time, each in its lane, and one mine of each."""
    runs = [(party, _queue(trial, party, PROBES_RUN, Stage.DEVELOPMENT)) for party in parties]
    mines = [_queue(trial, party, MINE, Stage.DEVELOPMENT) for party in parties]
    Supervisor(trial.domain, jail, jars_folder()).drain()
    found = [result for party, run in runs for result in _read(trial, party, run, Stage.DEVELOPMENT)]
    return [*found, *(_judge_mine(trial, run) for run in mines)]


def _production(trial: TrialDomain, parties: Sequence[_Party], jail: Jail) -> list[Result]:
    """Promote the hostile job and run it on inputs; what it says is not heard, so its collected outbox is read here."""
    runs = []
    for party in parties:
        promotion = request_promotion(trial.domain, party.tenant.processor, party.job.id)
        decide(trial.domain, trial.reviewer, promotion, approve=True, reason="selftest")
        runs.append((party, _queue(trial, party, PROBES_RUN, Stage.PRODUCTION)))
    Supervisor(trial.domain, jail, jars_folder()).drain()
    return [result for party, run in runs for result in _read(trial, party, run, Stage.PRODUCTION)]


def _queue(trial: TrialDomain, party: _Party, position: int, stage: Stage) -> str:
    return queue(trial.domain, party.tenant.processor, party.job.id, position, stage)


def _read(trial: TrialDomain, party: _Party, run: str, stage: Stage) -> tuple[Result, ...]:
    """Read what a run's probes said; a run that said nothing broke every probe (law 7)."""
    baits = replace(party.baits, uid=uid_of(party.tenant.uid, stage))
    said = []
    if outbox_of(trial.domain, run).exists():
        with outbox_opened(trial.domain, run) as outbox:
            said = [*read_results(outbox)]
    if not said:
        with trial.domain.read() as connection:
            reason = get_run(connection, run).reason
        return tuple(Result(name, "error", f"{stage}: {reason}") for name in PROBES)
    return judged(said, baits)


def _judge_mine(trial: TrialDomain, run: str) -> Result:
    with trial.domain.read() as connection:
        found = get_run(connection, run)
    refused = found.state is RunState.FAILED and found.reason == "outbox.link"
    kept = outbox_of(trial.domain, run).exists()
    return Result(LINK_REFUSED, "blocked" if refused and not kept else "escaped", f"{found.state}: {found.reason}")


def _result(findings: _Findings, kind: str, begun: str, started: float, stages: Sequence[Stage]) -> SelftestResult:
    return SelftestResult(
        machine=machine(),
        profile=profile(kind),
        begun=begun,
        seconds=round(monotonic() - started),
        runs=tuple(stage.value for stage in stages),
        tenants=2,
        probes=tuple(_judge(name, group, findings, len(stages)) for name, group in groups().items()),
    )


def groups() -> dict[str, str]:
    """Give every probe's group, by name, in the order in which they are shown."""
    if not LOADED:
        raise ValueError("the battery is empty")
    inside = {probe.name: probe.group for probe in PROBES.values()}
    marks = dict.fromkeys(MARKS, "channels")
    return {**inside, **dict.fromkeys((*MINES, LINK_REFUSED), "outbox"), **marks}


def _judge(name: str, group: str, findings: _Findings, stages: int) -> ProbeResult:
    """Judge one probe over every run: the worst counts, and a run that did not try it is one that broke."""
    found = findings.jailed.get(name, [])
    wanted = 2 * stages if name in PROBES else 2
    worst = sorted(found, key=lambda one: _WORSE[one.verdict])[-1:]
    if len(found) != wanted:
        state, detail = State.BROKEN, f"{len(found)} of {wanted} runs tried it"
    else:
        state, detail = _STATES[worst[0].verdict], worst[0].detail
    return ProbeResult(name, group, state, _control(name, findings), detail[:100])


def _control(name: str, findings: _Findings) -> Control:
    if name not in PROBES:
        return Control.NOT_RUN
    found = findings.control.get(name)
    if found is not None and found.verdict == "escaped":
        return Control.ESCAPED
    return Control.SECOND_WALL if found is not None and name in TWO_WALLS else Control.BLOCKED


_STATES: Final[Mapping[str, State]] = {"blocked": State.HELD, "error": State.BROKEN, "escaped": State.OPEN}
_WORSE: Final[Mapping[str, int]] = {"blocked": 0, "error": 1, "escaped": 2}


def main() -> None:
    """Carry out what stdin asks for and answer on stdout."""
    from jobs.selftest import file_in_trial

    asked: dict[str, Any] = json.loads(sys.stdin.read())
    # Whoever asked is gone: nobody would read the answer, and what is left of the trial must not go on.
    die_with(int(asked["parent"]))
    around = Surroundings(tuple(asked["places"]), tuple(asked["names"]))
    try:
        result = run_trial(asked["settings"], asked["storage"], around, file_in_trial)
        answer: dict[str, Any] = {"result": result.json()}
    except ShuzhaError as error:
        answer = {"error": error.code, "params": dict(error.params)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
