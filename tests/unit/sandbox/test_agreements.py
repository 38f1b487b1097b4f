"""Agreements, scenarios and grants: what runs, until when, and that an end is an end (A3, A5, A8, A9, D11, law 10)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from lineage.errors import DefinitionError, MissingPartError, NotPermittedError
from lineage.kinds import Kind
from lineage.log import PLATFORM
from sandbox import agreements, catalogue, ending, grants, parties
from sandbox.agreements import REQUIRED_TERMS, reason_not_to_work
from sandbox.grants import Zone
from sandbox.states import AgreementState, GrantState, OrganisationState
from tests.factories import (
    TERMS,
    Stage,
    World,
    add_grant,
    add_scenario,
    at,
    provision,
    refused,
)
from tests.fixtures_domain import WorldAt


@pytest.mark.parametrize("term", REQUIRED_TERMS)
@pytest.mark.parametrize("value", [None, "", "  "], ids=["absent", "empty", "blank"])
def test_an_agreement_holds_every_term(world_at: WorldAt, term: str, value: str | None) -> None:
    world = world_at(Stage.PARTIES)
    terms = {name: text for name, text in TERMS.items() if name != term} | ({} if value is None else {term: value})
    until = world.hands() + timedelta(days=1)
    with refused(DefinitionError, "agreement.terms-missing") as caught:
        agreements.sign_agreement(
            world.domain, world.session("officer"), tenant=world.ids["medica"], terms=terms, until=until
        )
    assert caught.value.params["terms"] == f"label.term.{term}"


@pytest.mark.parametrize("name", ["health", "college", "machines", "authority"])
def test_only_a_tenant_is_a_party(world_at: WorldAt, name: str) -> None:
    world = world_at(Stage.PARTIES)
    with refused(DefinitionError, "agreement.not-a-tenant"):
        add_scenario(world, name, "x")


@pytest.mark.parametrize("days", [0, -1])
def test_an_agreement_ends_in_the_future(world_at: WorldAt, days: int) -> None:
    with refused(DefinitionError, "agreement.past"):
        add_scenario(world_at(Stage.PARTIES), "medica", "x", days=days)


def test_a_scenario_has_a_name_of_its_own_and_a_purpose(world_at: WorldAt) -> None:
    world = world_at(Stage.SCENARIO)
    officer, agreed = world.session("officer"), world.ids["agreement"]
    with refused(DefinitionError, "scenario.name-taken"):
        agreements.open_scenario(world.domain, officer, agreement_id=agreed, name="clinics", purpose="again")
    for name, purpose in (("new", " "), (" ", "purpose")):
        with refused(DefinitionError, "reason.missing"):
            agreements.open_scenario(world.domain, officer, agreement_id=agreed, name=name, purpose=purpose)
    other = world.ids["agreement:rivals"]
    agreements.open_scenario(world.domain, officer, agreement_id=other, name="clinics", purpose="another's")


def test_nothing_new_is_opened_under_an_agreement_that_is_over(world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    add_scenario(world, "medica", "short", days=5)
    agreed = world.ids["agreement:short"]
    world.hands.forward(days=5)
    with refused(NotPermittedError, "agreement.over"):
        agreements.open_scenario(
            world.domain, world.session("officer"), agreement_id=agreed, name="more", purpose="more"
        )


def _let_time_pass(world: World) -> None:
    world.hands.forward(days=20)


def _suspend(world: World) -> None:
    parties.suspend(world.domain, world.session("officer"), world.ids["medica"], "risk found")


def _end(world: World) -> None:
    ending.end_agreement(world.domain, world.session("officer"), world.ids["agreement:short"], "over")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_let_time_pass, "reason.agreement-over"),
        (_suspend, "reason.tenant-suspended"),
        (_end, "reason.scenario-closed"),
    ],
)
def test_work_stops_with_its_ground(world_at: WorldAt, spoil: Callable[[World], None], reason: str) -> None:
    world = world_at(Stage.CATALOGUE)
    scenario = add_scenario(world, "medica", "short", days=20)
    add_grant(world, "medica", "scenario:short")
    with world.domain.read() as connection:
        assert reason_not_to_work(connection, scenario, at(world)) is None
        assert grants.live_grant(connection, scenario, at(world)).scenario == scenario
    spoil(world)
    with world.domain.read() as connection:
        assert reason_not_to_work(connection, scenario, at(world)) == reason
        with refused(NotPermittedError, f"work.{reason.removeprefix('reason.')}"):
            grants.live_grant(connection, scenario, at(world))


def test_a_grant_holds_to_its_last_millisecond(world_at: WorldAt) -> None:
    world = world_at(Stage.GRANTED)
    scenario = world.ids["scenario"]
    world.hands.forward(days=90, milliseconds=-1)
    with world.domain.read() as connection:
        assert grants.live_grant(connection, scenario, at(world)).id == world.ids["grant"]
        world.hands.forward(milliseconds=1)
        with refused(NotPermittedError, "grant.none"):
            grants.live_grant(connection, scenario, at(world))


def test_the_newest_grant_of_a_scenario_holds(world_at: WorldAt) -> None:
    world = world_at(Stage.GRANTED)
    world.hands.forward(seconds=1)
    newer = add_grant(world, "medica", "scenario")
    with world.domain.read() as connection:
        assert grants.live_grant(connection, world.ids["scenario"], at(world)).id == newer


def test_only_who_is_named_uses_a_grant(world_at: WorldAt) -> None:
    world = world_at(Stage.GRANTED)
    with world.domain.read() as connection:
        found = grants.get_grant(connection, world.ids["grant"])
    grants.check_named(world.session("processor"), found)
    for login in ("colleague", "manager"):
        with refused(NotPermittedError, "grant.not-named"):
            grants.check_named(world.session(login), found)
    with refused(NotPermittedError, "access.not-found"):
        grants.check_named(world.session("rival-processor"), found)


def ended(world: World) -> World:
    ending.end_agreement(world.domain, world.session("officer"), world.ids["agreement"], "over")
    return world


def test_the_end_takes_access_keys_and_folders(world_at: WorldAt) -> None:
    world = world_at(Stage.PROVISIONED)
    grant, tenant = world.ids["grant"], world.ids["medica"]
    world.domain.keys.zone_key(tenant, grant, "view")
    ended(world)
    with world.domain.read() as connection:
        assert grants.get_grant(connection, grant).state is GrantState.ENDED
        assert parties.get_organisation(connection, tenant).state is OrganisationState.ENDED
        assert agreements.agreement_of(connection, world.ids["agreement"]).state is AgreementState.ENDED
    with refused(NotPermittedError, "organisation.not-active"):
        world.session("processor")
    assert not (world.domain.home / "sealed" / grant).exists()
    assert not [path for path in world.domain.keys.folder.rglob("*.key") if tenant in path.name or grant in path.name]
    with refused(MissingPartError, "key.missing"):
        world.domain.keys.tenant_key(tenant)
    (entry,) = [entry for entry in world.log() if entry.kind is Kind.KEY_DESTROYED]
    assert set(entry.subjects) == {tenant, grant}
    assert entry.payload["keys"] == [f"grant:{grant}", f"tenant:{tenant}"]
    assert entry.payload["folders_gone"] == [grant]


def test_the_end_of_one_tenant_touches_no_other(world_at: WorldAt) -> None:
    world = world_at(Stage.GRANTED)
    other = add_grant(world, "rival", "scenario:rivals")
    provision(world, other)
    kept = world.domain.keys.zone_key(world.ids["rival"], other, "input")
    ended(world)
    assert world.domain.keys.zone_key(world.ids["rival"], other, "input") == kept
    assert (world.domain.home / "sealed" / other / "input").is_dir()
    with world.domain.read() as connection:
        assert grants.live_grant(connection, world.ids["scenario:rivals"], at(world)).id == other


def test_the_end_of_one_agreement_leaves_the_tenants_other_one(world_at: WorldAt) -> None:
    world = world_at(Stage.PROVISIONED)
    add_scenario(world, "medica", "second")
    second = add_grant(world, "medica", "scenario:second")
    provision(world, second)
    ended(world)
    with world.domain.read() as connection:
        assert parties.get_organisation(connection, world.ids["medica"]).state is OrganisationState.ACTIVE
        assert grants.live_grant(connection, world.ids["scenario:second"], at(world)).id == second
        with refused(NotPermittedError, "work.scenario-closed"):
            grants.live_grant(connection, world.ids["scenario"], at(world))
    assert not world.domain.keys.has_grant(world.ids["grant"])
    world.domain.keys.zone_key(world.ids["medica"], second, "view")
    ending.end_agreement(world.domain, world.session("officer"), world.ids["agreement:second"], "over too")
    assert not world.domain.keys.has_grant(second)
    with refused(MissingPartError, "key.missing"):
        world.domain.keys.tenant_key(world.ids["medica"])


def test_an_end_happens_once_and_has_a_reason(world_at: WorldAt) -> None:
    world = world_at(Stage.PROVISIONED)
    with refused(DefinitionError, "reason.missing"):
        ending.end_agreement(world.domain, world.session("officer"), world.ids["agreement"], " ")
    ended(world)
    with refused(DefinitionError, "agreement.already-ended"):
        ended(world)


def test_an_ended_tenant_signs_no_new_agreement(world_at: WorldAt) -> None:
    """Its keys are gone: a new agreement could never be carried out, and could never end either."""
    world = ended(world_at(Stage.SCENARIO))
    with refused(NotPermittedError, "organisation.not-active"):
        add_scenario(world, "medica", "again")


@pytest.mark.parametrize("left", ["nothing destroyed", "grant key gone", "all keys gone"])
def test_a_destruction_cut_short_is_finished_by_ending_again(world_at: WorldAt, left: str) -> None:
    world = world_at(Stage.PROVISIONED)
    grant, tenant, keys = world.ids["grant"], world.ids["medica"], world.domain.keys
    officer = world.session("officer")
    # The crash: the state is committed, and the process dies somewhere in the destruction.
    with world.domain.change(officer.actor) as change:
        ending._end(change, world.ids["agreement"], "over")
    if left != "nothing destroyed":
        keys.destroy_grant(grant)
    if left == "all keys gone":
        keys.destroy_tenant(tenant)
    ended(world)
    assert not keys.has_grant(grant)
    assert not (world.domain.home / "sealed" / grant).exists()
    with refused(MissingPartError, "key.missing"):
        keys.tenant_key(tenant)
    assert world.kinds().count(Kind.AGREEMENT_ENDED) == 1
    assert world.kinds().count(Kind.KEY_DESTROYED) == 1
    with refused(DefinitionError, "agreement.already-ended"):
        ended(world)


def test_an_ended_grant_gets_neither_key_nor_table(world_at: WorldAt) -> None:
    """Provisioning that began before the end and comes to its writes after it."""
    world = world_at(Stage.GRANTED)
    with world.domain.read() as connection:
        found = grants.get_grant(connection, world.ids["grant"])
        source = catalogue.get_dataset(connection, "health.visits")
    ended(world)
    with refused(NotPermittedError, "grant.none"):
        grants.ensure_key(world.domain, found)
    with refused(MissingPartError, "key.missing"), grants.zone_opened(world.domain, found, Zone.VIEW):
        pass
    with refused(NotPermittedError, "grant.none"), world.domain.change(PLATFORM) as change:
        grants.record_provisioned(
            change, found, Zone.VIEW, source, 0, table="T-1", columns={"clinic": "clinic"}, rows=1, record={}
        )
    assert not world.domain.keys.has_grant(found.id)


def test_a_copy_without_the_keys_opens_nothing_after_the_end(world_at: WorldAt, tmp_path: Path) -> None:
    """A backup taken before the end holds everything but the key folder, as backups do: with it nothing can be read (law 10)."""
    world = world_at(Stage.PROVISIONED)
    backup = tmp_path / "backup"
    shutil.copytree(world.domain.home, backup, ignore=shutil.ignore_patterns("keys"))
    with world.domain.read() as connection:
        found = grants.get_grant(connection, world.ids["grant"])
    with grants.zone_opened(world.domain, found, Zone.INPUT):
        pass
    ended(world)
    shutil.rmtree(world.domain.home / "sealed")
    shutil.copytree(backup / "sealed", world.domain.home / "sealed")
    with refused(MissingPartError, "key.missing"), grants.zone_opened(world.domain, found, Zone.INPUT):
        pass


def test_views_and_inputs_never_lie_under_one_key_or_in_one_folder(world_at: WorldAt) -> None:
    world = world_at(Stage.PROVISIONED)
    keys = {zone: world.domain.keys.zone_key(world.ids["medica"], world.ids["grant"], zone) for zone in Zone}
    assert len(set(keys.values())) == len(Zone)
    with world.domain.read() as connection:
        found = grants.get_grant(connection, world.ids["grant"])
        tables = {zone: grants.tables_of(connection, found, zone) for zone in Zone}
    assert {table.id for table in tables[Zone.VIEW].values()}.isdisjoint(t.id for t in tables[Zone.INPUT].values())
    assert all(set(zone) == {"health.visits", "police.residents"} for zone in tables.values())
