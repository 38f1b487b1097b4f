"""Review: two people who do not see each other's vote, then the authority, all about the same evidence (E1, D6, law 6)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from threading import Barrier

import pytest

from export_gate import exports, release, review
from export_gate.finding import Verdict
from export_gate.review import Decision
from export_gate.states import ExportState
from lineage.errors import DefinitionError, NotPermittedError, ShuzhaError
from lineage.kinds import Kind
from sandbox import parties
from sandbox.domain import open_domain
from sandbox.roles import Role
from sandbox.states import PersonState
from tests.factories import (
    STATISTIC,
    Stage,
    World,
    approve_export,
    check,
    give_role,
    refused,
    request_export,
    vote,
)
from tests.fixtures_domain import WorldAt


def export_of(world: World) -> exports.Export:
    with world.domain.read() as connection:
        return exports.get_export(connection, world.ids["export"])


def seen_by(world: World, login: str) -> list[str]:
    """Whose votes a person sees."""
    with world.domain.read() as connection:
        found = exports.get_export(connection, world.ids["export"])
        return sorted(one.person for one in review.visible_reviews(connection, world.session(login), found))


@pytest.mark.parametrize(("first", "second"), list(product(Decision, Decision)), ids=lambda one: one.value)
def test_two_refuse_two_approve_and_two_who_disagree_vote_again(
    world_at: WorldAt, first: Decision, second: Decision
) -> None:
    world = world_at(Stage.IN_REVIEW)
    assert vote(world, "reviewer", first).state is ExportState.IN_REVIEW
    agreed = {Decision.APPROVE: ExportState.REVIEWED, Decision.REFUSE: ExportState.REFUSED}[first]
    assert vote(world, "expert", second).state is (agreed if first is second else ExportState.CONSOLIDATION)
    if Decision.REFUSE in {first, second}:
        with refused(DefinitionError, "state.cannot-move"):
            approve_export(world)
        with refused(DefinitionError, "export.not-approved"):
            release.release(world.domain, world.ids["export"])


def test_nobody_sees_a_vote_before_both_are_in(world_at: WorldAt) -> None:
    world = world_at(Stage.IN_REVIEW)
    vote(world, "reviewer", Decision.REFUSE)
    everybody = ["reviewer", "expert", "third", "officer", "auditor", "processor"]
    assert {login: seen_by(world, login) for login in everybody} == {
        login: [world.ids["reviewer"]] if login == "reviewer" else [] for login in everybody
    }
    assert export_of(world).state is ExportState.IN_REVIEW
    vote(world, "expert")
    both = sorted([world.ids["reviewer"], world.ids["expert"]])
    assert {login: seen_by(world, login) for login in everybody} == dict.fromkeys(everybody, both)


def test_a_reviewer_votes_once(world_at: WorldAt) -> None:
    world = world_at(Stage.IN_REVIEW)
    vote(world, "reviewer")
    for decision in Decision:
        with refused(DefinitionError, "review.voted-already"):
            vote(world, "reviewer", decision)
    assert export_of(world).state is ExportState.IN_REVIEW


def test_two_votes_of_one_person_at_the_same_instant_are_one(world_on: WorldAt) -> None:
    world = world_on(Stage.IN_REVIEW)
    answers = at_once(world, ["reviewer", "reviewer"], vote)
    assert sorted(answers) == ["done", "review.voted-already"]
    assert export_of(world).state is ExportState.IN_REVIEW


def test_three_votes_at_the_same_instant_are_two(world_on: WorldAt) -> None:
    world = world_on(Stage.IN_REVIEW)
    answers = at_once(world, ["reviewer", "expert", "third"], vote)
    assert sorted(answers) == ["done", "done", "review.not-open"]
    assert world.kinds().count(Kind.EXPORT_REVIEWED) == 2
    assert export_of(world).state is ExportState.REVIEWED


def test_two_approvals_at_the_same_instant_are_one(world_on: WorldAt) -> None:
    world = world_on(Stage.REVIEWED)
    answers = at_once(world, ["officer", "deputy"] * 2, approve_export)
    assert sorted(answers) == ["done"] + ["state.cannot-move"] * 3
    assert world.kinds().count(Kind.EXPORT_APPROVED) == 1
    assert world.verified().holds


def test_approval_and_refusal_at_the_same_instant_are_one_of_them(world_on: WorldAt) -> None:
    world = world_on(Stage.REVIEWED)

    def decide(own: World, login: str) -> None:
        if login == "officer":
            approve_export(own, login)
        else:
            review.refuse(own.domain, own.session(login), own.ids["export"], reason="harmful")

    answers = at_once(world, ["officer", "deputy"], decide)
    assert sorted(answers) == ["done", "state.cannot-move"]
    kinds = world.kinds()
    approved, refusals = kinds.count(Kind.EXPORT_APPROVED), kinds.count(Kind.EXPORT_REFUSED)
    assert (approved, refusals) in {(1, 0), (0, 1)}
    assert export_of(world).state is (ExportState.APPROVED if approved else ExportState.REFUSED)


def at_once(world: World, logins: list[str], act: Callable[[World, str], object]) -> list[str]:
    """Let people act at the same instant, each through a domain opened anew, as other processes would."""
    start = Barrier(len(logins))

    def run(login: str) -> str:
        own = World(
            open_domain(world.domain.home, clock=world.hands), world.hands, world.stage, world.ids, world.tokens
        )
        start.wait(timeout=60)
        try:
            act(own, login)
        except ShuzhaError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(len(logins)) as pool:
        return list(pool.map(run, logins))


@pytest.mark.parametrize("reason", ["", " ", "\n　"])
def test_every_decision_has_a_reason(world_at: WorldAt, reason: str) -> None:
    world = world_at(Stage.REVIEWED)
    export, digest = world.ids["export"], world.ids["digest"]
    with refused(DefinitionError, "reason.missing"):
        review.vote(world.domain, world.session("third"), export, Decision.APPROVE, reason=reason, digest=digest)
    with refused(DefinitionError, "reason.missing"):
        review.approve(world.domain, world.session("officer"), export, reason=reason, digest=digest)
    with refused(DefinitionError, "reason.missing"):
        review.refuse(world.domain, world.session("officer"), export, reason=reason)


@pytest.mark.parametrize("digest", ["", "0" * 64])
def test_a_decision_on_other_evidence_is_none(world_at: WorldAt, digest: str) -> None:
    world = world_at(Stage.IN_REVIEW)
    world.ids["digest"], seen = digest, world.ids["digest"]
    with refused(DefinitionError, "export.not-what-you-saw"):
        vote(world, "reviewer")
    world.ids["digest"] = seen
    vote(world, "reviewer")
    vote(world, "expert")
    world.ids["digest"] = digest
    with refused(DefinitionError, "export.not-what-you-saw"):
        approve_export(world)


@pytest.mark.parametrize("stage", [Stage.EXPORT_REQUESTED, Stage.IN_REVIEW])
def test_the_authority_comes_last(world_at: WorldAt, stage: Stage) -> None:
    world = world_at(stage)
    world.ids.setdefault("digest", "")
    session = world.session("officer")
    with pytest.raises(DefinitionError):
        review.approve(world.domain, session, world.ids["export"], reason="now", digest=world.ids["digest"])
    if stage is Stage.IN_REVIEW:
        vote(world, "reviewer")
        with refused(DefinitionError, "state.cannot-move"):
            approve_export(world)


@pytest.mark.parametrize("stage", [Stage.EXPORT_REQUESTED, Stage.IN_REVIEW, Stage.REVIEWED])
def test_the_authority_refuses_at_any_time_before_its_approval(world_at: WorldAt, stage: Stage) -> None:
    world = world_at(stage)
    review.refuse(world.domain, world.session("deputy"), world.ids["export"], reason="harmful")
    assert export_of(world).state is ExportState.REFUSED
    assert world.log()[-1].payload["reason"] == "harmful"


@pytest.mark.parametrize("stage", [Stage.APPROVED, Stage.RELEASED])
def test_what_is_approved_is_not_refused_afterwards(world_at: WorldAt, stage: Stage) -> None:
    world = world_at(stage)
    with refused(DefinitionError, "state.cannot-move"):
        review.refuse(world.domain, world.session("deputy"), world.ids["export"], reason="too late")


@pytest.mark.parametrize("stage", [Stage.EXPORT_REQUESTED, Stage.REVIEWED, Stage.APPROVED, Stage.RELEASED])
def test_nobody_votes_outside_a_review(world_at: WorldAt, stage: Stage) -> None:
    world = world_at(stage)
    world.ids.setdefault("digest", "")
    count = len(world.log())
    with refused(DefinitionError, "review.not-open"):
        vote(world, "third")
    assert len(world.log()) == count


def test_nobody_votes_on_what_was_refused(world_at: WorldAt) -> None:
    world = world_at(Stage.IN_REVIEW)
    review.refuse(world.domain, world.session("officer"), world.ids["export"], reason="harmful")
    with refused(DefinitionError, "review.not-open"):
        vote(world, "reviewer")
    assert seen_by(world, "reviewer") == []


def test_what_the_gate_blocked_comes_before_nobody(world_at: WorldAt) -> None:
    world = world_at(Stage.EXPORT_REQUESTED)
    found = check(world, world.ids["export"], Verdict.BLOCK)
    assert found.state is ExportState.REFUSED
    world.ids["digest"] = str(found.evidence_digest)
    with refused(DefinitionError, "review.not-open"):
        vote(world, "reviewer")
    assert list((exports.folder_of(world.domain, found.id) / "product").iterdir()) == []


def test_a_reviewer_who_became_an_officer_meanwhile_does_not_approve(world_at: WorldAt) -> None:
    world = world_at(Stage.REVIEWED)
    officer = world.session("officer")
    parties.take_role(world.domain, officer, world.ids["reviewer"], Role.REVIEWER)
    give_role(world, world.ids["reviewer"], Role.AUTHORITY_OFFICER)
    with refused(NotPermittedError, "law.own-matter"):
        approve_export(world, "reviewer")
    approve_export(world)


def test_votes_of_a_person_suspended_since_still_count(world_at: WorldAt) -> None:
    """They were lawful when they were cast, and the log says so."""
    world = world_at(Stage.REVIEWED)
    parties.advance_person(world.domain, world.session("officer"), world.ids["expert"], PersonState.SUSPENDED)
    approve_export(world)
    release.release(world.domain, world.ids["export"])


def test_nothing_is_approved_or_released_for_a_tenant_that_may_not_work(world_at: WorldAt) -> None:
    world = world_at(Stage.REVIEWED)
    officer = world.session("officer")
    parties.suspend(world.domain, officer, world.ids["medica"], "risk found")
    with refused(NotPermittedError, "work.tenant-suspended"):
        approve_export(world)
    parties.restore(world.domain, officer, world.ids["medica"], "mended")
    approve_export(world)
    parties.suspend(world.domain, officer, world.ids["medica"], "risk found again")
    with refused(NotPermittedError, "work.tenant-suspended"):
        release.release(world.domain, world.ids["export"])
    assert not (world.domain.home / "releases" / world.ids["export"]).exists()


def test_a_second_check_of_the_same_export_changes_nothing(world_at: WorldAt) -> None:
    from export_gate import checking
    from export_gate.checking import Made

    world = world_at(Stage.EXPORT_REQUESTED)
    case = checking.open_case(world.domain, world.ids["export"])
    world.ids["digest"] = str(check(world, world.ids["export"]).evidence_digest)
    with refused(DefinitionError, "export.moved-meanwhile"):
        checking._settle(world.domain, case, Made((), (), {}))
    with refused(DefinitionError, "export.checked-already"):
        checking.open_case(world.domain, world.ids["export"])
    vote(world, "reviewer")
    vote(world, "expert")
    approve_export(world)
    release.release(world.domain, world.ids["export"])


def test_another_export_of_the_same_product_is_reviewed_anew(world_at: WorldAt) -> None:
    world = world_at(Stage.RELEASED)
    world.ids["export"] = request_export(world, STATISTIC)
    world.ids["digest"] = str(check(world, world.ids["export"]).evidence_digest)
    with refused(DefinitionError, "export.not-approved"):
        release.release(world.domain, world.ids["export"])
    assert seen_by(world, "officer") == []
