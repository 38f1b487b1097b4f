"""Charts: a Vega-Lite description of a strict subset, drawn by the gate from a released product's own numbers (B22, law 2)."""

from __future__ import annotations
