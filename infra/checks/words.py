"""Words that may not be committed: hosts of package registries, ticket numbers, places on one developer's machine.

The repository speaks of the product alone and installs by package name from whatever source a machine is set up with.
The words are put together here from pieces, so that this file does not hold them either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from infra.checks.finding import ROOT, Finding, tracked_files


HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("maven", "org"),
        ("repo", "maven", "apache", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("deb", "debian", "org"),
        ("spark-packages", "org"),
    )
)
PLACES = tuple(
    "/" + "/".join(parts) for parts in (("work", "shared"), ("work", "main"), ("tmp", "w"), ("root", ".pyenv"))
)
PATTERNS = {
    "registry-host": re.compile("|".join(rf"(?<![\w-]){re.escape(host)}\b" for host in HOSTS), re.IGNORECASE),
    "machine-place": re.compile("|".join(rf"{re.escape(place)}(?![\w-])" for place in PLACES)),
    "ticket": re.compile(r"\b(?:issue|ticket|session|milestone)s? (?:#|no\. ?)?\d+\b", re.IGNORECASE),
}


def breaches_in(text: str) -> Iterator[tuple[int, str, str]]:
    """Give line, rule and word of each forbidden word."""
    for number, line in enumerate(text.splitlines(), 1):
        for rule, pattern in PATTERNS.items():
            yield from ((number, rule, found.group()) for found in pattern.finditer(line))


def check(root: Path = ROOT) -> list[Finding]:
    """Find forbidden words in every text file that is or could be committed."""
    findings: list[Finding] = []
    for path in tracked_files(root):
        content = path.read_bytes()
        # Binary files are told by their first bytes, as git tells them.
        if b"\0" in content[:8000]:
            continue
        name = path.relative_to(root).as_posix()
        findings += (Finding(name, *breach) for breach in breaches_in(content.decode("utf-8", "replace")))
    return sorted(findings)
