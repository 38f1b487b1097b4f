"""The escape battery: hostile programs run in the jail against baits planted on the host (D1, D2; law 1).

A jail is believed because these fail in it, on this very machine, and succeed without it. The tests run both; the platform may run the
first at its start.
"""

from __future__ import annotations

from jobs.jail.battery.host import Planted, Result, planted, run_jailed, run_unjailed


__all__ = ["Planted", "Result", "planted", "run_jailed", "run_unjailed"]
