"""Organisations and persons on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from console.door import door


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
    here.session.check(Permission.ORGANISATION_REGISTER)
    with here.domain.read() as connection:
        found = [one for one in list_organisations(connection) if kind is None or one.kind == kind]
    here.give_rows(["id", "name", "title", "kind", "state"], [(o.id, o.name, o.title, o.kind, o.state) for o in found])


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
    here.session.check(Permission.ORGANISATION_REGISTER)
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
    here.say("done.restored", name=name)


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
    """Give or take a role."""
    from lineage.errors import DefinitionError
    from sandbox.parties import give_role, take_role
    from sandbox.roles import Role

    here = door()
    if name not in set(Role):
        raise DefinitionError("role.unknown", role=name, known=", ".join(Role))
    (take_role if take else give_role)(here.domain, here.session, _person(login), Role(name))
    here.say("done.role-taken" if take else "done.role-given", login=login, role=f"label.role.{name}")


def new_token(login: str) -> None:
    """Issue a new token; the person's older ones end."""
    from sandbox.parties import new_token as issue

    here = door()
    secret = issue(here.domain, here.session, _person(login))
    path = here.home / "tokens" / f"{login}.token"
    path.touch(mode=0o600)
    path.write_text(secret, encoding="ascii")
    here.give({"login": login, "token_file": str(path)})


def list_persons() -> None:
    """List persons."""
    from sandbox.parties import list_organisations
    from sandbox.parties import list_persons as read
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.PERSON_FILE)
    with here.domain.read() as connection:
        names = {one.id: one.name for one in list_organisations(connection)}
        rows = [(p.login, p.name, names[p.organisation], p.state, p.roles) for p in read(connection)]
    here.give_rows(["login", "name", "organisation", "state", "roles"], rows)


def _person(login: str) -> str:
    """Find a person for those who may know of them."""
    from sandbox.parties import get_person
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.PERSON_FILE)
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
    "token": new_token,
    "list": list_persons,
}
