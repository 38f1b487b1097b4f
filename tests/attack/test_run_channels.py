"""A production run that wants to be heard: by its ending, time, use, files, log, or by not ending (law 8, C18).

Every operation that a tenant's person may call is asked at every second of two runs that differ only in what they signal. Where the
documented grid puts both into one cell, the answers are equal byte for byte at every second; over all signals together there are no
more different answers than are charged to the ledger of bits. With any of the roundings taken away the same comparison fails.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from export_gate import exports
from export_gate.budget import overview
from jobs import bits, holding, runs, told
from jobs.jail.spec import Ending
from jobs.runs import Stage as RunStage
from jobs.states import RunState
from lineage.clock import parse_stamp
from lineage.errors import ShuzhaError
from sandbox import parties
from sandbox.agreements import list_agreements, list_scenarios
from tests.factories import OPAQUE, World
from tests.fixtures_domain import WorldAt
from tests.fixtures_lanes import Signal, by_the_second, carry, promoted, queued


LIMIT = 10 * 60
SLOW = 70.0


@pytest.fixture
def stage(world_at: WorldAt, monkeypatch: pytest.MonkeyPatch) -> World:
    """A promoted job with one production run in its queue."""
    by_the_second(monkeypatch)
    world = promoted(world_at)
    world.ids["run"] = queued(world)
    return world


def answers(world: World, login: str = "processor") -> dict[str, Any]:
    """Every answer that a tenant's person can get of the domain now, as it would be printed."""
    session, run = world.session(login), world.ids["run"]
    found: dict[str, Any]
    with world.domain.read() as connection:
        found = {
            "run": asdict(runs.get_run(connection, run, session)),
            "runs": [asdict(one) for one in runs.runs_of(connection, world.ids["job"], session)],
            "jobs": [asdict(one) for one in runs.list_jobs(connection, session)],
            "exports": [asdict(one) for one in exports.list_exports(connection, session)],
            "budget": [asdict(one) for one in overview(connection, session)],
            "bits": [asdict(one) for one in bits.bits_overview(connection, session, bits.BitCaps())],
            "scenarios": [asdict(one) for one in list_scenarios(connection, session)],
            "agreements": list_agreements(connection, session),
        }
        heard = runs.get_run(connection, run, session)
    found["log"] = refusal(lambda: holding.read_log(world.domain, heard))
    # Whether a run can be named in an export request, without the request being entered.
    if login == "processor" and heard.state is not RunState.SUCCEEDED:
        act = world.domain, session, world.ids["job"], OPAQUE, run
        found["export"] = refusal(lambda: exports.request(*act))
    # The log's size is in every checkpoint and proof, and those are public.
    found["entries"] = len(world.log())
    return found


def refusal(act: Callable[[], object]) -> object:
    try:
        return act()
    except ShuzhaError as error:
        return [error.code, dict(error.params), int(error.exit)]


def transcript(stage: World, home: Path, signal: Signal, *, every: int = 1) -> list[bytes]:
    """Carry the run with a signal in a copy of the world; gives all answers at every so many seconds, and at the end."""
    world = stage.copy(home)
    heard: list[bytes] = []
    begun = world.hands.moment
    clock = itertools.count()

    def look() -> None:
        if next(clock) % every == 0:
            second = math.floor((world.hands.moment - begun).total_seconds())
            heard.append(json.dumps([second, answers(world), answers(world, "manager")], default=str).encode())

    carry(world, world.ids["run"], signal, look)
    world.hands.moment = parse_stamp(recorded(world)["ended"]).replace(microsecond=0)
    heard.append(json.dumps([answers(world), answers(world, "manager")], default=str).encode())
    return sorted(set(heard))


def recorded(world: World) -> dict[str, Any]:
    with world.domain.read() as connection:
        return asdict(runs.get_run(connection, world.ids["run"]))


FAILED = Signal(ending=Ending.FAILED, exit_code=1)
PAIRS = {
    "exit code": (FAILED, replace(FAILED, exit_code=77)),
    "error class: memory": (FAILED, replace(FAILED, ending=Ending.MEMORY, exit_code=137)),
    "error class: outbox full": (FAILED, replace(FAILED, ending=Ending.OUTPUT)),
    "error class: a link in the outbox": (FAILED, Signal(outbox_error="outbox.link")),
    "error class: too many files": (FAILED, Signal(outbox_error="outbox.too-many")),
    # Of a run that the platform lost nothing was metered; it counts as having used all that it had reserved.
    "error class: a defect of the platform": (
        replace(FAILED, cpu_seconds=LIMIT, peak_mebibytes=2048),
        replace(FAILED, defect=True),
    ),
    "log": (Signal(), Signal(log="resident 42 is ill\n" * 1000)),
    "number of files": (Signal(files=0), Signal(files=60)),
    "duration within a step": (Signal(seconds=1), Signal(seconds=9)),
    "duration within a longer step": (Signal(seconds=11), Signal(seconds=59)),
    "part of a second": (Signal(seconds=2.125), Signal(seconds=2.875)),
    "processor within a level": (Signal(cpu_seconds=0.1), Signal(cpu_seconds=1)),
    "memory within a level": (Signal(peak_mebibytes=1), Signal(peak_mebibytes=255)),
    "not ending or failing at last": (
        Signal(seconds=LIMIT, ending=Ending.TIME, cpu_seconds=LIMIT),
        Signal(seconds=LIMIT - 100, ending=Ending.FAILED, cpu_seconds=LIMIT),
    ),
}


