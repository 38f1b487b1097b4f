"""Exact tables: the gate computes them again from the granted tables, checks every cell, and writes them in one form.

``judge_table`` is the whole way; ``recompute``, ``check_cells`` and ``canonical_table`` are its parts.
"""

from __future__ import annotations

from export_gate.table.canonical import CanonicalTable, canonical_table, significant_digits
from export_gate.table.check import CellPolicy, check_cells
from export_gate.table.facts import Cell, Column, Measure, Recomputed
from export_gate.table.product import JudgedTable, judge_table
from export_gate.table.recompute import recompute


__all__ = [
    "CanonicalTable",
    "Cell",
    "CellPolicy",
    "Column",
    "JudgedTable",
    "Measure",
    "Recomputed",
    "canonical_table",
    "check_cells",
    "judge_table",
    "recompute",
    "significant_digits",
]
