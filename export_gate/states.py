"""The state machine of exports (E1, law 6)."""

from __future__ import annotations

from enum import StrEnum

from sandbox.states import Machine, Owner


class ExportState(StrEnum):
    """An export's way: measured and checked by the gate, two reviewers, the authority, the signed release."""

    REQUESTED = "requested"
    IN_REVIEW = "in-review"
    REVIEWED = "reviewed"
    APPROVED = "approved"
    RELEASED = "released"
    REFUSED = "refused"


EXPORT = Machine(
    "export",
    ExportState,
    {
        ExportState.REQUESTED: Owner.PLATFORM,
        ExportState.IN_REVIEW: Owner.REVIEWER,
        ExportState.REVIEWED: Owner.AUTHORITY,
        ExportState.APPROVED: Owner.PLATFORM,
        ExportState.RELEASED: Owner.NOBODY,
        ExportState.REFUSED: Owner.NOBODY,
    },
    {
        ExportState.REQUESTED: frozenset({ExportState.IN_REVIEW, ExportState.REFUSED}),
        ExportState.IN_REVIEW: frozenset({ExportState.REVIEWED, ExportState.REFUSED}),
        ExportState.REVIEWED: frozenset({ExportState.APPROVED, ExportState.REFUSED}),
        ExportState.APPROVED: frozenset({ExportState.RELEASED, ExportState.REFUSED}),
        ExportState.RELEASED: frozenset(),
        ExportState.REFUSED: frozenset(),
    },
)
