"""Logging in: a token opens a session for an active person of an active organisation, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from lineage.errors import NotPermittedError, ShuzhaError
from lineage.kinds import Kind
from sandbox import parties
from sandbox.access import authenticate, check_still_active
from sandbox.schema import token
from sandbox.states import PersonState
from tests.factories import ORGANISATIONS, PEOPLE, Stage, World, add_person, new_token, refused
from tests.fixtures_domain import WorldAt


def test_a_session_says_who_for_whom_and_as_what(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    for login, (organisation, role) in PEOPLE.items():
        session = world.session(login)
        assert (session.login, session.organisation) == (login, world.ids[organisation])
        assert session.roles == {role}
        assert organisation == "authority" or session.kind is ORGANISATIONS[organisation]
        assert session.actor.person == world.ids[login]


def _suspend_person(world: World) -> None:
    parties.advance_person(world.domain, world.session("officer"), world.ids["processor"], PersonState.SUSPENDED)


def _suspend_organisation(world: World) -> None:
    parties.suspend(world.domain, world.session("officer"), world.ids["medica"], "risk found")


def _expire(world: World) -> None:
    world.hands.forward(days=30)


def _renew(world: World) -> None:
    new_token(world, world.ids["processor"])


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_suspend_person, "token.revoked"),
        (_suspend_organisation, "organisation.not-active"),
        (_expire, "token.expired"),
        (_renew, "token.revoked"),
    ],
)
def test_a_token_ends(world_at: WorldAt, spoil: Callable[[World], None], code: str) -> None:
    world = world_at(Stage.PARTIES)
    world.session("processor")
    spoil(world)
    with refused(NotPermittedError, code):
        world.session("processor")


def test_a_token_lasts_to_its_last_millisecond(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    world.hands.forward(days=30, milliseconds=-1)
    world.session("processor")
    world.hands.forward(milliseconds=1)
    with refused(NotPermittedError, "token.expired"):
        world.session("processor")


@pytest.mark.parametrize("secret", ["", "x", "0" * 64, ".", "a.b", "a.b.c"], ids=repr)
def test_an_unknown_token_opens_nothing(world_at: WorldAt, secret: str) -> None:
    with refused(NotPermittedError, "token.unknown"):
        authenticate(world_at(Stage.PARTIES).domain, secret)


def test_the_stored_hash_is_no_token(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    with world.domain.read() as connection:
        digests = list(connection.execute(select(token.c.digest)).scalars())
    assert len(digests) == len(PEOPLE) + 2
    for digest in digests:
        with refused(NotPermittedError, "token.unknown"):
            authenticate(world.domain, digest)


def test_no_token_is_written_to_the_log(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    text = " ".join(str(entry) for entry in world.log())
    assert not [login for login, secret in world.tokens.items() if secret in text]


@pytest.mark.parametrize("state", [state for state in PersonState if state is not PersonState.ACTIVE])
def test_only_an_active_person_works(world_at: WorldAt, state: PersonState) -> None:
    world = world_at(Stage.PARTIES)
    officer = world.session("officer")
    made = add_person(world, "fresh", "medica", to=PersonState.ACTIVE if state is PersonState.SUSPENDED else state)
    if state is PersonState.SUSPENDED:
        parties.advance_person(world.domain, officer, made, state)
        world.tokens["fresh"] = new_token(world, made)
    with refused(NotPermittedError, "person.not-active"):
        world.session("fresh")


@pytest.mark.parametrize("spoil", [_suspend_person, _suspend_organisation])
def test_a_session_opened_before_a_suspension_changes_nothing_after_it(
    world_at: WorldAt, spoil: Callable[[World], None]
) -> None:
    world = world_at(Stage.PARTIES)
    session = world.session("processor")
    with world.domain.change(session.actor) as change:
        check_still_active(change, session)
        change.record(Kind.LOG_VERIFIED, [session.person], {})
    spoil(world)
    with pytest.raises(NotPermittedError), world.domain.change(session.actor) as change:
        check_still_active(change, session)


def test_a_restored_organisation_works_with_its_old_tokens(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    _suspend_organisation(world)
    parties.restore(world.domain, world.session("officer"), world.ids["medica"], "mended")
    assert world.session("processor").login == "processor"


def test_a_suspended_person_needs_every_step_and_a_new_token(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    _suspend_person(world)
    clerk = world.session("clerk")
    for state in (PersonState.VETTED, PersonState.TRAINED, PersonState.ACTIVE):
        with pytest.raises(ShuzhaError):
            world.session("processor")
        parties.advance_person(world.domain, clerk, world.ids["processor"], state)
    with refused(NotPermittedError, "token.revoked"):
        world.session("processor")
    world.tokens["processor"] = new_token(world, world.ids["processor"])
    world.session("processor")
