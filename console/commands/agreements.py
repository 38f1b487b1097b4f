"""Agreements and scenarios on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from console.door import door


def sign(tenant: str, terms: Annotated[Path, typer.Option()], until: Annotated[str, typer.Option()]) -> None:
    """Put a signed agreement on record; the terms are a TOML file."""
    from console.formats import read_until
    from sandbox.agreements import sign_agreement

    here = door()
    identity = sign_agreement(here.domain, here.session, tenant=tenant, terms=_terms(terms), until=read_until(until))
    here.give({"agreement": identity})


def end(agreement: str, reason: Annotated[str, typer.Option()]) -> None:
    """End an agreement; with a tenant's last one its keys and data are destroyed."""
    from console.ending_page import page
    from sandbox.ending import end_agreement

    here = door()
    entry = end_agreement(here.domain, here.session, agreement, reason)
    here.say("done.ended", agreement=agreement)
    here.give(
        {"agreement": agreement, "entry": entry.seq, **entry.payload}, shown=page(entry, agreement, here.language)
    )


def show(agreement: str) -> None:
    """Show an agreement and the records of what was destroyed at its end."""
    from console.ending_page import page
    from sandbox.agreements import agreement_of
    from sandbox.ending import destructions

    here = door()
    entries = destructions(here.domain, here.session, agreement)
    with here.domain.read() as connection:
        found = agreement_of(connection, agreement)
    told = {"agreement": found.id, "tenant": found.tenant, "state": found.state.value, "until": found.until}
    pages = [page(one, agreement, here.language) for one in entries]
    lines = [f"{name}: {value}" for name, value in told.items()]
    records = [{"entry": one.seq, "time": one.time, **one.payload} for one in entries]
    here.give({**told, "destructions": records}, shown="\n\n".join(["\n".join(lines), *pages]))


def list_all() -> None:
    """List agreements."""
    from sandbox.agreements import list_agreements

    here = door()
    with here.domain.read() as connection:
        rows = list_agreements(connection, here.session)
    shown = [(one, tenant, here.shown("agreement", state), until) for one, tenant, state, until in rows]
    here.give_rows(["agreement", "tenant", "state", "until"], shown)


def open_one(
    agreement: Annotated[str, typer.Option()],
    name: Annotated[str, typer.Option()],
    purpose: Annotated[str, typer.Option()],
) -> None:
    """Open a scenario under an agreement."""
    from sandbox.agreements import open_scenario

    here = door()
    identity = open_scenario(here.domain, here.session, agreement_id=agreement, name=name, purpose=purpose)
    here.give({"scenario": identity})


def list_scenarios() -> None:
    """List scenarios."""
    from sandbox.agreements import list_scenarios as read

    here = door()
    with here.domain.read() as connection:
        found = read(connection, here.session)
    here.give_rows(
        ["scenario", "name", "purpose", "agreement"], [(s.id, s.name, s.purpose, s.agreement) for s in found]
    )


def _terms(path: Path) -> dict[str, str]:
    import tomllib

    from lineage.errors import DefinitionError

    try:
        return {key: str(value) for key, value in tomllib.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DefinitionError("declaration.not-toml", file=path.name, detail=str(error)[:200]) from error


AGREEMENT: Mapping[str, Callable[..., None]] = {"sign": sign, "end": end, "list": list_all, "show": show}
SCENARIO: Mapping[str, Callable[..., None]] = {"open": open_one, "list": list_scenarios}
