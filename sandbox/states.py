"""State machines as tables: each state's owner and the states that may follow. No library: people must be able to read them.

Diagrams in ``docs/states.md`` are generated from these tables, and a test keeps them equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from lineage.errors import DefinitionError


State = TypeVar("State", bound=StrEnum)


class Owner(StrEnum):
    """Who moves a thing on from a state; ``nobody`` owns a final state."""

    AUTHORITY = "authority"
    PROVIDER = "provider"
    TENANT = "tenant"
    REVIEWER = "reviewer"
    PLATFORM = "platform"
    NOBODY = "nobody"


@dataclass(frozen=True)
class Machine(Generic[State]):
    """States, who owns each, and what may follow; total over the enum by construction.

    Attributes:
        subject: the word of what moves, as messages name it (``label.<subject>``).
        states: the enum.
        owners: owner by state.
        following: allowed next states by state.
    """

    subject: str
    states: type[State]
    owners: Mapping[State, Owner]
    following: Mapping[State, frozenset[State]]

    def __post_init__(self) -> None:
        """Refuse a table that misses a state, or a final state somebody owns."""
        members = set(self.states)
        if set(self.owners) != members or set(self.following) != members:
            raise ValueError(f"the machine of {self.subject} does not cover every state")
        for state in members:
            if (self.owners[state] is Owner.NOBODY) != (not self.following[state]):
                raise ValueError(f"{self.subject}: {state} is final exactly when nobody owns it")

    def can_move(self, now: State, then: State) -> bool:
        """Whether ``then`` may follow ``now``."""
        return then in self.following[now]

    def check_move(self, now: State, then: State) -> None:
        """Check a transition.

        Raises:
            DefinitionError: it is not in the table.
        """
        if not self.can_move(now, then):
            raise self.no_move(now, then)

    def no_move(self, now: State, then: State) -> DefinitionError:
        """Give the error of a move that is not allowed, for whoever knows a reason beyond the table."""
        return DefinitionError(
            "state.cannot-move",
            subject=f"label.{self.subject}",
            now=f"label.{self.subject}.{now}",
            then=f"label.{self.subject}.{then}",
        )

    def mermaid(self) -> str:
        """Draw the machine as a Mermaid state diagram."""
        first = next(iter(self.states))
        lines = ["stateDiagram-v2", f"  [*] --> {_name(first)}"]
        for state in self.states:
            lines.append(f"  {_name(state)}: {state} ({self.owners[state]})")
            lines += [f"  {_name(state)} --> {_name(then)}" for then in sorted(self.following[state])]
            if not self.following[state]:
                lines.append(f"  {_name(state)} --> [*]")
        return "\n".join(lines)


def _name(state: StrEnum) -> str:
    return state.value.replace("-", "_")


class OrganisationState(StrEnum):
    """An organisation's standing (A8)."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    ENDED = "ended"


class PersonState(StrEnum):
    """A person's way to work: filed under the real name, vetted, trained, confidentiality signed (A7)."""

    FILED = "filed"
    VETTED = "vetted"
    TRAINED = "trained"
    ACTIVE = "active"
    SUSPENDED = "suspended"


class AgreementState(StrEnum):
    """An agreement's life (A3, A9)."""

    ACTIVE = "active"
    ENDED = "ended"


class ScenarioState(StrEnum):
    """A scenario's life (A5)."""

    OPEN = "open"
    CLOSED = "closed"


class RequestState(StrEnum):
    """A data request's way: every provider, then the authority (A6, law 6)."""

    SUBMITTED = "submitted"
    PROVIDER_APPROVED = "provider-approved"
    APPROVED = "approved"
    REFUSED = "refused"


class GrantState(StrEnum):
    """A grant's life; its end destroys its keys (D11)."""

    ACTIVE = "active"
    ENDED = "ended"


def _next(*states: State) -> frozenset[State]:
    return frozenset(states)


ORGANISATION = Machine(
    "organisation",
    OrganisationState,
    {
        OrganisationState.ACTIVE: Owner.AUTHORITY,
        OrganisationState.SUSPENDED: Owner.AUTHORITY,
        OrganisationState.ENDED: Owner.NOBODY,
    },
    {
        OrganisationState.ACTIVE: _next(OrganisationState.SUSPENDED, OrganisationState.ENDED),
        OrganisationState.SUSPENDED: _next(OrganisationState.ACTIVE, OrganisationState.ENDED),
        OrganisationState.ENDED: _next(),
    },
)
PERSON = Machine(
    "person",
    PersonState,
    dict.fromkeys(PersonState, Owner.AUTHORITY),
    {
        PersonState.FILED: _next(PersonState.VETTED, PersonState.SUSPENDED),
        PersonState.VETTED: _next(PersonState.TRAINED, PersonState.SUSPENDED),
        PersonState.TRAINED: _next(PersonState.ACTIVE, PersonState.SUSPENDED),
        PersonState.ACTIVE: _next(PersonState.SUSPENDED),
        PersonState.SUSPENDED: _next(PersonState.VETTED),
    },
)
AGREEMENT = Machine(
    "agreement",
    AgreementState,
    {AgreementState.ACTIVE: Owner.AUTHORITY, AgreementState.ENDED: Owner.NOBODY},
    {AgreementState.ACTIVE: _next(AgreementState.ENDED), AgreementState.ENDED: _next()},
)
SCENARIO = Machine(
    "scenario",
    ScenarioState,
    {ScenarioState.OPEN: Owner.AUTHORITY, ScenarioState.CLOSED: Owner.NOBODY},
    {ScenarioState.OPEN: _next(ScenarioState.CLOSED), ScenarioState.CLOSED: _next()},
)
REQUEST = Machine(
    "request",
    RequestState,
    {
        RequestState.SUBMITTED: Owner.PROVIDER,
        RequestState.PROVIDER_APPROVED: Owner.AUTHORITY,
        RequestState.APPROVED: Owner.NOBODY,
        RequestState.REFUSED: Owner.NOBODY,
    },
    {
        RequestState.SUBMITTED: _next(RequestState.PROVIDER_APPROVED, RequestState.REFUSED),
        RequestState.PROVIDER_APPROVED: _next(RequestState.APPROVED, RequestState.REFUSED),
        RequestState.APPROVED: _next(),
        RequestState.REFUSED: _next(),
    },
)
GRANT = Machine(
    "grant",
    GrantState,
    {GrantState.ACTIVE: Owner.AUTHORITY, GrantState.ENDED: Owner.NOBODY},
    {GrantState.ACTIVE: _next(GrantState.ENDED), GrantState.ENDED: _next()},
)
