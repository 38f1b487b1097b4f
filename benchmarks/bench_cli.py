"""How long the command line takes to answer: help, and a refused command (no Spark, no pandas).

Prints the median of ten runs each, wall and processor seconds of the whole process, beside an empty Python start.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic


ROOT = Path(__file__).resolve().parents[1]
SHUZHA = ROOT / ".venv" / "bin" / "shuzha"
RUNS = 10


def measure(name: str, command: list[str], environment: dict[str, str], expected: int) -> None:
    wall, cpu = [], []
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = monotonic()
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=False)
        wall.append(monotonic() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if done.returncode != expected:
            raise SystemExit(f"{name}: exit {done.returncode}, expected {expected}: {done.stderr[-300:]!r}")
    print(f"{name:24} wall {statistics.median(wall):5.2f} s   cpu {statistics.median(cpu):5.2f} s")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        opened = ["--name", "bench.city", "--title", "bench", "--login", "li", "--officer", "Li"]
        subprocess.run([SHUZHA, "--home", home, "init", *opened], check=True, capture_output=True)
        refused = [str(SHUZHA), "--home", str(home), "--as", "li", "audit", "list"]
        measure("empty Python", [sys.executable, "-c", "pass"], {}, 0)
        measure("shuzha --help", [str(SHUZHA), "--help"], {}, 0)
        measure("a refused command", refused, {}, 12)


if __name__ == "__main__":
    main()
