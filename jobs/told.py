"""What a tenant hears of a production run, and how many bits that can be at most (law 8, C18, P7).

A run over inputs may end when it likes, fail as it likes and use what it likes: each is a letter it could write to its tenant. So its
end is written down only at the next step of a coarse grid of durations, counted from its start; how it ended is one of two words;
what it used is told in powers of two of what it had reserved. Before its step nothing about the end stands anywhere a person, a
counter or a log could show it: the supervisor keeps silent, so that no door has to. What remains is counted here, as the logarithm of
the number of answers that can be told apart (the capacity of a noiseless channel: Cover and Thomas, *Elements of Information
Theory*, section 7.1), and charged before the run is queued (``jobs.bits``).

Everything here is a pure function; nobody asks a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jobs.states import RUN, RunState
from lineage.canonical import Json


STEPS: Final = (10, 60, 120, 300, 600, 1200, 3600, 10_800, 28_800)
"""Seconds after its start at which a production run's end may become known, as far as its limit goes."""
SETTLING: Final = 120
"""Seconds after its limit at the latest: killing and collecting are over by then."""
LEVELS: Final = 4
"""How many powers of two of use are told apart: all of what was reserved, a half, a quarter, an eighth or less."""
STOP_GRID: Final = 5
"""A stop that came from outside is written down at a whole multiple of so many seconds: killing takes no time that is seen."""

_ENDINGS: Final = 2
_OUTSIDE_THE_GRID: Final = 2


@dataclass(frozen=True)
class Reserved:
    """What a run may use, as its manifest says: seconds, cores, mebibytes."""

    seconds: int
    cores: int
    mebibytes: int

    def __post_init__(self) -> None:
        """Refuse a reservation of nothing."""
        if min(self.seconds, self.cores, self.mebibytes) < 1:
            raise ValueError("a run reserves seconds, cores and memory")


@dataclass(frozen=True)
class Told:
    """What of a run is told: its state, the code of its reason, and what it used."""

    state: RunState
    reason: str
    outcome: Mapping[str, Any] | None


def steps(limit: int) -> tuple[int, ...]:
    """Give the seconds after the start at which the end of a run with this limit may become known; the last is past its limit."""
    return (*(step for step in STEPS if step < limit), limit + SETTLING)


def due(elapsed: float, limit: int) -> int:
    """Give the step at which an end after ``elapsed`` seconds becomes known.

    An end past the last step is the platform's trouble, not the run's; it falls on the doublings of the last step.
    """
    found = next((step for step in steps(limit) if step >= elapsed), None)
    if found is not None:
        return found
    late = 2 * steps(limit)[-1]
    while late < elapsed:
        late *= 2
    return late


def stop_due(elapsed: float) -> int:
    """Give the second at which a stop that was asked after ``elapsed`` seconds is written down; time to kill is inside."""
    return int(elapsed // STOP_GRID + 2) * STOP_GRID


def capacity(limit: int) -> int:
    """Give the bits that the answers about one production run with this limit can carry at most, rounded up.

    Counted: each step, with each ending, each level of processor and each of memory; beside these a run that was stopped from outside
    before anything was told, and one that the platform lost.
    """
    answers = len(steps(limit)) * _ENDINGS * LEVELS * LEVELS + _OUTSIDE_THE_GRID
    return (answers - 1).bit_length()


def metered(reserved: Reserved, seconds: int, cpu_seconds: float, mebibytes: float) -> dict[str, Json]:
    """Give what is told and billed of a run's use: its seconds by the grid, processor and memory in powers of two of the reserved."""
    cpu = reserved.cores * seconds
    return {
        "wall_seconds": seconds,
        "cpu_seconds": _rounded(cpu_seconds, cpu),
        "peak_mebibytes": _rounded(mebibytes, reserved.mebibytes),
    }


def reserved_use(reserved: Reserved, seconds: int) -> dict[str, Json]:
    """Give what is billed of a run that was stopped or lost: all that it had reserved, so that nothing of its use is told."""
    return metered(reserved, seconds, reserved.cores * seconds, reserved.mebibytes)


def tell(
    state: RunState, reason: str, outcome: Mapping[str, Any] | None, *, began: bool, cancel_asked: bool = False
) -> Told:
    """Give what a tenant hears of a production run that stands as the domain has written it down.

    ``began`` says whether its code ever ran: how it failed before is no work of the run and told as it is. A cancelled run is over
    for whoever cancelled it from that moment on, whatever it was doing.
    """
    if cancel_asked:
        return Told(RunState.CANCELLED, "reason.cancelled", _told_outcome(outcome))
    if RUN.following[state] and state is not RunState.QUEUED:
        return Told(RunState.RUNNING, "reason.running", None)
    if state is RunState.FAILED and began:
        return Told(state, "reason.told.failed", _told_outcome(outcome))
    return Told(state, reason, _told_outcome(outcome))


def _told_outcome(outcome: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return None if outcome is None else outcome.get("told")


def _rounded(used: float, whole: int) -> int:
    """Round up to ``whole`` divided by a power of two, at least to its ``LEVELS``-th."""
    for level in range(LEVELS - 1, 0, -1):
        part = -(-whole // (1 << level))
        if used <= part:
            return part
    return whole
