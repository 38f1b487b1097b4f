"""What one lane of a tenant may use at one time: a fixed share, so that no admission depends on what others do (D1, P1)."""

from __future__ import annotations

import os
from dataclasses import dataclass

from jobs.manifest_values import MIB
from jobs.spec import Run
from lineage.errors import DefinitionError, MissingPartError
from sandbox.domain import Domain


@dataclass(frozen=True)
class Share:
    """Processor cores and memory that a run may ask for; settings ``[share]`` of the domain, ``cores`` and ``memory_mib``."""

    cores: int
    memory_mib: int

    def __post_init__(self) -> None:
        """Refuse a share in which nothing could run."""
        if any(type(one) is not int or one < 1 for one in (self.cores, self.memory_mib)):
            raise ValueError("a share is whole numbers of cores and mebibytes")


def share_of(domain: Domain) -> Share:
    """Read the share from the settings; where they say nothing, every core (four at least) and half of the machine's memory.

    Raises:
        MissingPartError: the settings are no whole numbers (law 7).
    """
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 // MIB
    usual = {"cores": max(os.cpu_count() or 1, 4), "memory_mib": half}
    try:
        return Share(**{**usual, **domain.settings.get("share", {})})
    except (TypeError, ValueError) as error:
        raise MissingPartError("share.bad-settings") from error


def check_share(share: Share, asked: Run) -> None:
    """Check that a run asks for no more than the share.

    Raises:
        DefinitionError: it asks for more; says how much there is.
    """
    memory = -(-asked.memory_bytes // MIB)
    if asked.cores > share.cores or memory > share.memory_mib:
        raise DefinitionError(
            "share.exceeded",
            run=asked.name,
            cores=asked.cores,
            memory=memory,
            share_cores=share.cores,
            share_memory=share.memory_mib,
        )


def can_run(share: Share, asked: Run) -> bool:
    """Whether ``check_share`` would let it run."""
    try:
        check_share(share, asked)
    except DefinitionError:
        return False
    return True
