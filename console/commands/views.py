"""Provisioned tables on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from console.door import door


def build(grant: str) -> None:
    """Build a grant's views and inputs from the newest versions of its datasets."""
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.REQUEST_DECIDE_AS_AUTHORITY)
    build_tables(grant)


def build_tables(grant: str) -> None:
    """Provision a grant and tell what was made."""
    from desensitize.granting import provision_grant
    from sandbox.engine import jars_folder, spark_session

    here = door()
    made = provision_grant(here.domain, spark_session(jars_folder()), grant)
    here.say("done.provisioned", grant=grant, tables=len(made))


def list_all(scenario: str) -> None:
    """List the views of a scenario's grant."""
    from lineage.clock import stamp
    from sandbox.agreements import get_scenario
    from sandbox.grants import Zone, check_tenant_may_read, live_grant, tables_of

    here = door()
    with here.domain.read() as connection:
        get_scenario(connection, scenario, here.session)
        found = live_grant(connection, scenario, stamp(here.domain.now()))
        check_tenant_may_read(here.session, found)
        tables = tables_of(connection, found, Zone.VIEW)
    here.give_rows(
        ["dataset", "version", "rows", "columns"], [(n, t.version, t.rows, t.columns) for n, t in tables.items()]
    )


def show(scenario: str, dataset: str, rows: Annotated[int, typer.Option(min=1, max=50)] = 5) -> None:
    """Show the first rows of a view, as a named processor, and how each column was treated."""
    from sandbox.viewing import first_rows

    here = door()
    head = first_rows(here.domain, here.session, scenario, dataset, rows)
    if here.as_json:
        here.give({"dataset": dataset, "columns": head.columns, "rows": head.rows, "record": head.record})
        return
    from console.showing import print_table

    print_table(head.columns, head.rows)


COMMANDS: Mapping[str, Callable[..., None]] = {"build": build, "list": list_all, "show": show}
