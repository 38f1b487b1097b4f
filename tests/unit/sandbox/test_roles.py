"""Who may do what: the whole table, the rules about holding roles, and the twins that ask it."""

from __future__ import annotations

from itertools import combinations

import pytest

from lineage.errors import NotPermittedError
from sandbox.access import Session
from sandbox.messages import Language, text
from sandbox.roles import (
    HOLDERS,
    INCOMPATIBLE,
    PERMISSIONS,
    OrganisationKind,
    Permission,
    Role,
    check_roles,
    holders_of,
)
from tests.factories import refused


# One letter a role, in the order of the enum: officer, registrar (G), reviewer, auditor, provider, manager, processor, maintainer.
TABLE = """agreement:end                 O.......
agreement:sign                O.......
backup:make                   .......K
backup:set-key                O.......
budget:read                   O.RA.MP.
catalogue:read                O.RADMPK
dataset:grade                 ....D...
dataset:import                ....D...
export:approve                O.......
export:inspect                O.R.....
export:read                   O.RA.MP.
export:request                ......P.
export:review                 ..R.....
job:read                      O.RA.MP.
job:submit                    ......P.
key:read                      O..A...K
key:rotate                    .......K
log:read                      ...A....
organisation:register         .G......
organisation:suspend          O.......
party:read                    OG.A....
person:file                   .G......
person:suspend                OG......
promotion:decide              ..R.....
promotion:request             ......P.
request:decide-as-authority   O.......
request:decide-as-provider    ....D...
request:make                  .....M..
role:confirm                  O.......
scenario:open                 O.......
selftest:run                  O......K
token:confirm                 O.......
token:issue                   .G......
view:read                     .....MP.
"""
ROWS = [
    (Permission(name), role, mark != ".")
    for name, marks in (line.split() for line in TABLE.strip().splitlines())
    for role, mark in zip(Role, marks, strict=True)
]


def session(role: Role) -> Session:
    return Session("P-1", "login", "Name", "O-1", "name", next(iter(HOLDERS[role])), frozenset({role}))


def test_the_table_is_whole() -> None:
    assert {(permission, role) for permission, role, _ in ROWS} == {(p, r) for p in Permission for r in Role}


@pytest.mark.parametrize(("permission", "role", "allowed"), ROWS, ids=str)
def test_a_role_may_do_exactly_what_the_table_says(permission: Permission, role: Role, allowed: bool) -> None:
    who = session(role)
    assert who.can(permission) is allowed
    assert (role in holders_of(permission)) is allowed
    if allowed:
        who.check(permission)
        return
    with refused(NotPermittedError, "permission.missing") as refusal:
        who.check(permission)
    named = set(str(refusal.value.params["roles"]).split("|"))
    assert named == {f"label.role.{holder}" for holder in holders_of(permission)}


@pytest.mark.parametrize("permission", Permission)
def test_everything_that_can_be_permitted_is_somebodys_duty(permission: Permission) -> None:
    assert holders_of(permission)


def test_whoever_asks_for_something_never_decides_on_it() -> None:
    asked_and_decided = [
        ({Permission.REQUEST_MAKE}, {Permission.REQUEST_DECIDE_AS_PROVIDER, Permission.REQUEST_DECIDE_AS_AUTHORITY}),
        ({Permission.PROMOTION_REQUEST}, {Permission.PROMOTION_DECIDE}),
        ({Permission.EXPORT_REQUEST}, {Permission.EXPORT_REVIEW, Permission.EXPORT_APPROVE}),
        ({Permission.EXPORT_REVIEW}, {Permission.EXPORT_APPROVE}),
    ]
    for asking, deciding in asked_and_decided:
        for kind in OrganisationKind:
            for roles in _possible(kind):
                held = frozenset[Permission]().union(*(PERMISSIONS[role] for role in roles))
                assert not (held & asking and held & deciding), (kind, roles)


def _possible(kind: OrganisationKind) -> list[tuple[Role, ...]]:
    """Every set of roles that one person of such an organisation can come to hold."""
    held: list[tuple[Role, ...]] = []
    for count in range(len(Role) + 1):
        for roles in combinations(Role, count):
            try:
                for place, role in enumerate(roles):
                    check_roles(kind, roles[:place], role)
            except NotPermittedError:
                continue
            held.append(roles)
    return held


def test_the_maintainer_of_the_machines_holds_nothing_else() -> None:
    assert _possible(OrganisationKind.MAINTAINER) == [(), (Role.MAINTAINER,)]
    keeping = {Permission.BACKUP_MAKE, Permission.KEY_READ, Permission.KEY_ROTATE, Permission.SELFTEST_RUN}
    assert PERMISSIONS[Role.MAINTAINER] - keeping == {Permission.CATALOGUE_READ}


@pytest.mark.parametrize("kind", OrganisationKind)
@pytest.mark.parametrize("role", Role)
def test_a_role_is_held_in_its_own_kind_of_organisation_only(kind: OrganisationKind, role: Role) -> None:
    if kind in HOLDERS[role]:
        check_roles(kind, (), role)
        return
    with refused(NotPermittedError, "role.wrong-organisation"):
        check_roles(kind, (), role)


@pytest.mark.parametrize("pair", sorted(map(sorted, INCOMPATIBLE)), ids="+".join)
def test_two_roles_that_may_not_meet_do_not_in_either_order(pair: list[Role]) -> None:
    first, second = pair
    for held, added in ((first, second), (second, first)):
        with refused(NotPermittedError, "role.incompatible"):
            check_roles(OrganisationKind.AUTHORITY, (held,), added)


def test_every_role_permission_and_kind_has_a_name_in_both_languages() -> None:
    codes = {f"label.role.{role}" for role in Role} | {f"label.kind.{kind}" for kind in OrganisationKind}
    codes |= {f"label.permission.{permission}" for permission in Permission}
    for language in Language:
        assert all(text(code, language) for code in codes)
