"""Rounds of votes: disagreement, questions, withdrawal; who sees what when; who is barred (E1, law 6)."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from export_gate import exports, notes, release, review
from export_gate.deadlines import WITHIN, standing
from export_gate.notes import NoteKind
from export_gate.review import Decision
from export_gate.rounds import VOTING, following
from export_gate.states import EXPORT, ExportState
from lineage.errors import DefinitionError, GateRefusedError, NotPermittedError, ShuzhaError
from lineage.kinds import Kind
from sandbox.domain import open_domain
from sandbox.roles import Role
from sandbox.states import Owner
from tests.factories import (
    Stage,
    World,
    approve_as_authority,
    approve_as_providers,
    approve_export,
    make_request,
    provision,
    refused,
    vote,
)
from tests.fixtures_domain import WorldAt


def export_of(world: World) -> exports.Export:
    with world.domain.read() as connection:
        return exports.get_export(connection, world.ids["export"])


def disagree(world: World) -> World:
    vote(world, "reviewer", Decision.APPROVE)
    assert vote(world, "expert", Decision.REFUSE).state is ExportState.CONSOLIDATION
    return world


def ask_back(world: World, login: str = "reviewer") -> None:
    notes.return_with_question(world.domain, world.session(login), world.ids["export"], "what for?")


def reply(world: World, login: str = "processor") -> exports.Export:
    return notes.answer(world.domain, world.session(login), world.ids["export"], "to plan clinics")


def votes_seen(world: World, login: str) -> int:
    with world.domain.read() as connection:
        return len(review.visible_reviews(connection, world.session(login), export_of(world)))


def notes_seen(world: World, login: str) -> list[NoteKind]:
    with world.domain.read() as connection:
        return [one.kind for one in notes.visible_notes(connection, world.session(login), export_of(world))]


def test_every_state_has_an_owner_a_time_and_whoever_is_over_has_none() -> None:
    assert set(WITHIN) == set(ExportState)
    assert {state for state in ExportState if EXPORT.owners[state] is Owner.NOBODY} < {
        state for state, within in WITHIN.items() if within is None
    }
    for state in set(ExportState) - VOTING:
        with pytest.raises(ValueError, match="nobody votes"):
            following(state, [Decision.APPROVE])


def test_in_a_consolidation_both_see_both_and_nobody_else_votes(world_at: WorldAt) -> None:
    world = disagree(world_at(Stage.IN_REVIEW))
    assert [votes_seen(world, login) for login in ("reviewer", "expert", "third")] == [2, 2, 2]
    with refused(DefinitionError, "review.only-the-two"):
        vote(world, "third")
    vote(world, "reviewer", Decision.REFUSE)
    assert votes_seen(world, "expert") == 3
    assert vote(world, "expert", Decision.REFUSE).state is ExportState.REFUSED


def test_two_who_agree_after_all_pass_it_on_and_it_is_released(world_at: WorldAt) -> None:
    world = disagree(world_at(Stage.IN_REVIEW))
    vote(world, "expert")
    assert vote(world, "reviewer").state is ExportState.REVIEWED
    approve_export(world)
    release.release(world.domain, world.ids["export"])
    assert export_of(world).state is ExportState.RELEASED


def test_two_who_stay_divided_leave_it_to_the_authority(world_at: WorldAt) -> None:
    world = disagree(world_at(Stage.IN_REVIEW))
    with refused(DefinitionError, "state.cannot-move"):
        approve_export(world)
    vote(world, "reviewer", Decision.REFUSE)
    assert vote(world, "expert", Decision.APPROVE).state is ExportState.DIVIDED
    approve_export(world)
    release.release(world.domain, world.ids["export"])
    assert export_of(world).state is ExportState.RELEASED
    (approval,) = [one for one in world.log() if one.kind is Kind.EXPORT_APPROVED]
    assert approval.payload["divided"] is True


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE export SET round = 1",
        "UPDATE export_review SET decision = 'refuse' WHERE round = 2",
        "DELETE FROM export_review WHERE round = 1",
        "UPDATE export_review SET decision = 'approve' WHERE round = 1",
        f"UPDATE export_review SET evidence_digest = '{'0' * 64}' WHERE round = 1",
    ],
)
def test_what_the_authority_decides_alone_rests_on_two_divided_rounds(world_at: WorldAt, statement: str) -> None:
    from sqlalchemy import text

    world = disagree(world_at(Stage.IN_REVIEW))
    vote(world, "reviewer", Decision.REFUSE)
    vote(world, "expert", Decision.APPROVE)
    approve_export(world)
    with world.domain.database.write() as connection:
        connection.execute(text(statement))
    with refused(GateRefusedError, "export.approvals-incomplete"):
        release.release(world.domain, world.ids["export"])


def test_a_question_ends_the_round_and_everybody_votes_anew(world_at: WorldAt) -> None:
    world = world_at(Stage.IN_REVIEW)
    vote(world, "reviewer")
    ask_back(world, "expert")
    assert export_of(world).state is ExportState.RETURNED
    for login in ("third", "reviewer"):
        with refused(DefinitionError, "review.not-open"):
            vote(world, login)
    assert reply(world).state is ExportState.IN_REVIEW
    assert export_of(world).round == 2
    assert votes_seen(world, "expert") == 0
    assert vote(world, "third").state is ExportState.IN_REVIEW
    assert vote(world, "expert").state is ExportState.REVIEWED
    approve_export(world)
    release.release(world.domain, world.ids["export"])
    assert export_of(world).state is ExportState.RELEASED


@pytest.mark.parametrize("stage", [Stage.EXPORT_REQUESTED, Stage.APPROVED, Stage.RELEASED])
def test_nothing_is_returned_or_answered_out_of_turn(world_at: WorldAt, stage: Stage) -> None:
    world = world_at(stage)
    count = len(world.log())
    with refused(DefinitionError, "state.cannot-move"):
        ask_back(world, "third")
    with refused(DefinitionError, "export.nothing-asked"):
        reply(world)
    assert len(world.log()) == count


def test_tables_replaced_since_the_check_need_a_new_check(world_at: WorldAt) -> None:
    world = world_at(Stage.IN_REVIEW)
    ask_back(world)
    world.hands.forward(hours=1)
    made = make_request(world)
    approve_as_providers(world, made)
    provision(world, approve_as_authority(world, made))
    with refused(DefinitionError, "export.inputs-changed"):
        reply(world)
    assert export_of(world).state is ExportState.RETURNED


@pytest.mark.parametrize("stage", [Stage.EXPORT_REQUESTED, Stage.IN_REVIEW, Stage.REVIEWED])
def test_its_tenant_withdraws_before_the_approval(world_at: WorldAt, stage: Stage) -> None:
    world = world_at(stage)
    with refused(NotPermittedError, "access.not-found"):
        notes.withdraw(world.domain, world.session("rival-processor"), world.ids["export"], reason="ours")
    notes.withdraw(world.domain, world.session("colleague"), world.ids["export"], reason="not needed")
    assert export_of(world).state is ExportState.WITHDRAWN
    with refused(DefinitionError, "state.cannot-move"):
        approve_export(world) if stage is Stage.REVIEWED else review.refuse(
            world.domain, world.session("officer"), world.ids["export"], reason="late"
        )


@pytest.mark.parametrize("stage", [Stage.APPROVED, Stage.RELEASED])
def test_nobody_withdraws_what_is_approved(world_at: WorldAt, stage: Stage) -> None:
    world = world_at(stage)
    with refused(DefinitionError, "state.cannot-move"):
        notes.withdraw(world.domain, world.session("processor"), world.ids["export"], reason="too late")


def test_a_check_that_ends_after_the_withdrawal_changes_nothing(world_at: WorldAt) -> None:
    from export_gate import checking
    from export_gate.checking import Made

    world = world_at(Stage.EXPORT_REQUESTED)
    case = checking.open_case(world.domain, world.ids["export"])
    notes.withdraw(world.domain, world.session("processor"), world.ids["export"], reason="not needed")
    with refused(DefinitionError, "export.moved-meanwhile"):
        checking._settle(world.domain, case, Made((), (), {}))


def test_comments_stay_blind_and_private_ones_stay_inside(world_at: WorldAt) -> None:
    world = world_at(Stage.IN_REVIEW)
    export = world.ids["export"]
    notes.comment(world.domain, world.session("reviewer"), export, "cells are thin", private=True)
    notes.comment(world.domain, world.session("reviewer"), export, "please round", private=False)
    everybody = ("reviewer", "expert", "officer", "auditor", "processor")
    assert {login: len(notes_seen(world, login)) for login in everybody} == {
        "reviewer": 2,
        "expert": 0,
        "officer": 0,
        "auditor": 0,
        "processor": 0,
    }
    disagree(world)
    assert {login: len(notes_seen(world, login)) for login in everybody} == {
        "reviewer": 2,
        "expert": 2,
        "officer": 2,
        "auditor": 2,
        "processor": 1,
    }
    world.hands.forward(seconds=1)
    ask_back(world, "officer")
    assert notes_seen(world, "processor") == [NoteKind.COMMENT, NoteKind.QUESTION]
    with refused(NotPermittedError, "access.not-found"), world.domain.read() as connection:
        exports.get_export(connection, export, world.session("rival-processor"))


@pytest.mark.parametrize("login", ["processor", "colleague", "manager"])
def test_the_authors_organisation_neither_comments_nor_returns(world_at: WorldAt, login: str) -> None:
    world = world_at(Stage.IN_REVIEW)
    for role in (Role.REVIEWER, Role.AUTHORITY_OFFICER):
        session = dataclasses.replace(world.session(login), roles=frozenset({role}))
        with refused(NotPermittedError, "law.own-matter"):
            notes.comment(world.domain, session, world.ids["export"], "fine", private=True)
        with refused(NotPermittedError, "law.own-matter"):
            notes.return_with_question(world.domain, session, world.ids["export"], "why?")


def test_the_author_is_barred_wherever_they_work_now(world_at: WorldAt) -> None:
    world = world_at(Stage.IN_REVIEW)
    moved = dataclasses.replace(
        world.session("processor"), organisation=world.ids["college"], roles=frozenset({Role.REVIEWER})
    )
    with refused(NotPermittedError, "law.own-matter"), world.domain.read() as connection:
        review.check_can_review(connection, moved, export_of(world))


@pytest.mark.parametrize("words", ["", "  ", "\n　"])
def test_nothing_is_said_without_words(world_at: WorldAt, words: str) -> None:
    world = world_at(Stage.IN_REVIEW)
    reviewer, export = world.session("reviewer"), world.ids["export"]
    with refused(DefinitionError, "reason.missing"):
        notes.comment(world.domain, reviewer, export, words, private=True)
    with refused(DefinitionError, "reason.missing"):
        notes.return_with_question(world.domain, reviewer, export, words)
    with refused(DefinitionError, "reason.missing"):
        notes.withdraw(world.domain, world.session("processor"), export, reason=words)


def test_an_answer_and_a_withdrawal_at_the_same_instant_are_one_of_them(world_on: WorldAt) -> None:
    world = world_on(Stage.IN_REVIEW)
    ask_back(world)
    start = Barrier(2)

    def act(login: str) -> str:
        own = World(
            open_domain(world.domain.home, clock=world.hands), world.hands, world.stage, world.ids, world.tokens
        )
        start.wait(timeout=60)
        try:
            if login == "processor":
                reply(own)
            else:
                notes.withdraw(own.domain, own.session(login), own.ids["export"], reason="not needed")
        except ShuzhaError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(act, ["processor", "colleague"]))
    # A withdrawal may follow the answer, never the other way round.
    assert answers in (["done", "done"], ["export.nothing-asked", "done"])
    assert export_of(world).state is ExportState.WITHDRAWN
    assert world.verified().holds


def test_votes_of_a_consolidation_at_the_same_instant_count_once(world_on: WorldAt) -> None:
    world = disagree(world_on(Stage.IN_REVIEW))
    start = Barrier(4)

    def act(login: str) -> str:
        own = World(
            open_domain(world.domain.home, clock=world.hands), world.hands, world.stage, world.ids, world.tokens
        )
        start.wait(timeout=60)
        try:
            vote(own, login)
        except ShuzhaError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(act, ["reviewer", "expert"] * 2))
    assert answers.count("done") == 2
    assert export_of(world).state is ExportState.REVIEWED


def test_an_export_past_its_time_is_shown_as_late(world_at: WorldAt) -> None:
    world = world_at(Stage.EXPORT_REQUESTED)
    assert standing(export_of(world), world.hands()).verdict is None
    world.hands.forward(hours=2)
    silent = standing(export_of(world), world.hands())
    assert (silent.late, silent.verdict, silent.owner) == (True, "cannot check", Owner.PLATFORM)


def test_each_move_starts_the_time_anew(world_at: WorldAt) -> None:
    world = world_at(Stage.IN_REVIEW)
    world.hands.forward(days=6)
    assert not standing(export_of(world), world.hands()).late
    disagree(world)
    world.hands.forward(days=2)
    assert not standing(export_of(world), world.hands()).late
    world.hands.forward(days=2)
    waits = standing(export_of(world), world.hands())
    assert (waits.late, waits.owner) == (True, Owner.REVIEWER)