@pytest.mark.parametrize("pair", list(PAIRS))
def test_two_signals_of_one_cell_are_one_answer_at_every_second(stage: World, tmp_path: Path, pair: str) -> None:
    first, second = PAIRS[pair]
    every = 1 if max(first.seconds, second.seconds) < SLOW else 60
    one = transcript(stage, tmp_path / "one", first, every=every)
    assert one == transcript(stage, tmp_path / "two", second, every=every)


def signals() -> Iterator[Signal]:
    """Signals on both sides of borders of the grid."""
    for seconds, ending, cpu, peak in itertools.product(
        (9.5, 10.5), (Ending.DONE, Ending.FAILED, Ending.MEMORY), (0.5, 5), (10, 600, 2048)
    ):
        yield Signal(seconds=seconds, ending=ending, cpu_seconds=cpu, peak_mebibytes=peak)


def told_at_last(stage: World, home: Path, signal: Signal) -> bytes:
    world = stage.copy(home)
    carry(world, world.ids["run"], signal)
    return json.dumps([answers(world), answers(world, "manager")], default=str).encode()


def test_all_signals_together_say_no_more_than_is_charged(stage: World, tmp_path: Path) -> None:
    heard = {told_at_last(stage, tmp_path / str(place), signal) for place, signal in enumerate(signals())}
    charged = told.capacity(LIMIT)
    assert len(heard) <= 2**charged
    # Two steps, two endings and the levels between: the comparison above sees differences where there are some.
    assert len(heard) >= 2 * 2 * 4
    with stage.domain.read() as connection:
        spent = bits.bits_overview(connection, stage.session("processor"), bits.BitCaps())
    assert {one.spent for one in spent} == {charged}


@pytest.mark.parametrize(
    ("first", "second"),
    [(Signal(), FAILED), (Signal(), Signal(seconds=30)), (Signal(peak_mebibytes=10), Signal(peak_mebibytes=2000))],
    ids=["ending", "step", "memory"],
)
def test_what_is_charged_for_is_told(stage: World, tmp_path: Path, first: Signal, second: Signal) -> None:
    """The innocent twin: a tenant does learn whether its run succeeded, about when, and about what it used."""
    assert told_at_last(stage, tmp_path / "one", first) != told_at_last(stage, tmp_path / "two", second)


MUTATIONS: dict[str, tuple[str, str, Callable[..., object]]] = {
    "the grid": ("duration within a step", "due", lambda elapsed, limit: math.ceil(elapsed)),
    "the words for an ending": (
        "error class: memory",
        "tell",
        lambda state, reason, outcome, **_: told.Told(state, reason, (outcome or {}).get("told")),
    ),
    "the levels": ("memory within a level", "_rounded", lambda used, whole: math.ceil(used)),
    "the told figures": (
        "number of files",
        "tell",
        lambda state, reason, outcome, **_: told.Told(state, reason, outcome),
    ),
}


@pytest.mark.parametrize("mutation", [name for name in MUTATIONS if name != "the told figures"])
def test_without_its_rounding_the_channel_is_open(
    stage: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutation: str
) -> None:
    pair, name, broken = MUTATIONS[mutation]
    first, second = PAIRS[pair]
    monkeypatch.setattr(told, name, broken)
    assert transcript(stage, tmp_path / "one", first) != transcript(stage, tmp_path / "two", second)


def test_the_exact_figures_in_the_answer_would_be_a_channel(
    stage: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "tell", MUTATIONS["the told figures"][2])
    first, second = PAIRS["processor within a level"]
    broken = [replace(one, cpu_seconds=one.cpu_seconds * 9) for one in (first, second)]
    assert transcript(stage, tmp_path / "one", broken[0]) != transcript(stage, tmp_path / "two", broken[1])


