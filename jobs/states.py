"""The state machines of runs and promotions."""

from __future__ import annotations

from enum import StrEnum

from sandbox.states import Machine, Owner


class RunState(StrEnum):
    """A run's way. Of a production run its tenant hears only whether it waits, runs or how it ended, and late (``jobs.told``, law 8)."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    COLLECTING = "collecting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class PromotionState(StrEnum):
    """A promotion's way: the reviewed step by which exactly this code may run in production (D3)."""

    REQUESTED = "requested"
    APPROVED = "approved"
    REFUSED = "refused"


RUN = Machine(
    "run",
    RunState,
    {
        RunState.QUEUED: Owner.PLATFORM,
        RunState.PREPARING: Owner.PLATFORM,
        RunState.RUNNING: Owner.PLATFORM,
        RunState.COLLECTING: Owner.PLATFORM,
        RunState.SUCCEEDED: Owner.NOBODY,
        RunState.FAILED: Owner.NOBODY,
        RunState.CANCELLED: Owner.NOBODY,
    },
    {
        RunState.QUEUED: frozenset({RunState.PREPARING, RunState.CANCELLED, RunState.FAILED}),
        # Back to the queue only from here: no line of the tenant's code has run yet, so nothing runs twice.
        RunState.PREPARING: frozenset({RunState.RUNNING, RunState.QUEUED, RunState.FAILED, RunState.CANCELLED}),
        RunState.RUNNING: frozenset({RunState.COLLECTING, RunState.FAILED, RunState.CANCELLED}),
        RunState.COLLECTING: frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}),
        RunState.SUCCEEDED: frozenset(),
        RunState.FAILED: frozenset(),
        RunState.CANCELLED: frozenset(),
    },
)
PROMOTION = Machine(
    "promotion",
    PromotionState,
    {
        PromotionState.REQUESTED: Owner.REVIEWER,
        PromotionState.APPROVED: Owner.NOBODY,
        PromotionState.REFUSED: Owner.NOBODY,
    },
    {
        PromotionState.REQUESTED: frozenset({PromotionState.APPROVED, PromotionState.REFUSED}),
        PromotionState.APPROVED: frozenset(),
        PromotionState.REFUSED: frozenset(),
    },
)
LIVE = frozenset({RunState.PREPARING, RunState.RUNNING, RunState.COLLECTING})
"""States a supervisor was in the middle of."""
