"""Full dotted names in a Python module, aliases of imports undone."""

from __future__ import annotations

import ast
from collections.abc import Iterator


def imported_names(tree: ast.AST) -> dict[str, str]:
    """Map each name that an import binds to what it stands for: ``np`` → ``numpy``, ``now`` → ``datetime.datetime.now``."""
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                bound[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return bound


def dotted(node: ast.expr) -> str:
    """Give ``a.b.c`` for a chain of attributes on a name, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def full_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Give line and full dotted name of every name that the module uses or imports."""
    bound = imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = dotted(node)
            head, _, rest = name.partition(".")
            if head in bound:
                yield node.lineno, f"{bound[head]}.{rest}" if rest else bound[head]
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
