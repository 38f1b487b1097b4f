"""Reports: a fixed text whose numbers the gate fills in from released products, as HTML and PDF (law 2)."""

from __future__ import annotations
