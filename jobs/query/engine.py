"""Settings under which DuckDB carries out a checked query as it is written."""

from __future__ import annotations

from typing import Any

from lineage.errors import MissingPartError


_SETTINGS = {"disabled_optimizers": "common_subexpressions", "python_enable_replacements": "false"}


SETTINGS = {"disabled_optimizers": "common_subexpressions", "python_enable_replacements": "false"}


def prepare(connection: Any) -> None:
    """Set up a DuckDB connection before the SQL of a checked query runs on it; doing it again changes nothing.

    TRY keeps a failing cast from becoming a message (law 8), but DuckDB 2.0 moves a cast that occurs twice out of the TRYs around it
    (``TRY(text = 1) OR TRY(text = 2)``), so that step of its optimizer is switched off. And a table name that no view answers to
    must never be looked up among Python's variables.

    Raises:
        MissingPartError: ``query.engine-unprepared``; the settings were locked before they were made (law 7).
    """
    import duckdb

    for name, value in SETTINGS.items():
        if _setting(connection, name) == value:
            continue
        try:
            connection.execute(f"SET {name} = '{value}'")
        except duckdb.Error as error:
            raise MissingPartError("query.engine-unprepared", setting=name) from error


def _setting(connection: Any, name: str) -> str:
    return str(connection.execute(f"SELECT current_setting('{name}')").fetchone()[0]).lower()
