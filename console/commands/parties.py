"""Organisations and persons on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from console.door import door


if TYPE_CHECKING:
    from sandbox.roles import Role


def _register(name: str, title: str, kind: str) -> None:
    from sandbox.parties import register
    from sandbox.roles import OrganisationKind

    here = door()
    identity = register(here.domain, here.session, name=name, title=title, kind=OrganisationKind(kind))
    here.give({"id": identity, "name": name, "kind": kind})


def add_provider(name: str, title: Annotated[str, typer.Option()]) -> None:
    """Register a provider."""
    _register(name, title, "provider")


def add_tenant(name: str, title: Annotated[str, typer.Option()]) -> None:
    """Register a tenant."""
    _register(name, title, "tenant")


def add_organisation(
    name: str, title: Annotated[str, typer.Option()], kind: Annotated[str, typer.Option()] = "expert"
) -> None:
    """Register an expert body or a maintainer."""
    from lineage.errors import DefinitionError

    if kind not in {"expert", "maintainer"}:
        raise DefinitionError("organisation.bad-kind", kind=kind)
    _register(name, title, kind)


def _list(kind: str | None) -> None:
    from sandbox.parties import list_organisations
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.PARTY_READ)
    with here.domain.read() as connection:
        found = [one for one in list_organisations(connection) if kind is None or one.kind == kind]
    rows = [(o.id, o.name, o.title, here.shown("kind", o.kind), here.shown("organisation", o.state)) for o in found]
    here.give_rows(["id", "name", "title", "kind", "state"], rows)


def list_providers() -> None:
    """List providers."""
    _list("provider")


def list_tenants() -> None:
    """List tenants."""
    _list("tenant")


def list_all() -> None:
    """List every organisation."""
    _list(None)


def _identity(name: str) -> str:
    """Find an organisation for those who may know of it; others hear of the permission first, not whether it exists (D1)."""
    from sandbox.parties import get_organisation
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.PARTY_READ)
    with here.domain.read() as connection:
        return get_organisation(connection, name).id


def suspend_tenant(name: str, reason: Annotated[str, typer.Option()]) -> None:
    """Suspend a tenant."""
    from sandbox.parties import suspend

    here = door()
    suspend(here.domain, here.session, _identity(name), reason)
    here.say("done.suspended", name=name)


def restore_tenant(name: str, reason: Annotated[str, typer.Option()]) -> None:
    """Let a suspended tenant work again."""
    from sandbox.parties import restore

    here = door()
    restore(here.domain, here.session, _identity(name), reason)
    here.say("done.organisation-restored", name=name)


def add_person(login: str, name: Annotated[str, typer.Option()], organisation: Annotated[str, typer.Option()]) -> None:
    """File a person."""
    from sandbox.parties import file_person

    here = door()
    identity = file_person(here.domain, here.session, login=login, name=name, organisation_id=_identity(organisation))
    here.give({"id": identity, "login": login, "state": "filed"})


def advance(login: str, to: list[str]) -> None:
    """Move a person on, a step at a time, each with its own entry: vetted, trained, active, suspended."""
    from lineage.errors import DefinitionError
    from sandbox.parties import advance_person
    from sandbox.states import PersonState

    here = door()
    for step in to:
        if step not in set(PersonState):
            raise DefinitionError("person.bad-state", state=step, known=", ".join(PersonState))
    for step in to:
        advance_person(here.domain, here.session, _person(login), PersonState(step))
        here.say("done.advanced", login=login, state=f"label.person.{step}")


def role(login: str, name: str, take: Annotated[bool, typer.Option()] = False) -> None:
    """Propose a role as the registrar, or take one."""
    from sandbox.enrolment import propose_role
    from sandbox.parties import take_role

    here, chosen = door(), _role(name)
    (take_role if take else propose_role)(here.domain, here.session, _person(login), chosen)
    here.say("done.role-taken" if take else "done.role-proposed", login=login, role=f"label.role.{chosen}")


def confirm(login: str, name: str) -> None:
    """Confirm a proposed role as an officer of the authority."""
    from sandbox.enrolment import confirm_role

    here, chosen = door(), _role(name)
    confirm_role(here.domain, here.session, _person(login), chosen)
    here.say("done.role-given", login=login, role=f"label.role.{chosen}")


def _role(name: str) -> Role:
    from lineage.errors import DefinitionError
    from sandbox.roles import Role

    if name not in set(Role):
        raise DefinitionError("role.unknown", role=name, known=", ".join(Role))
    return Role(name)


def new_token(login: str) -> None:
    """Draw a half of a new token: the registrar the first, an officer the second, with which the person's older ones end."""
    from console.tokens import keep_first, keep_second
    from sandbox.enrolment import confirm_token, offer_token
    from sandbox.roles import Permission

    here = door()
    if here.session.can(Permission.TOKEN_CONFIRM):
        path = keep_second(here.home, login, confirm_token(here.domain, here.session, _person(login)))
    else:
        path = keep_first(here.home, login, offer_token(here.domain, here.session, _person(login)))
        here.say("done.half-drawn")
    here.give({"login": login, "token_file": str(path)})


