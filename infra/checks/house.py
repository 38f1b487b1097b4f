"""House rules on the product's Python: sizes, and who may use a clock, randomness, the screen, a net for all errors, Spark's reader.

Complexity, annotations and docstrings are ruff's and mypy's business. Exceptions are listed with their reasons in ``allowed.toml``;
a file's exception
that it does not need any more is a finding too, while a folder's is a policy and may wait for its first use.
"""

from __future__ import annotations

import ast
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeGuard

from infra.checks.finding import ROOT, Finding, parsed_sources, read_allowed
from infra.checks.names import full_names


MODULE_LINES = 400
FUNCTION_LINES = 60
FUNCTION_LINES_P90 = 30

CLOCK = (
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "pandas.Timestamp.now",
    "pandas.Timestamp.today",
)
RANDOMNESS = ("random", "numpy.random", "uuid.uuid1", "uuid.uuid4", "sklearn.utils.check_random_state")
OUTPUT = ("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__")
READERS = {"read", "readStream"}
READS = {
    "csv",
    "format",
    "jdbc",
    "json",
    "load",
    "option",
    "options",
    "orc",
    "parquet",
    "schema",
    "table",
    "text",
    "xml",
}
SESSIONS = {"spark", "session", "spark_session", "_spark", "_session"}

Breach = tuple[int, str]
Rule = Callable[[ast.Module], Iterator[Breach]]


def _uses(names: Iterable[str]) -> Rule:
    banned = tuple(names)

    def rule(tree: ast.Module) -> Iterator[Breach]:
        for line, name in full_names(tree):
            if any(name == word or name.startswith(f"{word}.") for word in banned):
                yield line, name

    return rule


def _output(tree: ast.Module) -> Iterator[Breach]:
    yield from _uses(OUTPUT)(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno, "print"


def _is_suppress(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "suppress"


def _passes_on(handler: ast.ExceptHandler) -> bool:
    # Tidying up and letting the error go on hides nothing.
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _broad_except(tree: ast.Module) -> Iterator[Breach]:
    broad = {"Exception", "BaseException"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and not _passes_on(node):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or (isinstance(kind, ast.Name) and kind.id in broad) for kind in kinds):
                yield node.lineno, "catches every error"
        elif _is_suppress(node) and any(isinstance(kind, ast.Name) and kind.id in broad for kind in node.args):
            yield node.lineno, "suppresses every error"


def _spark_read(tree: ast.Module) -> Iterator[Breach]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value
        if isinstance(owner, ast.Attribute) and owner.attr in READERS and node.attr in READS:
            yield node.lineno, f"{owner.attr}.{node.attr}"
        name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
        if name in SESSIONS and node.attr in {"sql", "table"} | READERS:
            yield node.lineno, f"{name}.{node.attr}"


RULES: Mapping[str, Rule] = {
    "clock": _uses(CLOCK),
    "randomness": _uses(RANDOMNESS),
    "output": _output,
    "broad-except": _broad_except,
    "spark-read": _spark_read,
}


def _allowing(places: Iterable[str], path: str) -> str | None:
    fitting = (place for place in places if path == place or (place.endswith("/") and path.startswith(place)))
    return next(fitting, None)


def check_use(sources: Iterable[tuple[str, ast.Module]], allowed: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """Find uses of what only listed places may use, and listed files that do not use it."""
    needed: set[tuple[str, str]] = set()
    for path, tree in sources:
        for rule, breaches in RULES.items():
            place = _allowing(allowed.get(rule, {}), path)
            found = sorted(set(breaches(tree)))
            if place is not None and found:
                needed.add((rule, place))
            elif place is None:
                yield from (Finding(path, line, rule, text) for line, text in found)
    for rule in sorted(set(allowed) - set(RULES)):
        yield Finding("infra/checks/allowed.toml", 1, rule, "no such rule")
    for rule in RULES:
        files = {place for place in allowed.get(rule, {}) if not place.endswith("/")}
        for place in sorted(files - {place for name, place in needed if name == rule}):
            yield Finding("infra/checks/allowed.toml", 1, rule, f"{place} does not need its exception")


def function_lengths(tree: ast.Module) -> list[tuple[int, str, int]]:
    """List line, name and length in lines (decorators left out, docstring included) of every function."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [(node.lineno, node.name, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions]


def check_sizes(path: str, source: str, tree: ast.Module) -> Iterator[Finding]:
    """Find a module that is too long and functions that are."""
    lines = source.count("\n")
    if lines > MODULE_LINES:
        yield Finding(path, 1, "module-size", f"{lines} lines, at most {MODULE_LINES}")
    for line, name, length in function_lengths(tree):
        if length > FUNCTION_LINES:
            yield Finding(path, line, "function-size", f"{name} has {length} lines, at most {FUNCTION_LINES}")


def check_usual_size(package: str, lengths: list[int]) -> Iterator[Finding]:
    """Find a package whose longest tenth of functions begins too high."""
    if len(lengths) < 2:
        return
    ninth_decile = statistics.quantiles(lengths, n=10, method="inclusive")[8]
    if ninth_decile > FUNCTION_LINES_P90:
        text = f"a tenth of the functions is longer than {ninth_decile:.0f} lines, at most {FUNCTION_LINES_P90}"
        yield Finding(package, 1, "function-size", text)


def check(root: Path = ROOT) -> list[Finding]:
    """Hold the product's Python to the house rules."""
    sources, findings = parsed_sources(root)
    lengths: dict[str, list[int]] = {}
    for source in sources:
        findings += check_sizes(source.path, source.text, source.tree)
        package = lengths.setdefault(source.path.split("/")[0], [])
        package += [length for _, _, length in function_lengths(source.tree)]
    for name, found in sorted(lengths.items()):
        findings += check_usual_size(name, found)
    findings += check_use([(source.path, source.tree) for source in sources], read_allowed())
    return sorted(findings)
