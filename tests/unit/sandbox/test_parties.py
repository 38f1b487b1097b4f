"""Organisations and persons: names, uids and keys, and nobody acts on themselves under another name."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from lineage.errors import DefinitionError, MissingPartError, NotPermittedError
from sandbox import agreements, catalogue, enrolment, parties
from sandbox.roles import OrganisationKind, Role
from sandbox.schema import organisation
from sandbox.states import OrganisationState, PersonState
from tests.factories import Stage, add_organisation, add_person, give_role, new_token, refused
from tests.fixtures_domain import WorldAt


def test_a_domain_has_one_authority(world_at: WorldAt) -> None:
    world = world_at(Stage.FOUNDED)
    with refused(DefinitionError, "domain.has-authority"):
        parties.found_authority(
            world.domain,
            name="other",
            title="t",
            login="other",
            officer="o",
            registrar_login="another",
            registrar="r",
        )
    with refused(DefinitionError, "domain.has-authority"):
        add_organisation(world, "other", OrganisationKind.AUTHORITY)


def test_every_tenant_has_a_key_and_a_uid_of_its_own(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    with world.domain.read() as connection:
        found = parties.list_organisations(connection)
    tenants = [one for one in found if one.kind is OrganisationKind.TENANT]
    assert len({one.uid for one in tenants}) == len(tenants) == 2
    assert all(one.uid is not None and one.uid >= parties.FIRST_UID for one in tenants)
    assert len({world.domain.keys.tenant_key(one.id) for one in tenants}) == 2
    for one in found:
        if one.kind is not OrganisationKind.TENANT:
            assert one.uid is None
            with refused(MissingPartError, "key.missing"):
                world.domain.keys.tenant_key(one.id)


@pytest.mark.parametrize("name", ["", "A", "é", "a b", "../up", "-", "1-2", "a.b", "a\n", "a" * 65])
def test_a_short_name_is_plain(world_at: WorldAt, name: str) -> None:
    with refused(DefinitionError, "organisation.bad-name"):
        add_organisation(world_at(Stage.FOUNDED), name, OrganisationKind.TENANT)


@pytest.mark.parametrize("name", ["a", "city-1", "1a", "a" * 64])
def test_a_plain_short_name_is_accepted_once(world_at: WorldAt, name: str) -> None:
    world = world_at(Stage.FOUNDED)
    add_organisation(world, name, OrganisationKind.TENANT)
    with refused(DefinitionError, "organisation.name-taken"):
        add_organisation(world, name, OrganisationKind.PROVIDER)


@pytest.mark.parametrize(
    "login", ["", "P-abcdefgh", "Wang", "a/b", "../officer", ".hidden", "a b", "a\n", "王", "a" * 65]
)
def test_a_login_is_neither_a_path_nor_an_id(world_at: WorldAt, login: str) -> None:
    world = world_at(Stage.FOUNDED)
    with refused(DefinitionError, "person.bad-login"):
        parties.file_person(
            world.domain, world.session("clerk"), login=login, name="x", organisation_id=world.ids["authority"]
        )


def test_a_login_is_one_persons(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    with refused(DefinitionError, "person.login-taken"):
        add_person(world, "processor", "rival")


@pytest.mark.parametrize("name", ["id", "login"])
def test_nobody_acts_on_themselves_under_either_name(world_at: WorldAt, name: str) -> None:
    world = world_at(Stage.PARTIES)
    officer, clerk = world.session("officer"), world.session("clerk")
    own, clerks = ({"id": one.person, "login": one.login}[name] for one in (officer, clerk))
    before = len(world.log())
    with refused(NotPermittedError, "law.own-matter"):
        parties.advance_person(world.domain, officer, own, PersonState.SUSPENDED)
    with refused(NotPermittedError, "law.own-matter"):
        enrolment.propose_role(world.domain, clerk, clerks, Role.AUDITOR)
    with refused(NotPermittedError, "law.own-matter"):
        enrolment.confirm_role(world.domain, officer, own, Role.AUDITOR)
    with refused(NotPermittedError, "law.own-matter"):
        parties.take_role(world.domain, officer, own, Role.AUTHORITY_OFFICER)
    assert len(world.log()) == before


def test_what_is_done_by_name_is_done(world_at: WorldAt) -> None:
    """A change that is on the log under a name nobody has would be a log that lies."""
    world = world_at(Stage.PARTIES)
    officer = world.session("officer")
    parties.suspend(world.domain, officer, "medica", "risk found")
    parties.advance_person(world.domain, officer, "third", PersonState.SUSPENDED)
    parties.take_role(world.domain, officer, "expert", Role.REVIEWER)
    give_role(world, "expert", Role.AUDITOR)
    token = new_token(world, "expert")
    assert token not in world.tokens.values()
    with world.domain.read() as connection:
        assert parties.get_organisation(connection, "medica").state is OrganisationState.SUSPENDED
        assert parties.get_person(connection, "third").state is PersonState.SUSPENDED
        assert parties.get_person(connection, "expert").roles == (Role.AUDITOR,)
    named = {name for entry in world.log()[-9:] for name in entry.subjects}
    assert named == {world.ids["medica"], world.ids["third"], world.ids["expert"]}


def test_a_role_is_given_once_and_taken_once(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    officer, expert = world.session("officer"), world.ids["expert"]
    with refused(DefinitionError, "role.held"):
        enrolment.propose_role(world.domain, world.session("clerk"), expert, Role.REVIEWER)
    parties.take_role(world.domain, officer, expert, Role.REVIEWER)
    with refused(DefinitionError, "role.not-held"):
        parties.take_role(world.domain, officer, expert, Role.REVIEWER)


@pytest.mark.parametrize(
    ("login", "role", "code"),
    [
        ("reviewer", Role.AUDITOR, "role.incompatible"),
        ("auditor", Role.AUTHORITY_OFFICER, "role.incompatible"),
        ("deputy", Role.REVIEWER, "role.incompatible"),
        ("keeper", Role.PROCESSOR, "role.wrong-organisation"),
        ("processor", Role.MAINTAINER, "role.wrong-organisation"),
        ("processor", Role.REVIEWER, "role.wrong-organisation"),
        ("doctor", Role.AUTHORITY_OFFICER, "role.wrong-organisation"),
    ],
)
def test_a_role_that_may_not_be_held_is_not_given(world_at: WorldAt, login: str, role: Role, code: str) -> None:
    world = world_at(Stage.PARTIES)
    with refused(NotPermittedError, code):
        enrolment.propose_role(world.domain, world.session("clerk"), world.ids[login], role)


def test_a_tenants_person_may_hold_both_its_roles(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    give_role(world, world.ids["processor"], Role.TENANT_MANAGER)
    assert world.session("processor").roles == {Role.PROCESSOR, Role.TENANT_MANAGER}


def test_the_authority_cannot_be_suspended(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    with refused(NotPermittedError, "law.own-matter"):
        parties.suspend(world.domain, world.session("officer"), world.ids["authority"], "why not")


@pytest.mark.parametrize("reason", ["", " ", "\n\t", "　"])
def test_a_suspension_has_a_reason(world_at: WorldAt, reason: str) -> None:
    world = world_at(Stage.PARTIES)
    with refused(DefinitionError, "reason.missing"):
        parties.suspend(world.domain, world.session("officer"), world.ids["medica"], reason)


def test_uids_go_on_counting_after_an_end(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    with world.domain.read() as connection:
        highest = max(connection.execute(select(organisation.c.uid).where(organisation.c.uid.is_not(None))).scalars())
    third = add_organisation(world, "third-tenant", OrganisationKind.TENANT)
    with world.domain.read() as connection:
        assert parties.get_organisation(connection, third).uid == highest + 2


@pytest.mark.parametrize("text", ["", " ", "a\nb", "a\x00b", "\x1b[2J", "a\u202eb", "长" * 201], ids=repr)
def test_a_name_is_one_printable_line_that_fits(world_on: WorldAt, text: str) -> None:
    """The same on both databases: one would cut or refuse what the other keeps."""
    world = world_on(Stage.SCENARIO)
    officer, clerk = world.session("officer"), world.session("clerk")
    count = len(world.log())
    with refused(DefinitionError, "text.bad-line"):
        parties.register(world.domain, clerk, name="new", title=text, kind=OrganisationKind.TENANT)
    with refused(DefinitionError, "text.bad-line"):
        parties.file_person(world.domain, clerk, login="new", name=text, organisation_id=world.ids["medica"])
    with pytest.raises(DefinitionError):
        agreements.open_scenario(
            world.domain, officer, agreement_id=world.ids["agreement"], name=text, purpose="to plan"
        )
    with refused(DefinitionError, "text.bad-line"):
        catalogue.declare(
            world.domain,
            world.session("doctor"),
            name="health.beds",
            title=text,
            columns=[("beds", "int")],
            schema={},
            subject=None,
        )
    assert len(world.log()) == count


def test_the_longest_name_that_fits_is_kept(world_on: WorldAt) -> None:
    world = world_on(Stage.PARTIES)
    made = add_person(world, "long", "medica")
    parties.register(
        world.domain, world.session("clerk"), name="a" * 64, title="长" * 200, kind=OrganisationKind.PROVIDER
    )
    with world.domain.read() as connection:
        assert parties.get_organisation(connection, "a" * 64).title == "长" * 200
        assert parties.get_person(connection, "long").id == made
