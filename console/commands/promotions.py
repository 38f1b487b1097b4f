"""Promotions on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from console.door import door


def request(job: str) -> None:
    """Ask that a job may be carried out in production."""
    from jobs.promotion import request as ask

    here = door()
    here.give({"promotion": ask(here.domain, here.session, job), "state": "requested"})


def show(promotion: str) -> None:
    """Show a promotion: what would run, and its difference from the last promoted version."""
    from jobs.promotion import get_promotion, previous_digest
    from jobs.runs import get_job
    from jobs.spec import diff
    from jobs.supervisor import frozen_folder

    here = door()
    with here.domain.read() as connection:
        found = get_promotion(connection, promotion, here.session)
        job = get_job(connection, found.job)
        before = previous_digest(connection, job)
    folder = frozen_folder(here.domain, job)
    change = diff(None if before is None else folder.with_name(before), folder)
    here.give(
        {"promotion": found.id, "job": job.id, "digest": job.digest, "state": found.state.value, "difference": change},
        shown=f"{found.id}  {here.shown('promotion', found.state)}  {job.name}  {job.digest}\n\n{change}",
    )


def approve(promotion: str, reason: Annotated[str, typer.Option()]) -> None:
    """Approve a promotion as a reviewer."""
    _decide(promotion, reason, approve=True)


def refuse(promotion: str, reason: Annotated[str, typer.Option()]) -> None:
    """Refuse a promotion as a reviewer."""
    _decide(promotion, reason, approve=False)


def _decide(promotion: str, reason: str, *, approve: bool) -> None:
    from jobs.promotion import decide

    here = door()
    decide(here.domain, here.session, promotion, approve=approve, reason=reason)
    here.say("done.decided", subject=promotion)


def list_all() -> None:
    """List promotions."""
    from jobs.promotion import list_promotions

    here = door()
    with here.domain.read() as connection:
        found = list_promotions(connection, here.session)
    here.give_rows(
        ["promotion", "job", "state", "reason"],
        [(p.id, p.job, here.shown("promotion", p.state), p.reason) for p in found],
    )


COMMANDS: Mapping[str, Callable[..., None]] = {
    "request": request,
    "show": show,
    "approve": approve,
    "refuse": refuse,
    "list": list_all,
}