def test_a_development_run_is_told_exactly_and_at_once(world_at: WorldAt) -> None:
    """The innocent twin: over views nothing needs to be hidden from those who see them."""
    world = promoted(world_at)
    run = world.ids["run"] = queued(world, RunStage.DEVELOPMENT)
    begun = world.hands.moment
    carry(world, run, replace(FAILED, ending=Ending.MEMORY, peak_mebibytes=777, log="why\n"))
    with world.domain.read() as connection:
        found = runs.get_run(connection, run, world.session("processor"))
    assert (found.state, found.reason) == (RunState.FAILED, "reason.ended.memory")
    assert found.outcome is not None
    assert (found.outcome["peak_mebibytes"], found.outcome["ending"]) == (777, "memory")
    assert (world.hands.moment - begun).total_seconds() == 3
    assert holding.read_log(world.domain, found) == "why\n"


def test_the_authority_and_the_auditor_know_exactly(stage: World) -> None:
    carry(stage, stage.ids["run"], replace(FAILED, ending=Ending.MEMORY, peak_mebibytes=777))
    for login in ("officer", "auditor", "reviewer"):
        with stage.domain.read() as connection:
            found = runs.get_run(connection, stage.ids["run"], stage.session(login))
        assert found.reason == "reason.ended.memory"
        assert found.outcome is not None
        assert found.outcome["peak_mebibytes"] == 777


def end_of(world: World) -> dict[str, Any]:
    """How a run ended as its tenant hears it, without the moment of the question."""
    with world.domain.read() as connection:
        return asdict(runs.get_run(connection, world.ids["run"], world.session("processor")))


@pytest.mark.parametrize("second", [1, 4, 6, 9])
@pytest.mark.parametrize("signal", [Signal(seconds=8), Signal(seconds=3), replace(FAILED, seconds=3)])
def test_a_cancelled_run_does_not_tell_whether_it_had_ended(
    stage: World, tmp_path: Path, second: int, signal: Signal
) -> None:
    """The tenant chooses the moment, so it would be the finest clock of all."""

    def play(home: Path, acted: Signal) -> tuple[dict[str, Any], list[bytes]]:
        world = stage.copy(home)
        begun, heard = world.hands.moment, []
        asked = False

        def look() -> None:
            nonlocal asked
            passed = (world.hands.moment - begun).total_seconds()
            if passed >= second and not asked:
                asked = True
                runs.ask_cancel(world.domain, world.session("processor"), world.ids["run"])
            heard.append(json.dumps([passed, answers(world)], default=str).encode())

        carry(world, world.ids["run"], acted, look)
        return end_of(world), sorted(set(heard))

    endless, ended = play(tmp_path / "endless", Signal(seconds=300)), play(tmp_path / "ended", signal)
    assert endless[0] == ended[0]
    assert (ended[0]["state"], ended[0]["reason"]) == (RunState.CANCELLED, "reason.cancelled")
    assert endless[1] == ended[1]


@pytest.mark.parametrize("second", [1, 6, 8])
def test_a_suspension_does_not_tell_whether_the_run_had_ended(stage: World, tmp_path: Path, second: int) -> None:
    def play(home: Path, acted: Signal) -> dict[str, Any]:
        world = stage.copy(home)
        begun, officer = world.hands.moment, world.session("officer")
        asked = False

        def look() -> None:
            nonlocal asked
            if not asked and (world.hands.moment - begun).total_seconds() >= second:
                asked = True
                parties.suspend(world.domain, officer, world.ids["medica"], "risk found")

        carry(world, world.ids["run"], acted, look)
        parties.restore(world.domain, officer, world.ids["medica"], "mended")
        return end_of(world)

    endless, ended = play(tmp_path / "endless", Signal(seconds=300)), play(tmp_path / "ended", Signal(seconds=3))
    assert endless == ended
    assert (ended["state"], ended["reason"]) == (RunState.CANCELLED, "reason.tenant-suspended")


def test_the_next_run_in_the_lane_starts_at_a_step_and_not_at_the_end(stage: World, tmp_path: Path) -> None:
    """Waiting is an answer too: a run queued behind would tell when the one before it ended."""

    def second_start(home: Path, signal: Signal) -> str:
        world = stage.copy(home)
        world.hands.forward(seconds=0.5)
        following = queued(world)
        carry(world, world.ids["run"], signal)
        with world.domain.read() as connection:
            return str(runs.get_run(connection, following, world.session("processor")).started)

    starts = {second_start(tmp_path / str(n), Signal(seconds=seconds)) for n, seconds in enumerate((1, 5, 9))}
    assert len(starts) == 1


def test_a_cancelled_runs_fruit_is_void(stage: World) -> None:
    begun = stage.hands.moment

    def look() -> None:
        if (stage.hands.moment - begun).total_seconds() == 6:
            runs.ask_cancel(stage.domain, stage.session("processor"), stage.ids["run"])

    carry(stage, stage.ids["run"], Signal(seconds=3, files=4), look)
    assert recorded(stage)["state"] is RunState.CANCELLED
    assert not holding.outbox_of(stage.domain, stage.ids["run"]).exists()
