"""Votes in rounds: what two votes lead to, and who sees which vote when (E1, law 6).

A round is one voting of two people about one evidence. Where the two disagree, both see both, and the same two vote once more; where
they still disagree, the authority decides. A question to the tenant ends a round: after the answer everybody votes anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from export_gate.exports import Export
from export_gate.states import ExportState


REVIEWERS_NEEDED = 2

VOTING = frozenset({ExportState.IN_REVIEW, ExportState.CONSOLIDATION})
"""States in which votes are cast."""

_BLIND = frozenset({ExportState.REQUESTED, ExportState.IN_REVIEW, ExportState.RETURNED})


class Decision(StrEnum):
    """A reviewer's vote."""

    APPROVE = "approve"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Review:
    """A vote as read."""

    person: str
    decision: Decision
    reason: str
    digest: str
    at: str
    round: int


def of_round(votes: Iterable[Review], number: int) -> list[Review]:
    """Give the votes of one round."""
    return [one for one in votes if one.round == number]


def voters_before(votes: Iterable[Review], found: Export) -> frozenset[str]:
    """Give the two who disagreed: only they vote in a consolidation."""
    return frozenset(one.person for one in of_round(votes, found.round - 1))


def following(state: ExportState, decisions: Sequence[Decision]) -> ExportState:
    """Give the state after a vote.

    Raises:
        ValueError: nobody votes in this state.
    """
    if state not in VOTING:
        raise ValueError(f"nobody votes on an export that is {state}")
    if len(decisions) < REVIEWERS_NEEDED:
        return state
    if len(set(decisions)) > 1:
        return ExportState.CONSOLIDATION if state is ExportState.IN_REVIEW else ExportState.DIVIDED
    return ExportState.REVIEWED if decisions[0] is Decision.APPROVE else ExportState.REFUSED


def agreed(votes: Sequence[Review], found: Export) -> tuple[Review, ...]:
    """Give the last round's votes for the release, where they carry an approval of the authority; else nothing.

    Two who agree carry it. One alone carries it only after a consolidation: the same two, twice divided, about the same evidence.
    """
    last, before = of_round(votes, found.round), of_round(votes, found.round - 1)
    people = {one.person for one in last}
    bound = {one.digest for one in last} == {found.evidence_digest}
    if len(people) != len(last) or len(last) < REVIEWERS_NEEDED or not bound:
        return ()
    if all(one.decision is Decision.APPROVE for one in last):
        return tuple(last)
    twice = _divided(last) and _divided(before) and people == {one.person for one in before}
    same = {one.digest for one in before} == {found.evidence_digest}
    return tuple(one for one in last if one.decision is Decision.APPROVE) if twice and same else ()


def is_open(found: Export, votes: Sequence[Review], number: int) -> bool:
    """Whether what was said in a round may be seen by others: never while two can still vote blindly in it."""
    return found.state not in _BLIND or len(of_round(votes, number)) >= REVIEWERS_NEEDED


def _divided(votes: Sequence[Review]) -> bool:
    return len(votes) == REVIEWERS_NEEDED and {one.decision for one in votes} == set(Decision)
