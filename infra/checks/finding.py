"""What a house check says, and which files it looks at."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("console", "desensitize", "export_gate", "jobs", "lineage", "sandbox")


@dataclass(frozen=True, order=True)
class Finding:
    """One breach of one rule at one line of one file (path relative to the repository)."""

    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        """Give the line an editor can jump to."""
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


def tracked_files(root: Path = ROOT) -> list[Path]:
    """List the files that are, or could be, committed: tracked ones and new ones that are not ignored."""
    shown = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    ).stdout.decode()
    return sorted(path for name in set(shown.split("\0")) if name and (path := root / name).is_file())


def product_sources(root: Path = ROOT) -> list[Path]:
    """List the Python files of the product's packages."""
    return [path for path in tracked_files(root) if path.suffix == ".py" and path.relative_to(root).parts[0] in PRODUCT]


@dataclass(frozen=True)
class Source:
    """A Python file that could be parsed, by its path relative to the repository."""

    path: str
    text: str
    tree: ast.Module


def parsed_sources(root: Path = ROOT) -> tuple[list[Source], list[Finding]]:
    """Parse the product's Python files; one that cannot be parsed is a finding."""
    sources: list[Source] = []
    findings: list[Finding] = []
    for path in product_sources(root):
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        try:
            sources.append(Source(name, text, ast.parse(text)))
        except SyntaxError as error:
            findings.append(Finding(name, error.lineno or 1, "syntax", error.msg))
    return sources, findings


def read_allowed(path: Path = ROOT / "infra" / "checks" / "allowed.toml") -> Mapping[str, Mapping[str, str]]:
    """Read who may do what others may not: rule → file or folder → reason."""
    allowed: Mapping[str, Mapping[str, str]] = tomllib.loads(path.read_text(encoding="utf-8"))
    for rule, places in allowed.items():
        for place, reason in places.items():
            if not reason:
                raise ValueError(f"{rule}: {place} is allowed without a reason")
    return allowed
