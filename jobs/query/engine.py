"""Settings under which DuckDB carries out a checked query as it is written."""

from __future__ import annotations

from typing import Any


_SETTINGS = {"disabled_optimizers": "common_subexpressions", "python_enable_replacements": "false"}


def prepare(connection: Any) -> None:
    """Set up a DuckDB connection before the SQL of a checked query runs on it; safe to repeat, also once its settings are locked.

    TRY keeps a failing cast from becoming a message (law 8), but DuckDB 2.0 moves a cast that occurs twice out of the TRYs around it
    (``TRY(text = 1) OR TRY(text = 2)``), so that step of its optimizer is switched off. And a table name that no view answers to
    must never be looked up among Python's variables.
    """
    for name, value in _SETTINGS.items():
        (found,) = connection.execute(f"SELECT current_setting('{name}')").fetchone()
        if str(found).lower() != value:
            connection.execute(f"SET {name} = '{value}'")
