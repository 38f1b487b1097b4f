"""Data requests on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from console.door import door


def make(
    scenario: Annotated[str, typer.Option()],
    item: Annotated[list[str], typer.Option()],
    person: Annotated[list[str], typer.Option()],
    purpose: Annotated[str, typer.Option()],
    until: Annotated[str, typer.Option()],
) -> None:
    """Ask for data: --item provider.table:column,column[:row filter] --person login."""
    from console.formats import read_item, read_until
    from desensitize.granting import check_items
    from sandbox.requests import make as ask
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.REQUEST_MAKE)
    items = [read_item(one) for one in item]
    check_items(here.domain, items)
    identity = ask(
        here.domain,
        here.session,
        scenario_id=scenario,
        items=items,
        persons=person,
        purpose=purpose,
        until=read_until(until),
    )
    here.give({"request": identity, "state": "submitted"})


def narrow(request: str, item: Annotated[str, typer.Option()]) -> None:
    """Cut one item of a request down."""
    from console.formats import read_item
    from desensitize.granting import check_items
    from sandbox.requests import concerning
    from sandbox.requests import narrow as cut

    here = door()
    with here.domain.read() as connection:
        concerning(connection, here.session, request)
    narrower = read_item(item)
    check_items(here.domain, [narrower])
    cut(here.domain, here.session, request, narrower)
    here.say("done.narrowed", request=request)


def approve(request: str, build: Annotated[bool, typer.Option("--build/--no-build")] = True) -> None:
    """Approve as a provider, then as the authority; the authority's approval starts the grant and builds its tables."""
    from sandbox.requests import approve as agree

    here = door()
    grant = agree(here.domain, here.session, request)
    if grant is None:
        here.give({"request": request, "state": "approved-by-provider"})
        return
    if build:
        from console.commands.views import build_tables

        build_tables(grant)
    here.give({"request": request, "state": "approved", "grant": grant})


def refuse(request: str, reason: Annotated[str, typer.Option()]) -> None:
    """Refuse a request with a reason."""
    from sandbox.requests import refuse as deny

    here = door()
    deny(here.domain, here.session, request, reason)
    here.say("done.refused", request=request)


def show(request: str) -> None:
    """Show a request."""
    from sandbox.requests import read_request

    here = door()
    with here.domain.read() as connection:
        one = read_request(connection, here.session, request)
    here.give(
        {
            "request": one.id,
            "scenario": one.scenario,
            "state": here.shown("request", one.state.value),
            "purpose": one.purpose,
            "until": one.until,
            "items": [item.json for item in one.items],
            "reason": one.reason,
        }
    )


def list_all() -> None:
    """List requests."""
    from sandbox.requests import list_requests

    here = door()
    with here.domain.read() as connection:
        found = list_requests(connection, here.session)
    rows = [
        (one.id, here.shown("request", one.state), one.until, [item.dataset for item in one.items], one.purpose)
        for one in found
    ]
    here.give_rows(["request", "state", "until", "items", "purpose"], rows)


COMMANDS: Mapping[str, Callable[..., None]] = {
    "make": make,
    "narrow": narrow,
    "approve": approve,
    "refuse": refuse,
    "show": show,
    "list": list_all,
}
