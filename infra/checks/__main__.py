"""``python -m infra.checks [name …]``: run every check (or the named ones), say each in bold, count what failed, exit once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from infra.checks import house, links, messages, words
from infra.checks.finding import ROOT, Finding


BIN = Path(sys.executable).parent


def _program(*command: str) -> bool:
    return subprocess.run([str(BIN / command[0]), *command[1:]], cwd=ROOT, check=False).returncode == 0


def _house(check: Callable[[], list[Finding]]) -> bool:
    findings = check()
    for finding in findings:
        print(finding)
    return not findings


CHECKS: Mapping[str, Callable[[], bool]] = {
    "format": partial(_program, "ruff", "format", "--check", "."),
    "lint": partial(_program, "ruff", "check", "."),
    "types": partial(_program, "mypy"),
    "types of infra": partial(_program, "mypy", "-p", "infra.checks", "-p", "infra.setup"),
    "layers": partial(_program, "lint-imports"),
    "house": partial(_house, house.check),
    "messages": partial(_house, messages.check),
    "links": partial(_house, links.check),
    "words": partial(_house, words.check),
    "tests": partial(_program, "python", "-m", "infra.tests"),
}


def main(names: list[str]) -> int:
    """Run the named checks, all when none is named, and give the exit code: 0 or 1; 2 for an unknown name."""
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        print(f"no such check: {', '.join(unknown)}; there are {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    failed = []
    for name in names or CHECKS:
        print(f"\033[1m== {name}\033[0m", flush=True)
        if not CHECKS[name]():
            failed.append(name)
        sys.stdout.flush()
    total = len(names or CHECKS)
    print(
        f"\033[1m{total - len(failed)} of {total} checks passed\033[0m"
        + (f"; failed: {', '.join(failed)}" if failed else "")
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
