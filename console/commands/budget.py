"""The privacy budget on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from console.door import door


def show() -> None:
    """Show what of the privacy budget is spent and left, by limit."""
    from export_gate.budget import overview

    here = door()
    with here.domain.read() as connection:
        rows = overview(connection, here.session)
    here.give_rows(
        ["limit", "name", "universe", "spent", "cap", "left", "epsilon_left"],
        [
            (
                here.label(f"label.limit.{r.limit}"),
                here.shown("subject-kind", r.name) if r.limit == "universe" else r.name,
                here.shown("subject-kind", r.universe),
                r.spent,
                r.cap,
                r.left,
                r.epsilon_left,
            )
            for r in rows
        ],
    )


COMMANDS: Mapping[str, Callable[..., None]] = {"show": show}
