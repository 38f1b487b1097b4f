"""The jail: one run of untrusted code, alone with what its grant names (D1, D2, P1; laws 1 and 7)."""

from __future__ import annotations

from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.runtimes import Runtime, python_runtime, spark_runtime, with_sources
from jobs.jail.spec import Capability, Collected, Ending, Jail, JailSpec, Limits, Outcome


__all__ = [
    "BubblewrapJail",
    "Capability",
    "Collected",
    "Ending",
    "Jail",
    "JailSpec",
    "Limits",
    "Outcome",
    "Runtime",
    "python_runtime",
    "spark_runtime",
    "with_sources",
]
