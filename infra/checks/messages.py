"""The message catalogue against the sources: every code that is raised can be shown in both languages, and none is left over."""

from __future__ import annotations

import ast
import re
import string
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.checks.finding import PRODUCT, ROOT, Finding, parsed_sources, tracked_files


LANGUAGES = ("zh", "en")
FIELDS = ("what", "why", "fix")
CODE = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9]+(-[a-z0-9]+)*)+")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Templates, scripts and settings name codes as well.
OTHER_SOURCES = {".html", ".jinja", ".js", ".toml", ".json"}


@dataclass(frozen=True)
class Use:
    """A code in the source: where, whether it is raised as an error, and the parameters it gets (``None`` = not to be known)."""

    path: str
    line: int
    code: str
    is_error: bool
    params: frozenset[str] | None


def _literal(node: ast.AST | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _params(node: ast.Call) -> frozenset[str] | None:
    if any(keyword.arg is None for keyword in node.keywords):
        return None
    return frozenset(keyword.arg for keyword in node.keywords if keyword.arg is not None)


def uses_in(path: str, tree: ast.AST) -> Iterator[Use]:
    """Find the codes that a module raises (``…Error("code", …)``), shows (``text("code", …)``) or gives as ``reason=``."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func).split(".")[-1]
        first = _literal(node.args[0]) if node.args else ""
        if CODE.fullmatch(first) and (function.endswith("Error") or function == "text"):
            yield Use(path, node.lineno, first, function.endswith("Error"), _params(node))
        reason = next((_literal(keyword.value) for keyword in node.keywords if keyword.arg == "reason"), "")
        if CODE.fullmatch(reason):
            yield Use(path, node.lineno, reason, is_error=False, params=None)


def mentions_in(tree: ast.AST) -> Iterator[re.Pattern[str]]:
    """Give a pattern for each string that can name a code: a literal, or an f-string with its gaps open."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [re.escape(_literal(part)) if isinstance(part, ast.Constant) else ".+" for part in node.values]
            if "." in _literal(node.values[0]):
                yield re.compile("".join(parts))
        elif CODE.fullmatch(_literal(node)):
            yield re.compile(re.escape(_literal(node)))


def texts(entry: Mapping[str, Any], language: str) -> list[str]:
    """Give every text of an entry in one language; empty when it has none."""
    value = entry.get(language, [])
    return [value] if isinstance(value, str) else [str(value[field]) for field in FIELDS if field in value]


def placeholders(lines: Iterable[str]) -> frozenset[str]:
    """Give the names in braces of the texts."""
    fields = (name for line in lines for _, name, _, _ in string.Formatter().parse(line) if name is not None)
    return frozenset(re.split(r"[.\[]", name)[0] for name in fields)


def check_entry(path: str, code: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    """Find an entry that lacks a language or a part, or whose languages do not say the same."""
    if not CODE.fullmatch(code):
        yield Finding(path, 1, "message-code", f"{code} is not area.kebab-case")
    for language in LANGUAGES:
        found = texts(entry, language)
        wanted = 1 if isinstance(entry.get(language), str) else len(FIELDS)
        if len(found) != wanted or not all(line.strip() for line in found):
            yield Finding(path, 1, "message-parts", f"{code} lacks a part in {language}")
    if not any(CHINESE.search(line) for line in texts(entry, "zh")):
        yield Finding(path, 1, "message-language", f"{code} has no Chinese in zh")
    if isinstance(entry.get("zh"), str) != isinstance(entry.get("en"), str):
        yield Finding(path, 1, "message-parts", f"{code} is an error in one language and a plain message in the other")
    zh, en = (placeholders(texts(entry, language)) for language in LANGUAGES)
    if zh != en:
        yield Finding(path, 1, "message-params", f"{code} has {sorted(zh)} in zh and {sorted(en)} in en")


def check_uses(uses: Iterable[Use], entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Find codes that the catalogue cannot show as they are used."""
    for use in uses:
        entry = entries.get(use.code)
        if entry is None:
            yield Finding(use.path, use.line, "message-missing", f"{use.code} is not in the catalogue")
            continue
        if use.is_error and isinstance(entry.get("zh"), str):
            yield Finding(
                use.path, use.line, "message-parts", f"{use.code} is raised but does not say what, why and fix"
            )
        lacking = placeholders(texts(entry, "zh")) - use.params if use.params is not None else frozenset()
        if lacking:
            yield Finding(use.path, use.line, "message-params", f"{use.code} is used without {sorted(lacking)}")


def read_catalogue(folder: Path, root: Path) -> tuple[dict[str, tuple[str, Mapping[str, Any]]], list[Finding]]:
    """Read every entry with the file it is in; an entry in two files is a finding."""
    entries: dict[str, tuple[str, Mapping[str, Any]]] = {}
    findings: list[Finding] = []
    for path in sorted(folder.glob("*.toml")):
        name = path.relative_to(root).as_posix()
        for code, entry in tomllib.loads(path.read_text(encoding="utf-8")).items():
            if code in entries:
                findings.append(Finding(name, 1, "message-code", f"{code} is also in {entries[code][0]}"))
            entries[code] = (name, entry)
    return entries, findings


def check_unused(
    entries: Mapping[str, tuple[str, Mapping[str, Any]]], patterns: Iterable[re.Pattern[str]], other: str
) -> Iterator[Finding]:
    """Find entries that no source can name."""
    left = set(entries)
    for pattern in patterns:
        left = {code for code in left if not pattern.fullmatch(code)}
    for code in sorted(left):
        if not re.search(rf"(?<![\w.-]){re.escape(code)}(?![\w-])", other):
            yield Finding(entries[code][0], 1, "message-unused", f"{code} is named by no source")


def check(root: Path = ROOT) -> list[Finding]:
    """Hold catalogue and sources to each other."""
    folder = root / "sandbox" / "messages"
    entries, findings = read_catalogue(folder, root)
    for code, (path, entry) in entries.items():
        findings += check_entry(path, code, entry)
    uses: list[Use] = []
    patterns: set[re.Pattern[str]] = set()
    sources, unparsed = parsed_sources(root)
    for source in sources:
        uses += uses_in(source.path, source.tree)
        patterns |= set(mentions_in(source.tree))
    findings += check_uses(uses, {code: entry for code, (_, entry) in entries.items()})
    others = (path for path in tracked_files(root) if path.suffix in OTHER_SOURCES and path.parent != folder)
    inside = (path for path in others if path.relative_to(root).parts[0] in PRODUCT)
    findings += check_unused(entries, patterns, "\n".join(path.read_text(encoding="utf-8") for path in inside))
    return sorted(findings + unparsed)
