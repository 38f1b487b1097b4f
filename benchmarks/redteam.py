"""Run the red team's corpus and say what the gate caught, where it raised a false alarm, and how long that took.

``python benchmarks/redteam.py`` writes the table into ``docs/gate.md`` between its two marks; ``--only B5`` runs the rows that begin so
and writes nothing. Exit code 1 when a leak came through or an innocent twin was stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.redteam.registry import TRIPLETS, Part, Triplet  # noqa: E402 - after the path


PAGE = ROOT / "docs" / "gate.md"
BEGIN, END = "<!-- redteam: written by benchmarks/redteam.py -->", "<!-- redteam: end -->"


@dataclass(frozen=True)
class Result:
    """One test's outcome; one that was skipped tried nothing and counts as failed."""

    module: str
    name: str
    passed: bool
    seconds: float


@dataclass(frozen=True)
class Score:
    """What a row's tests gave: caught and planted, stopped and innocent, seconds of all."""

    row: Triplet
    leaks: tuple[int, int]
    disguises: tuple[int, int]
    false_alarms: tuple[int, int]
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether everything planted was caught and nothing innocent stopped."""
        planted = self.leaks[0] == self.leaks[1] > 0 and self.disguises[0] == self.disguises[1] > 0
        return planted and self.false_alarms[0] == 0 < self.false_alarms[1]


def run(rows: Sequence[Triplet]) -> list[Result]:
    """Let pytest run the modules of some rows."""
    names = sorted({one.module for row in rows for some in row.parts.values() for one in some})
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        files = [f"tests/attack/{name}.py" for name in names]
        command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=--import-mode=importlib", "-p", "no:randomly"]
        subprocess.run(
            [*command, f"--junitxml={report}", *files], cwd=ROOT, check=False, stdout=sys.stderr, timeout=3600
        )
        return list(_results(ET.parse(report)))  # noqa: S314 - pytest's own answer


def _results(report: ET.ElementTree[ET.Element]) -> Iterable[Result]:
    for case in report.iter("testcase"):
        failed = any(case.find(tag) is not None for tag in ("failure", "error", "skipped"))
        module = str(case.get("classname")).rpartition(".")[2]
        yield Result(module, str(case.get("name")), not failed, float(str(case.get("time"))))


def score(row: Triplet, results: Sequence[Result]) -> Score:
    """Count what a row's tests gave."""
    parts = {part: [one for one in results if row.part_of(one.module, one.name) is part] for part in Part}
    passed = {part: sum(one.passed for one in some) for part, some in parts.items()}
    return Score(
        row,
        (passed[Part.LEAK], len(parts[Part.LEAK])),
        (passed[Part.DISGUISE], len(parts[Part.DISGUISE])),
        (len(parts[Part.INNOCENT]) - passed[Part.INNOCENT], len(parts[Part.INNOCENT])),
        sum(one.seconds for some in parts.values() for one in some),
    )


def table(scores: Sequence[Score]) -> str:
    """Write the scores as Markdown."""
    lines = [
        "| attack | what is planted | leaks caught | disguises caught | false alarms | seconds |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.row.id} | {one.row.title} | {_of(one.leaks)} | {_of(one.disguises)} | {_of(one.false_alarms)}"
        f" | {one.seconds:.1f} |"
        for one in scores
    ]
    caught, planted = (sum(one.leaks[n] + one.disguises[n] for one in scores) for n in (0, 1))
    alarms, innocent = (sum(one.false_alarms[n] for one in scores) for n in (0, 1))
    rates = f"catch rate {caught / max(planted, 1):.1%} ({caught} of {planted})"
    rates += f", false-alarm rate {alarms / max(innocent, 1):.1%} ({alarms} of {innocent})"
    return "\n".join([*lines, "", f"All rows together: {rates}."])


def _of(pair: tuple[int, int]) -> str:
    return f"{pair[0]} of {pair[1]}"


def write(text: str) -> None:
    """Put the table between the marks of the page."""
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    if not tail:
        raise SystemExit(f"{PAGE} has lost its marks")
    PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows whose id begins so; the page is not written")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    rows = [row for row in TRIPLETS if row.id.startswith(chosen.only)]
    results = run(rows)
    scores = [score(row, results) for row in rows]
    text = table(scores)
    if chosen.json:
        told = [
            {"id": s.row.id, "leaks": s.leaks, "disguises": s.disguises, "false_alarms": s.false_alarms} for s in scores
        ]
        print(json.dumps(told))
    else:
        print(text)
    if not chosen.only:
        write(text)
    return 0 if all(one.holds for one in scores) else 1


if __name__ == "__main__":
    raise SystemExit(main())
