"""Waiting for a run: this process supervises when nobody else does, else it watches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jobs.runs import get_run
from jobs.states import RUN
from jobs.supervisor import Supervisor, supervisor_lock
from sandbox.engine import jars_folder


if TYPE_CHECKING:
    from console.door import Door

_LOOK_EVERY = 0.3


def wait_for_run(here: Door, identity: str) -> None:
    """Return when a run is over."""
    while not _over(here, identity):
        with supervisor_lock(here.domain) as mine:
            if mine:
                Supervisor(here.domain, here.jail, jars_folder()).drain()
                continue
        time.sleep(_LOOK_EVERY)


def _over(here: Door, identity: str) -> bool:
    with here.domain.read() as connection:
        return not RUN.following[get_run(connection, identity).state]
