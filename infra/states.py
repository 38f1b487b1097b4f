"""Write ``docs/states.md``: every state machine as a table and a diagram, from the tables in code; a test keeps the page equal.

``python -m infra.states`` rewrites the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from export_gate.states import EXPORT
from jobs.states import PROMOTION, RUN
from sandbox.messages import Language, text
from sandbox.states import AGREEMENT, GRANT, ORGANISATION, PERSON, REQUEST, SCENARIO, Machine


PAGE = Path(__file__).parents[1] / "docs" / "states.md"
MACHINES: Sequence[Machine[Any]] = (
    ORGANISATION,
    PERSON,
    AGREEMENT,
    SCENARIO,
    REQUEST,
    GRANT,
    RUN,
    PROMOTION,
    EXPORT,
)
_HEAD = """# State machines

What each thing of the domain may become, and who moves it on. The product reads the same tables that this page is written from:
a move that is not here is refused. Written by `python -m infra.states`; a test keeps page and tables equal.
"""


def page() -> str:
    """Give the page's text."""
    return "\n".join([_HEAD, *(_chapter(machine) for machine in MACHINES)])


def _chapter(machine: Machine[Any]) -> str:
    summary = (machine.states.__doc__ or "").strip()
    rows = ["| state | 中文 | English | moved on by | may become |", "|---|---|---|---|---|"]
    for state in machine.states:
        following = ", ".join(f"`{then}`" for then in machine.states if then in machine.following[state]) or "final"
        names = (_label(machine, state, language) for language in Language)
        rows.append(f"| `{state}` | {' | '.join(names)} | {machine.owners[state]} | {following} |")
    diagram = ["```mermaid", machine.mermaid(), "```"]
    return "\n".join([f"## {machine.subject}", "", summary, "", *rows, "", *diagram, ""])


def _label(machine: Machine[Any], state: StrEnum, language: Language) -> str:
    """The word people read; the bare state where the catalogue has none."""
    try:
        return text(f"label.{machine.subject}.{state}", language)
    except KeyError:
        return str(state)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
