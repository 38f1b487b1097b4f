"""Bounding: every subject's vector is scaled into a ball of integers before it is added to anyone else's (E3, law 3).

``docs/proofs/l2-ball.md`` proves that the totals below never move further than the price says when one subject comes or goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export_gate.statistic.measures import Measure
from export_gate.statistic.price import Price
from export_gate.statistic.question import KeyValue, Question
from export_gate.statistic.statement import statement
from lineage.errors import DefinitionError, GateRefusedError


if TYPE_CHECKING:
    import duckdb


LARGEST_TOTAL = 2**62
INTEGERS = frozenset(f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE")) | {
    "INTEGER",
    "UINTEGER",
}


@dataclass(frozen=True)
class Bounded:
    """The vectors that noise is added to.

    Attributes:
        keys: the groups, sorted; all public groups, or those that occur when the groups are secret.
        totals: for each measure one integer a group, in the fixed-point steps of its price.
    """

    keys: tuple[tuple[KeyValue, ...], ...]
    totals: Mapping[Measure, tuple[int, ...]]


def bounded(connection: duckdb.DuckDBPyConnection, question: Question, price: Price, salt: bytes) -> Bounded:
    """Add up the bounded vectors of all subjects.

    Args:
        connection: DuckDB with the question's tables under their names.
        question: what is asked.
        price: its price; radius and fixed point of every measure are taken from it.
        salt: decides which groups of a subject with too many are left out; secret and new for every answer (law 9).

    Raises:
        DefinitionError: ``statistic.does-not-bind``, the rows do not have the columns or types the question needs.
        GateRefusedError: ``statistic.not-measured``, DuckDB failed; why is not told because it may depend on the data (law 8).
    """
    keys, whole = _columns(connection, question)
    public = None if question.keys is None else [f"CAST($public{i} AS VARCHAR[])" for i in range(len(keys))]
    sql = statement(question.query.source, _quoted(question.subject), keys, whole, price, public)
    parameters: dict[str, Any] = {}
    if question.keys is None:
        parameters["salt"] = salt.hex()
    for position in range(len(keys) if question.keys is not None else 0):
        parameters[f"public{position}"] = [_text(key[position]) for key in question.keys or ()]
    rows = _executed(connection, sql, parameters)
    if rows is None:
        raise GateRefusedError("statistic.not-measured")
    return _collected(question, price, len(keys), rows)


def sort_key(key: tuple[KeyValue, ...]) -> tuple[tuple[int, int, str], ...]:
    """Order groups by key, missing values first: the order in the tables must not be seen (law 8)."""
    return tuple((0, 0, "") if p is None else (1, p, "") if isinstance(p, int) else (2, 0, p) for p in key)


def _collected(question: Question, price: Price, width: int, rows: list[tuple[Any, ...]]) -> Bounded:
    """Bring the totals into the order of the keys; a public group without rows is zero."""
    found = {tuple(row[:width]): row[width:] for row in rows}
    public = {tuple(map(_text, key)): key for key in question.keys or ()}
    keys = sorted(found if question.keys is None else question.keys, key=sort_key)
    lookup = keys if not public else [tuple(map(_text, key)) for key in keys]
    absent = (None,) * len(price.noises)
    totals = {
        noise.measure: tuple(_saturated(found.get(key, absent)[position]) for key in lookup)
        for position, noise in enumerate(price.noises)
    }
    return Bounded(tuple(keys), totals)


def _text(part: KeyValue) -> str | None:
    return None if part is None else str(part)


def _saturated(total: int | None) -> int:
    """Keep a total within 64 bits; cutting components never moves two vectors apart."""
    return max(-LARGEST_TOTAL, min(LARGEST_TOTAL, int(total or 0)))


def _executed(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]] | None:
    """Run SQL; None on failure, so that no exception with DuckDB's text, which may quote a value, is chained (law 8)."""
    import duckdb

    try:
        return list(connection.execute(sql, dict(parameters)).fetchall())
    except duckdb.Error:
        return None


def _columns(connection: duckdb.DuckDBPyConnection, question: Question) -> tuple[list[str], set[str]]:
    """Write the key expressions so that equal means equal text, and find the arguments that are whole numbers; by type alone."""
    keys = [key.expression for key in question.query.keys]
    arguments = sorted({a.argument for a in question.query.aggregates if a.argument is not None})
    asked = ", ".join([_quoted(question.subject), *keys, *arguments])
    select = f"SELECT {asked} FROM ({question.query.source}) AS source_rows"  # noqa: S608 - the query is checked
    described = _executed(connection, f"DESCRIBE {select}", {})
    if described is None:
        raise DefinitionError("statistic.does-not-bind")
    types = [row[1] for row in described[1:]]
    secret = question.keys is None
    columns = [
        key if secret and of_type in INTEGERS else f"CAST({key} AS VARCHAR)"
        for key, of_type in zip(keys, types[: len(keys)], strict=True)
    ]
    pairs = zip(arguments, types[len(keys) :], strict=True)
    return columns, {argument for argument, of_type in pairs if of_type in INTEGERS}


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
