"""The bell: whoever changed what a supervisor looks for touches one file, so that it looks at once and otherwise sleeps.

It carries nothing and may be lost: a supervisor looks in the database by itself now and then.
"""

from __future__ import annotations

import contextlib
from threading import Event
from time import monotonic

from sandbox.domain import Domain


_LOOK_EVERY = 0.1
"""Seconds between two looks at the file: with the look in the database, a queued run is found within 0.2 s."""


def ring(domain: Domain) -> None:
    """Wake whoever waits for the bell."""
    path = domain.home / "run" / "bell"
    # A home that is only read by this process has no supervisor to wake; what was queued is found without the bell too.
    with contextlib.suppress(OSError):
        path.touch(mode=0o600)


def rung(domain: Domain) -> int:
    """Give when the bell was last rung, in nanoseconds; 0 for never."""
    try:
        return (domain.home / "run" / "bell").stat().st_mtime_ns
    except OSError:
        return 0


def wait(domain: Domain, since: int, woken: Event, seconds: float) -> None:
    """Return when the bell was rung after ``since``, when ``woken`` is set, or after so many seconds."""
    deadline = monotonic() + seconds
    while rung(domain) == since and monotonic() < deadline:
        if woken.wait(_LOOK_EVERY):
            return
