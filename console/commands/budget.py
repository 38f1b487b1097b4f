"""The privacy budget and the ledger of bits on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from console.door import door


LIMITS = ("limit", "name", "universe", "spent", "cap", "left", "epsilon_left")
BITS = ("limit", "name", "bits", "cap", "left")


def show() -> None:
    """Show what of the privacy budget and of the bits is spent and left, by limit."""
    from export_gate.budget import overview
    from jobs.bits import bits_overview, caps_of

    here = door()
    with here.domain.read() as connection:
        found = overview(connection, here.session)
        charged = bits_overview(connection, here.session, caps_of(here.domain))
    rows = [
        (
            here.label(f"label.limit.{r.limit}"),
            here.shown("subject-kind", r.name) if r.limit == "universe" else r.name,
            here.shown("subject-kind", r.universe),
            r.spent,
            r.cap,
            r.left,
            r.epsilon_left,
        )
        for r in found
    ]
    bits = [(here.label(f"label.limit.{r.limit}"), r.name, r.spent, r.cap, r.left) for r in charged]
    if here.as_json:
        told = ((LIMITS, rows), (BITS, bits))
        budget, ledger = ([dict(zip(names, row, strict=True)) for row in many] for names, many in told)
        here.give({"rows": budget, "bits": ledger})
        return
    here.give_rows(LIMITS, rows)
    here.give_rows(BITS, bits)


COMMANDS: Mapping[str, Callable[..., None]] = {"show": show}
