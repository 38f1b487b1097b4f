"""What nobody has to ask for: terms that have passed are ended, and what a crash cut short is finished (A9, D11, law 10)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lineage.errors import ShuzhaError
from sandbox.domain import Domain
from sandbox.ending import end_what_is_over
from sandbox.rotation import settle


EVERY = 60.0
"""Seconds between two rounds: a grant's key outlives its term by no more than that."""


def keep_house(domain: Domain) -> int:
    """Go round once; gives for how many keys and tenants something was to be done.

    Raises:
        MissingPartError: a key could not be destroyed, or the key service is down; the next round tries again.
    """
    return settle(domain) + end_what_is_over(domain)


@contextmanager
def housekeeping(domain: Domain, trouble: Callable[[ShuzhaError], None], every: float = EVERY) -> Iterator[None]:
    """Go round at once and then now and then for the time of a block, in a thread of its own; ``trouble`` hears what failed."""
    over = threading.Event()

    def work() -> None:
        while True:
            try:
                keep_house(domain)
            except ShuzhaError as error:
                trouble(error)
            if over.wait(every):
                return

    thread = threading.Thread(target=work, name="housekeeping")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
