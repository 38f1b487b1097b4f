"""What every step of setup shares: where things are, how a step fails, how it speaks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
JARS = ROOT / ".jars"


class SetupError(Exception):
    """Setup cannot go on; the text says what to do."""


def say(line: str) -> None:
    """Tell the person what is being done; setup is silent when there is nothing to do."""
    print(f"setup: {line}", file=sys.stderr, flush=True)


def run(command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, why: str) -> str:
    """Run a program to its end and give what it printed.

    Raises:
        SetupError: it could not be started or failed; the text holds the last lines it printed.
    """
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise SetupError(f"{why}: {command[0]} could not be started: {error}") from error
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-15:])
        raise SetupError(f"{why}: {command[0]} ended with {done.returncode}\n{tail}")
    return done.stdout
