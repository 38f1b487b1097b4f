"""Roles and tokens take two people: neither the registrar nor an officer gets further alone (law 6)."""

from __future__ import annotations

import dataclasses

import pytest

from lineage.errors import DefinitionError, NotPermittedError
from lineage.kinds import Kind
from sandbox import enrolment, parties
from sandbox.access import Session, authenticate, join_halves
from sandbox.roles import HOLDERS, INCOMPATIBLE, PERMISSIONS, OrganisationKind, Permission, Role
from sandbox.states import PersonState
from tests.factories import Stage, World, add_person, give_role, new_token, refused
from tests.fixtures_domain import WorldAt


DECIDING = {
    Permission.AGREEMENT_SIGN,
    Permission.EXPORT_APPROVE,
    Permission.EXPORT_REVIEW,
    Permission.PROMOTION_DECIDE,
    Permission.REQUEST_DECIDE_AS_AUTHORITY,
    Permission.REQUEST_DECIDE_AS_PROVIDER,
    Permission.ROLE_CONFIRM,
    Permission.TOKEN_CONFIRM,
}


def roles_of(world: World, login: str) -> tuple[Role, ...]:
    with world.domain.read() as connection:
        return parties.get_person(connection, login).roles


def both(session: Session) -> Session:
    """A session that holds the roles of both, which no person can come to: the last defence must not rest on the first."""
    return dataclasses.replace(session, roles=frozenset({Role.REGISTRAR, Role.AUTHORITY_OFFICER}))


def test_the_registrar_decides_nothing_and_is_nothing_else() -> None:
    assert not PERMISSIONS[Role.REGISTRAR] & DECIDING
    assert HOLDERS[Role.REGISTRAR] == {OrganisationKind.AUTHORITY}
    beside = {role for role in Role if OrganisationKind.AUTHORITY in HOLDERS[role]} - {Role.REGISTRAR}
    assert beside == {Role.AUTHORITY_OFFICER, Role.REVIEWER, Role.AUDITOR}
    assert all(frozenset({Role.REGISTRAR, role}) in INCOMPATIBLE for role in beside)


