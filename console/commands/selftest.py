"""The selftest on the command line: try the jail on this machine, file the result, show the last one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from console.door import door
from lineage.errors import Exit, MissingPartError


if TYPE_CHECKING:
    from console.door import Door
    from jobs.selftest import Filed
    from jobs.selftest_result import ProbeResult, SelftestResult


def selftest(
    show: Annotated[bool, typer.Option("--show")] = False,
) -> None:
    """Try the jail on this machine and file the signed result, or --show the last one."""
    here = door()
    if show:
        _show_last(here)
        return
    from jobs.selftest import check_may_run, file_by_person, run_selftest

    check_may_run(here.session)
    here.say("selftest.running")
    _tell(here, file_by_person(here.domain, here.session, run_selftest(here.domain)))


def file_at_start(here: Door) -> None:
    """Try the jail at the start of the platform, where no result that held is on the log for this start of the machine.

    A probe that got out does not keep the platform from starting: production stays off, everything else goes on.
    """
    from jobs.jail.backends import name_of
    from jobs.selftest import ensure_held, last_filed
    from jobs.selftest_held import can_produce

    with here.domain.read() as connection:
        if can_produce(connection, name_of(here.domain.settings)):
            return
    here.say("selftest.running")
    ensure_held(here.domain)
    filed = last_filed(here.domain)
    if filed is not None:
        _say(here, filed)


def _show_last(here: Door) -> None:
    from jobs.selftest import last_filed
    from sandbox.roles import Permission

    here.session.check(Permission.CATALOGUE_READ)
    filed = last_filed(here.domain)
    if filed is None:
        raise MissingPartError("selftest.nothing-filed")
    _tell(here, filed)


def _tell(here: Door, filed: Filed) -> None:
    """Answer with a result, and refuse with 30 when it does not let production run."""
    from jobs.selftest_held import check_result

    if here.as_json:
        here.give({**filed.result.json(), "entry": filed.seq, "note": filed.note})
        if not filed.result.holds:
            raise SystemExit(int(Exit.MISSING_PART))
        return
    _tables(here, filed.result)
    _say(here, filed)
    check_result(filed.result)


def _say(here: Door, filed: Filed) -> None:
    result = filed.result
    count, left = len(result.probes), len(result.open)
    if result.holds:
        here.say("selftest.passed", count=count, seconds=result.seconds, seq=filed.seq)
    else:
        here.say("selftest.failed", count=count, open=left, seq=filed.seq)


def _tables(here: Door, result: SelftestResult) -> None:
    """Show a line a group, and a line for each probe that was not held."""
    from jobs.selftest_result import GROUPS, Control

    rows = []
    for group in GROUPS:
        found = [one for one in result.probes if one.group == group]
        escaped = sum(one.control is Control.ESCAPED for one in found)
        held = sum(one.proved for one in found)
        rows.append((here.label(f"selftest.group.{group}"), len(found), held, len(found) - held, escaped))
    here.give_rows(["group", "probe", "held", "not-held", "unjailed"], rows)
    left = [one for one in result.probes if not one.proved]
    if left:
        here.give_rows(["group", "probe", "state", "control", "detail"], _rows(here, left))


def _rows(here: Door, probes: Sequence[ProbeResult]) -> list[tuple[str, str, str, str, str]]:
    return [
        (
            here.label(f"selftest.group.{one.group}"),
            here.label(f"label.probe.{one.probe}"),
            here.label(f"selftest.state.{one.state}"),
            here.label(f"selftest.control.{one.control}"),
            one.detail,
        )
        for one in probes
    ]
