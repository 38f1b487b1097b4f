"""How a query is refused: with the place, the line and the reason, never with data."""

from __future__ import annotations

from sqlglot import exp

from lineage.errors import DefinitionError, Param


def line_of(node: exp.Expr | None) -> int:
    """Give the line of a node; sqlglot marks names and functions, so look inside it first, then around it. 1 when unknown."""
    while node is not None:
        for inner in node.walk():
            line = inner.meta.get("line")
            if line:
                return int(line)
        node = node.parent
    return 1


def refused(code: str, place: str, node: exp.Expr | None, **params: Param) -> DefinitionError:
    """Build the refusal ``query.<code>``; ``place`` is the step's name or ``product``."""
    return DefinitionError(f"query.{code}", place=place, line=line_of(node), **params)


def kind(node: exp.Expr) -> str:
    """Name a construct for its author: the function's own name where it has one, else the parser's word."""
    if isinstance(node, exp.Anonymous):
        return str(node.this)[:60]
    return type(node).__name__
