"""The state machine of exports: states, who moves each on, what may follow (E1, law 6)."""

from __future__ import annotations

from enum import StrEnum

from sandbox.states import Machine, Owner


class ExportState(StrEnum):
    """An export's way: checked by the gate, two reviewers, the authority, the signed release, which may be revoked."""

    REQUESTED = "requested"
    IN_REVIEW = "in-review"
    CONSOLIDATION = "consolidation"
    DIVIDED = "divided"
    REVIEWED = "reviewed"
    RETURNED = "returned"
    APPROVED = "approved"
    RELEASED = "released"
    REVOKED = "revoked"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


def _next(*states: ExportState) -> frozenset[ExportState]:
    return frozenset(states)


_ENDED_EARLY = (ExportState.REFUSED, ExportState.WITHDRAWN)

EXPORT = Machine(
    "export",
    ExportState,
    {
        ExportState.REQUESTED: Owner.PLATFORM,
        ExportState.IN_REVIEW: Owner.REVIEWER,
        ExportState.CONSOLIDATION: Owner.REVIEWER,
        ExportState.DIVIDED: Owner.AUTHORITY,
        ExportState.REVIEWED: Owner.AUTHORITY,
        ExportState.RETURNED: Owner.TENANT,
        ExportState.APPROVED: Owner.PLATFORM,
        ExportState.RELEASED: Owner.AUTHORITY,
        ExportState.REVOKED: Owner.NOBODY,
        ExportState.REFUSED: Owner.NOBODY,
        ExportState.WITHDRAWN: Owner.NOBODY,
    },
    {
        ExportState.REQUESTED: _next(ExportState.IN_REVIEW, *_ENDED_EARLY),
        ExportState.IN_REVIEW: _next(
            ExportState.REVIEWED, ExportState.CONSOLIDATION, ExportState.RETURNED, *_ENDED_EARLY
        ),
        ExportState.CONSOLIDATION: _next(
            ExportState.REVIEWED, ExportState.DIVIDED, ExportState.RETURNED, *_ENDED_EARLY
        ),
        ExportState.DIVIDED: _next(ExportState.APPROVED, ExportState.RETURNED, *_ENDED_EARLY),
        ExportState.REVIEWED: _next(ExportState.APPROVED, ExportState.RETURNED, *_ENDED_EARLY),
        ExportState.RETURNED: _next(ExportState.IN_REVIEW, *_ENDED_EARLY),
        ExportState.APPROVED: _next(ExportState.RELEASED, ExportState.REFUSED),
        ExportState.RELEASED: _next(ExportState.REVOKED),
        ExportState.REVOKED: _next(),
        ExportState.REFUSED: _next(),
        ExportState.WITHDRAWN: _next(),
    },
)
"""Two who disagree see both votes and vote once more (consolidation); still divided, the authority decides with a reason."""
