"""Whether a run may start, and whether it may go on (A8, D3, law 10)."""

from __future__ import annotations

from time import monotonic

from sqlalchemy import Connection

from jobs.promotion import check_promoted
from jobs.runs import Job, Run, Stage, get_run
from jobs.selftest_held import check_held
from lineage.clock import stamp
from lineage.errors import MissingPartError, NotPermittedError
from sandbox.agreements import reason_not_to_work
from sandbox.domain import Domain
from sandbox.grants import live_grant
from sandbox.parties import get_person
from sandbox.states import PersonState


_LOOK_EVERY = 0.5
"""Seconds between two looks whether work must stop: a suspension stops it well within a few seconds (A8, law 10)."""


def check_can_start(connection: Connection, found: Run, job: Job, at: str, jail: str) -> None:
    """Check, right before it starts, everything that had to hold when the run was queued (law 10).

    ``jail`` is the name of the kind of jail that the run would start in.

    Raises:
        NotPermittedError: the reason, which becomes the run's.
        MissingPartError: production, and the jail was not tried since this machine started, or did not hold (law 7).
    """
    grant = live_grant(connection, job.scenario, at)
    person = get_person(connection, found.queued_by)
    if person.state is not PersonState.ACTIVE or person.id not in grant.persons:
        raise NotPermittedError("grant.not-named", person=person.name)
    if found.stage is Stage.PRODUCTION:
        check_held(connection, jail)
        check_promoted(connection, job)


def can_start(connection: Connection, found: Run, job: Job, at: str, jail: str) -> bool:
    """Whether ``check_can_start`` would let it start."""
    try:
        check_can_start(connection, found, job, at, jail)
    except (NotPermittedError, MissingPartError):
        return False
    return True


def reason_to_stop(connection: Connection, scenario: str, person: str, at: str) -> str | None:
    """Give the code of the reason why work under a scenario for a person may not go on, or None (A8, A9, law 10)."""
    reason = reason_not_to_work(connection, scenario, at)
    if reason is not None:
        return reason
    try:
        grant = live_grant(connection, scenario, at)
    except NotPermittedError:
        return "reason.grant-over"
    found = get_person(connection, person)
    if found.state is not PersonState.ACTIVE or found.id not in grant.persons:
        return "reason.person-may-not"
    return None


class Watch:
    """Asks the database now and then whether work must stop; ``reason`` and ``at`` say why and since when, once it must.

    One work, one thread, one watch. Asked more often than it looks, it gives its last answer.
    """

    def __init__(self, domain: Domain, scenario: str, person: str, run: str | None = None) -> None:
        self.reason: str | None = None
        self.at = ""
        self._domain, self._scenario, self._person, self._run = domain, scenario, person, run
        self._looked = monotonic()

    def __call__(self) -> bool:
        """Tell whether it must stop."""
        if self.reason is None and monotonic() - self._looked >= _LOOK_EVERY:
            self.look()
        return self.reason is not None

    def look(self) -> None:
        """Ask the database now."""
        self._looked = monotonic()
        now = stamp(self._domain.now())
        with self._domain.read() as connection:
            asked = get_run(connection, self._run).cancel_asked if self._run else None
            if asked is not None:
                self.reason, self.at = "reason.cancelled", asked
                return
            self.reason, self.at = reason_to_stop(connection, self._scenario, self._person, now), now
