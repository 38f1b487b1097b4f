"""A suspended tenant's people may do nothing at all, with whatever session; only the authority lets them work again (A8, law 10)."""

from __future__ import annotations

import pytest

from lineage.errors import NotPermittedError
from sandbox import parties
from sandbox.access import authenticate
from sandbox.roles import PERMISSIONS, OrganisationKind, Permission, Role
from tests.factories import PEOPLE, Stage, World, refused
from tests.fixtures_domain import WorldAt
from tests.operations import OPERATIONS, Operation


def by_tenant(operation: Operation) -> bool:
    """Whether somebody of the tenant medica may carry it out."""
    return operation.login in PEOPLE and PEOPLE[operation.login][0] == "medica"


OF_TENANTS = [operation for operation in OPERATIONS if by_tenant(operation)]


def suspended(world: World) -> None:
    parties.suspend(world.domain, world.session("officer"), world.ids["medica"], "risk found")


def test_every_permission_of_a_tenant_is_tried() -> None:
    """Those that only read are tried by logging in: below."""
    tried = {operation.permission for operation in OF_TENANTS}
    held = PERMISSIONS[Role.TENANT_MANAGER] | PERMISSIONS[Role.PROCESSOR]
    reading = {one for one in held if one.value.endswith(":read")}
    assert held - reading <= tried
    assert reading - tried <= {
        Permission.BUDGET_READ,
        Permission.CATALOGUE_READ,
        Permission.EXPORT_READ,
        Permission.JOB_READ,
        Permission.VIEW_READ,
    }


@pytest.mark.parametrize("operation", OF_TENANTS, ids=lambda one: one.name)
def test_nothing_can_be_done_with_a_session_opened_before(operation: Operation, world_at: WorldAt) -> None:
    world = world_at(operation.stage)
    session = world.session(operation.login)
    suspended(world)
    before = len(world.log())
    with pytest.raises(NotPermittedError):
        operation.act(world, session)
    assert len(world.log()) == before


@pytest.mark.parametrize("operation", OF_TENANTS, ids=lambda one: one.name)
def test_once_restored_it_can_be_done_again(operation: Operation, world_at: WorldAt) -> None:
    """The control of the test before, and the innocent twin: it was the suspension that refused."""
    world = world_at(operation.stage)
    suspended(world)
    parties.restore(world.domain, world.session("officer"), world.ids["medica"], "mended")
    operation.act(world, world.session(operation.login))


def test_nobody_of_the_tenant_logs_in(world_at: WorldAt) -> None:
    world = world_at(Stage.PROVISIONED)
    logins = [login for login, (employer, _) in PEOPLE.items() if employer == "medica"]
    suspended(world)
    for login in logins:
        with refused(NotPermittedError, "organisation.not-active"):
            authenticate(world.domain, world.tokens[login])
    assert len(logins) > 2


@pytest.mark.parametrize("login", [login for login, (_, role) in PEOPLE.items() if role is not Role.AUTHORITY_OFFICER])
def test_only_the_authority_restores(login: str, world_at: WorldAt) -> None:
    world = world_at(Stage.PARTIES)
    session = world.session(login)
    suspended(world)
    with pytest.raises(NotPermittedError):
        parties.restore(world.domain, session, world.ids["medica"], "we are fine")
    with world.domain.read() as connection:
        assert parties.get_organisation(connection, "medica").state.value == "suspended"
        assert parties.get_organisation(connection, "medica").kind is OrganisationKind.TENANT
