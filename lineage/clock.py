"""The one clock. An operation takes the time once and passes it on, so that no decision has two (law 5)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime


Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Give the present time in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """Write a moment as it is stored: RFC 3339 in UTC with milliseconds, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_stamp(text: str) -> datetime:
    """Read a stored moment."""
    return datetime.fromisoformat(text)
