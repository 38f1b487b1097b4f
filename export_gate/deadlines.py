"""Deadlines: how long an export may wait in each state before it is shown as late (E1).

Nothing leaves by waiting, and nothing is refused by it: being late is shown, and whoever is late is named by the state's owner. An
export that the gate did not check in time counts as ``cannot check`` (law 7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from export_gate.exports import Export
from export_gate.finding import Verdict
from export_gate.states import EXPORT, ExportState
from lineage.clock import parse_stamp, stamp
from sandbox.states import Owner


WITHIN: Mapping[ExportState, timedelta | None] = {
    ExportState.REQUESTED: timedelta(hours=1),
    ExportState.IN_REVIEW: timedelta(days=7),
    ExportState.CONSOLIDATION: timedelta(days=3),
    ExportState.DIVIDED: timedelta(days=3),
    ExportState.REVIEWED: timedelta(days=3),
    ExportState.RETURNED: timedelta(days=14),
    ExportState.APPROVED: timedelta(hours=1),
    ExportState.RELEASED: None,
    ExportState.REVOKED: None,
    ExportState.REFUSED: None,
    ExportState.WITHDRAWN: None,
}
"""Time for whoever owns a state to move an export on; total over the states. The gate's own check ends itself after 15 minutes."""


@dataclass(frozen=True)
class Standing:
    """How an export stands in time: who is to act, until when, and whether that is over."""

    owner: Owner
    due: str | None
    late: bool
    verdict: str | None


def standing(found: Export, now: datetime) -> Standing:
    """Give how an export stands at a moment; a check past its time is ``cannot check``."""
    within = WITHIN[found.state]
    if within is None:
        return Standing(Owner.NOBODY, None, late=False, verdict=found.verdict)
    due = parse_stamp(found.moved or found.requested) + within
    late = now > due
    silent = late and found.state is ExportState.REQUESTED
    return Standing(
        EXPORT.owners[found.state], stamp(due), late, Verdict.CANNOT_CHECK.value if silent else found.verdict
    )
