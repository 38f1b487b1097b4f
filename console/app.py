"""The tree of commands. Each command's module imports what it needs when it runs, never before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer

from console.commands import (
    agreements,
    audit,
    backup,
    budget,
    datasets,
    exports,
    jobs,
    keys,
    lineages,
    parties,
    platform,
    promotions,
    releases,
    requests,
    views,
)
from sandbox.messages import catalogue, language_from_environment


GROUPS: Mapping[str, Mapping[str, Callable[..., None]]] = {
    "config": platform.CONFIG,
    "provider": parties.PROVIDER,
    "tenant": parties.TENANT,
    "organisation": parties.ORGANISATION,
    "person": parties.PERSON,
    "dataset": datasets.COMMANDS,
    "agreement": agreements.AGREEMENT,
    "scenario": agreements.SCENARIO,
    "request": requests.COMMANDS,
    "view": views.COMMANDS,
    "job": jobs.COMMANDS,
    "promotion": promotions.COMMANDS,
    "export": exports.COMMANDS,
    "release": releases.COMMANDS,
    "budget": budget.COMMANDS,
    "lineage": lineages.COMMANDS,
    "audit": audit.COMMANDS,
    "backup": backup.COMMANDS,
    "key": keys.COMMANDS,
}
"""Group → command → function; help texts come from the catalogue under ``help.<group>.<command>``."""


def build() -> Any:
    """Build the command line."""
    app = _group("help.shuzha")
    for name, command in platform.TOP.items():
        app.command(name, help=_help(f"help.{name}"))(command)
    for group, commands in GROUPS.items():
        sub = _group(f"help.{group}")
        for name, command in commands.items():
            sub.command(name, help=_help(f"help.{group}.{name}"))(command)
        app.add_typer(sub, name=group)
    return app


def _group(code: str) -> typer.Typer:
    return typer.Typer(
        help=_help(code), no_args_is_help=True, add_completion=code == "help.shuzha", pretty_exceptions_enable=False
    )


def _help(code: str) -> str:
    return str(catalogue()[code][language_from_environment().value])