def test_a_proposed_role_opens_nothing_before_it_is_confirmed(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    clerk, officer = world.session("clerk"), world.session("officer")
    with world.domain.read() as connection:
        assert enrolment.waiting_roles(world.domain, connection, world.ids["idle"]) == (Role.PROCESSOR,)
    assert roles_of(world, "idle") == ()
    enrolment.confirm_role(world.domain, officer, "idle", Role.PROCESSOR)
    assert roles_of(world, "idle") == (Role.PROCESSOR,)
    with world.domain.read() as connection:
        assert enrolment.waiting_roles(world.domain, connection, world.ids["idle"]) == ()
    given = world.log()[-1]
    assert (given.kind, given.actor, given.payload["proposed_by"]) == (Kind.ROLE_GIVEN, officer.actor, clerk.person)


def test_what_nobody_proposed_is_not_confirmed(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    officer = world.session("officer")
    with refused(DefinitionError, "role.not-proposed"):
        enrolment.confirm_role(world.domain, officer, "idle", Role.TENANT_MANAGER)
    enrolment.confirm_role(world.domain, officer, "idle", Role.PROCESSOR)
    parties.take_role(world.domain, officer, "idle", Role.PROCESSOR)
    with refused(DefinitionError, "role.not-proposed"):
        enrolment.confirm_role(world.domain, officer, "idle", Role.PROCESSOR)


def test_a_proposal_and_a_half_wait_seven_days(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    world.hands.forward(days=7)
    with refused(DefinitionError, "role.not-proposed"):
        enrolment.confirm_role(world.domain, world.session("officer"), "idle", Role.PROCESSOR)
    with refused(DefinitionError, "token.not-offered"):
        enrolment.confirm_token(world.domain, world.session("officer"), "idle")


def test_rules_about_roles_hold_at_the_second_step_too(world_at: WorldAt) -> None:
    """Between the two steps the person may have come to hold another role."""
    world = world_at(Stage.PARTIES)
    add_person(world, "fresh", "authority")
    for role in (Role.REVIEWER, Role.AUDITOR):
        enrolment.propose_role(world.domain, world.session("clerk"), "fresh", role)
    enrolment.confirm_role(world.domain, world.session("officer"), "fresh", Role.REVIEWER)
    with refused(NotPermittedError, "role.incompatible"):
        enrolment.confirm_role(world.domain, world.session("officer"), "fresh", Role.AUDITOR)


def test_one_person_does_not_take_both_steps(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    alone = both(world.session("aide"))
    enrolment.propose_role(world.domain, alone, "idle", Role.TENANT_MANAGER)
    with refused(NotPermittedError, "law.own-matter"):
        enrolment.confirm_role(world.domain, alone, "idle", Role.TENANT_MANAGER)
    enrolment.offer_token(world.domain, alone, "idle")
    with refused(NotPermittedError, "law.own-matter"):
        enrolment.confirm_token(world.domain, alone, "idle")


def test_neither_half_logs_in(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    first = enrolment.offer_token(world.domain, world.session("clerk"), "reviewer")
    world.session("reviewer")  # the old token holds until the second half is drawn
    second = enrolment.confirm_token(world.domain, world.session("officer"), "reviewer")
    with refused(NotPermittedError, "token.revoked"):
        world.session("reviewer")
    with world.domain.read() as connection:
        kept = [str(entry.payload["first"]) for entry in world.log() if entry.kind is Kind.TOKEN_OFFERED]
        assert enrolment.tokens_issued(world.domain, connection, world.ids["reviewer"])[0].at == world.log()[-1].time
    guesses = [first, second, join_halves(second, first), join_halves(first, ""), join_halves("", second)]
    guesses += [join_halves(half, second) for half in kept] + [join_halves(first, half) for half in kept]
    for guess in guesses:
        with refused(NotPermittedError, "token.unknown"):
            authenticate(world.domain, guess)
    assert authenticate(world.domain, join_halves(first, second)).login == "reviewer"


def test_only_the_newest_first_half_counts_and_only_once(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    clerk, officer = world.session("clerk"), world.session("officer")
    older = enrolment.offer_token(world.domain, clerk, "reviewer")
    newer = enrolment.offer_token(world.domain, clerk, "reviewer")
    second = enrolment.confirm_token(world.domain, officer, "reviewer")
    with refused(NotPermittedError, "token.unknown"):
        authenticate(world.domain, join_halves(older, second))
    authenticate(world.domain, join_halves(newer, second))
    with refused(DefinitionError, "token.not-offered"):
        enrolment.confirm_token(world.domain, officer, "reviewer")


def test_a_suspension_voids_the_first_half(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    enrolment.offer_token(world.domain, world.session("clerk"), "reviewer")
    parties.advance_person(world.domain, world.session("officer"), "reviewer", PersonState.SUSPENDED)
    with refused(DefinitionError, "token.not-offered"):
        enrolment.confirm_token(world.domain, world.session("officer"), "reviewer")


@pytest.mark.parametrize("login", ["officer", "clerk"])
def test_everybody_renews_their_token_with_the_help_of_the_other(login: str, world_at: WorldAt) -> None:
    world = world_at(Stage.FOUNDED)
    world.tokens[login] = new_token(world, login)
    assert world.session(login).login == login


@pytest.mark.parametrize(("login", "role"), [("officer", Role.AUTHORITY_OFFICER), ("clerk", Role.REGISTRAR)])
def test_the_last_who_could_admit_anybody_stays(login: str, role: Role, world_at: WorldAt) -> None:
    world = world_at(Stage.FOUNDED)
    other = world.session("clerk" if login == "officer" else "officer")
    with refused(NotPermittedError, "role.last"):
        parties.take_role(world.domain, other, login, role)
    with refused(NotPermittedError, "role.last"):
        parties.advance_person(world.domain, other, login, PersonState.SUSPENDED)
    add_person(world, "second", "authority", role)
    parties.take_role(world.domain, other, login, role)
    assert roles_of(world, login) == ()


def test_a_person_sees_every_token_issued_to_them(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    world.hands.forward(days=1)
    new_token(world, "reviewer")
    with world.domain.read() as connection:
        newest, first = enrolment.tokens_issued(world.domain, connection, world.ids["reviewer"])
    assert newest.at > first.at
    assert (newest.offered_by, newest.confirmed_by) == (world.ids["clerk"], world.ids["officer"])


def test_a_lone_official_cannot_make_a_second_voter(world_at: WorldAt) -> None:
    """The whole attack: an official who wants to cast votes of their own needs a reviewer's role and a reviewer's token."""
    world = world_at(Stage.PARTIES)
    clerk, officer = world.session("clerk"), world.session("officer")
    made = parties.file_person(world.domain, clerk, login="puppet", name="P", organisation_id=world.ids["authority"])
    for state in (PersonState.VETTED, PersonState.TRAINED, PersonState.ACTIVE):
        parties.advance_person(world.domain, clerk, made, state)
    enrolment.propose_role(world.domain, clerk, made, Role.REVIEWER)
    half = enrolment.offer_token(world.domain, clerk, made)
    with refused(NotPermittedError, "permission.missing"):
        enrolment.confirm_role(world.domain, clerk, made, Role.REVIEWER)
    with refused(NotPermittedError, "permission.missing"):
        enrolment.confirm_token(world.domain, clerk, made)
    with refused(NotPermittedError, "token.unknown"):
        authenticate(world.domain, half)
    with refused(NotPermittedError, "permission.missing"):
        parties.file_person(world.domain, officer, login="other", name="P", organisation_id=world.ids["authority"])
    with refused(NotPermittedError, "permission.missing"):
        enrolment.propose_role(world.domain, officer, made, Role.AUDITOR)
    with refused(NotPermittedError, "permission.missing"):
        enrolment.offer_token(world.domain, officer, "reviewer")
    # The innocent twin: both together admit somebody.
    enrolment.confirm_role(world.domain, officer, made, Role.REVIEWER)
    give_role(world, world.ids["colleague"], Role.TENANT_MANAGER)
