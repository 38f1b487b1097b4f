"""Waiting for a run: this process carries its own tenant's lane when nobody else does, else it watches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jobs.runs import Run, get_run
from jobs.supervisor import carry_until
from sandbox.engine import jars_folder


if TYPE_CHECKING:
    from console.door import Door

_LOOK_EVERY = 0.3


def wait_for_run(here: Door, identity: str) -> Run:
    """Return when a run is over, as far as this person may know; gives it as it is told."""
    while not (found := heard(here, identity)).over:
        if not carry_until(here.domain, here.jail, jars_folder(), identity):
            time.sleep(_LOOK_EVERY)
    return found


def heard(here: Door, identity: str) -> Run:
    """Give a run as this person may hear of it (law 8)."""
    with here.domain.read() as connection:
        return get_run(connection, identity, here.session)
