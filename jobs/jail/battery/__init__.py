"""The escape battery: hostile programs run in the jail against baits planted on the host (D1, D2; law 1).

A jail is believed because these fail in it, on this very machine, and succeed without it. ``jobs.selftest`` runs them as an ordinary
job of two tenants and files the result; the tests run them against jails from which one protection was taken away.
"""

from __future__ import annotations

from jobs.jail.battery.baits import Planted, Surroundings, planted
from jobs.jail.battery.host import TWO_WALLS, Result, run_jailed, run_unjailed
from jobs.jail.battery.mining import run_mines


__all__ = ["TWO_WALLS", "Planted", "Result", "Surroundings", "planted", "run_jailed", "run_mines", "run_unjailed"]