def list_persons() -> None:
    """List persons, with the roles that were proposed for them and wait."""
    from sandbox.enrolment import waiting_roles
    from sandbox.parties import list_organisations
    from sandbox.parties import list_persons as read
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.PARTY_READ)
    with here.domain.read() as connection:
        names = {one.id: one.name for one in list_organisations(connection)}
        rows = [
            (p.login, p.name, names[p.organisation], p.state, p.roles, waiting_roles(here.domain, connection, p.id))
            for p in read(connection)
        ]
    shown = here.shown
    columns = ["login", "name", "organisation", "state", "roles", "proposed"]
    here.give_rows(
        columns,
        [
            (login, name, party, shown("person", state), shown("role", roles), shown("role", proposed))
            for login, name, party, state, roles, proposed in rows
        ],
    )


def me() -> None:
    """Show who the person is here, and every token that was issued to them: a token they never received is an alarm."""
    from sandbox.enrolment import tokens_issued
    from sandbox.parties import names_of

    here = door()
    session = here.session
    with here.domain.read() as connection:
        issued = tokens_issued(here.domain, connection, session.person)
        names = names_of(connection, [drawn for one in issued for drawn in (one.offered_by, one.confirmed_by)])
    rows = [
        {
            "issued": one.at,
            "expires": one.expires,
            "offered_by": names.get(one.offered_by, one.offered_by),
            "confirmed_by": names.get(one.confirmed_by, one.confirmed_by),
        }
        for one in issued
    ]
    told = {"login": session.login, "name": session.name, "organisation": session.organisation_name}
    if here.as_json:
        here.give({**told, "roles": sorted(session.roles), "tokens": rows})
        return
    here.give({**told, "roles": here.shown("role", sorted(session.roles))})
    here.give_rows(["issued", "expires", "offered_by", "confirmed_by"], [tuple(row.values()) for row in rows])


def _person(login: str) -> str:
    """Find a person for those who may know of them."""
    from sandbox.parties import get_person
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.PARTY_READ)
    with here.domain.read() as connection:
        return get_person(connection, login).id


PROVIDER: Mapping[str, Callable[..., None]] = {
    "add": add_provider,
    "list": list_providers,
    "suspend": suspend_tenant,
    "restore": restore_tenant,
}
TENANT: Mapping[str, Callable[..., None]] = {
    "add": add_tenant,
    "list": list_tenants,
    "suspend": suspend_tenant,
    "restore": restore_tenant,
}
ORGANISATION: Mapping[str, Callable[..., None]] = {"add": add_organisation, "list": list_all}
PERSON: Mapping[str, Callable[..., None]] = {
    "add": add_person,
    "advance": advance,
    "role": role,
    "confirm": confirm,
    "token": new_token,
    "list": list_persons,
    "me": me,
}
