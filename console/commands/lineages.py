"""Lineage on the command line: where a release came from, where a column went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.door import door


if TYPE_CHECKING:
    from lineage.answer import Answer


def _answer(node: str, *, forward: bool) -> Answer:
    from lineage.graph import Graph
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.LOG_READ)
    with here.domain.read() as connection:
        graph = Graph.read(connection)
    return graph.destinations(node) if forward else graph.origins(node)


def show(node: str, forward: Annotated[bool, typer.Option("--to/--from")] = False) -> None:
    """List what a node came from, or with --to where it went: release:E-…, dataset:health.visits@0, health.visits#cost."""
    here = door()
    answer = _answer(node, forward=forward)
    if here.as_json:
        here.give(answer.to_json())
        return
    columns = ["depth", "node", "title", "date", "columns", "entry", "time"]
    here.give_rows(columns, [[row[name] for name in columns] for row in answer.rows()])
    people = _names()
    entry_columns = ["entry", "time", "kind", "person", "organisation"]
    rows = [[people.get(row[name], row[name]) for name in entry_columns] for row in answer.entry_rows()]
    here.give_rows(entry_columns, rows)


def export(
    node: str, into: Annotated[Path, typer.Option()], forward: Annotated[bool, typer.Option("--to/--from")] = False
) -> None:
    """Write a lineage answer as .svg, .mmd (Mermaid) or .json, by the file's name."""
    import json

    from lineage.errors import DefinitionError
    from lineage.picture import mermaid, svg
    from sandbox.messages import text

    here = door()
    answer = _answer(node, forward=forward)

    def say(code: str, /, **params: str | int) -> str:
        return text(code, here.language, **params)

    writers: Mapping[str, Callable[[], str]] = {
        ".svg": partial(svg, answer, say),
        ".mmd": partial(mermaid, answer, say),
        ".json": lambda: json.dumps(answer.to_json(), ensure_ascii=False, indent=2),
    }
    if into.suffix not in writers:
        raise DefinitionError("typed.picture", known=", ".join(writers))
    into.write_text(writers[into.suffix](), encoding="utf-8")
    here.give({"file": str(into), "nodes": len(answer.nodes)})


def _names() -> dict[str, str]:
    """Names of persons and organisations by id, for people to read."""
    from sandbox.parties import list_organisations, list_persons

    with door().domain.read() as connection:
        found = {one.id: f"{one.name}({one.login})" for one in list_persons(connection)}
        return found | {one.id: one.title for one in list_organisations(connection)}


COMMANDS: Mapping[str, Callable[..., None]] = {"show": show, "export": export}
