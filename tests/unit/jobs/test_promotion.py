"""Promotion: exactly these bytes, once, decided by a reviewer with a reason (D3, law 2)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from jobs import promotion, runs
from jobs.states import PromotionState
from jobs.supervisor import can_start, check_can_start
from lineage.errors import DefinitionError, NotPermittedError
from lineage.kinds import Kind
from sandbox import parties
from sandbox.domain import open_domain
from sandbox.states import PersonState
from tests.factories import Stage, World, at, refused, submit
from tests.fixtures_domain import WorldAt


def decide(world: World, *, approve: bool, promoted: str = "", reason: str = "read") -> None:
    identity = promoted or world.ids["promotion"]
    promotion.decide(world.domain, world.session("reviewer"), identity, approve=approve, reason=reason)


def is_promoted(world: World, job: str) -> bool:
    with world.domain.read() as connection:
        try:
            promotion.check_promoted(connection, runs.get_job(connection, job))
        except NotPermittedError as error:
            return error.code != "promotion.missing"
    return True


@pytest.mark.parametrize(
    ("stage", "promoted"),
    [(Stage.SUBMITTED, False), (Stage.PROMOTION_REQUESTED, False), (Stage.PROMOTED, True)],
)
def test_only_what_was_approved_is_promoted(world_at: WorldAt, stage: Stage, promoted: bool) -> None:
    world = world_at(stage)
    assert is_promoted(world, world.ids["job"]) is promoted


def test_what_was_refused_is_not_promoted_and_not_asked_again(world_at: WorldAt) -> None:
    world = world_at(Stage.PROMOTION_REQUESTED)
    decide(world, approve=False)
    assert not is_promoted(world, world.ids["job"])
    with refused(DefinitionError, "promotion.exists"):
        promotion.request(world.domain, world.session("processor"), world.ids["job"])
    with refused(DefinitionError, "state.cannot-move"):
        decide(world, approve=True)


def test_one_changed_byte_is_another_job(world_at: WorldAt) -> None:
    world = world_at(Stage.PROMOTED)
    changed = submit(world, "processor", "scenario", epsilon="0.6")
    assert not is_promoted(world, changed)
    with world.domain.read() as connection:
        first, second = (runs.get_job(connection, job) for job in (world.ids["job"], changed))
        assert promotion.previous_digest(connection, second) == first.digest
        assert promotion.previous_digest(connection, first) is None


def test_a_decision_is_on_the_log_with_the_digest(world_at: WorldAt) -> None:
    world = world_at(Stage.PROMOTION_REQUESTED)
    decide(world, approve=True, reason="read every line")
    with world.domain.read() as connection:
        digest = runs.get_job(connection, world.ids["job"]).digest
        found = promotion.get_promotion(connection, world.ids["promotion"])
    assert (found.state, found.decided_by, found.reason) == (
        PromotionState.APPROVED,
        world.ids["reviewer"],
        "read every line",
    )
    entry = world.log()[-1]
    assert (entry.kind, entry.payload["digest"]) == (Kind.PROMOTION_APPROVED, digest)
    assert f"job:{digest}" in entry.subjects


@pytest.mark.parametrize("reason", ["", " ", "　\n"])
@pytest.mark.parametrize("approve", [True, False])
def test_a_decision_has_a_reason(world_at: WorldAt, approve: bool, reason: str) -> None:
    with refused(DefinitionError, "reason.missing"):
        decide(world_at(Stage.PROMOTION_REQUESTED), approve=approve, reason=reason)


def test_two_decisions_at_the_same_instant_are_one(world_on: WorldAt) -> None:
    world = world_on(Stage.PROMOTION_REQUESTED)
    sessions = [world.session(login) for login in ("reviewer", "expert", "third")]
    start = Barrier(3)

    def decide_as(place: int) -> str:
        own = open_domain(world.domain.home, clock=world.hands)
        start.wait(timeout=60)
        try:
            promotion.decide(own, sessions[place], world.ids["promotion"], approve=place != 0, reason="read")
        except DefinitionError as error:
            return error.code
        return "decided"

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(decide_as, range(3))) == ["decided", "state.cannot-move", "state.cannot-move"]
    kinds = world.kinds()
    assert kinds.count(Kind.PROMOTION_APPROVED) + kinds.count(Kind.PROMOTION_REFUSED) == 1


@pytest.mark.parametrize(
    ("stage", "run_stage", "starts"),
    [
        (Stage.SUBMITTED, runs.Stage.DEVELOPMENT, True),
        (Stage.SUBMITTED, runs.Stage.PRODUCTION, False),
        (Stage.PROMOTION_REQUESTED, runs.Stage.PRODUCTION, False),
        (Stage.PROMOTED, runs.Stage.PRODUCTION, True),
    ],
)
def test_production_starts_only_what_was_promoted(
    world_at: WorldAt, stage: Stage, run_stage: runs.Stage, starts: bool
) -> None:
    world = world_at(stage)
    run = runs.queue(world.domain, world.session("processor"), world.ids["job"], 0, run_stage)
    assert may_start(world, run) is starts


def may_start(world: World, run: str) -> bool:
    """Ask both twins."""
    with world.domain.read() as connection:
        found = runs.get_run(connection, run)
        job = runs.get_job(connection, found.job)
        allowed = can_start(connection, found, job, at(world), "bwrap")
        if allowed:
            check_can_start(connection, found, job, at(world), "bwrap")
        else:
            with pytest.raises(NotPermittedError):
                check_can_start(connection, found, job, at(world), "bwrap")
    return allowed


def test_what_was_queued_does_not_start_when_its_ground_is_gone(world_at: WorldAt) -> None:
    world = world_at(Stage.PROMOTED)
    officer = world.session("officer")
    assert may_start(world, world.ids["run"])
    parties.suspend(world.domain, officer, world.ids["medica"], "risk found")
    assert not may_start(world, world.ids["run"])
    parties.restore(world.domain, officer, world.ids["medica"], "mended")
    assert may_start(world, world.ids["run"])
    parties.advance_person(world.domain, officer, world.ids["processor"], PersonState.SUSPENDED)
    assert not may_start(world, world.ids["run"])
