"""The hostile job as a job folder: what a processor of the trial submits, and what came of its runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from jobs.jail.battery.baits import HOSTILE
from jobs.jail.spec import MEBIBYTE, Limits


PROBES, MINE = 0, 1
"""Positions of its two ``[[run]]``: every probe, and one mine left to the ordinary collector."""
MEBIBYTES: Final = 384
LIMITS: Final = Limits(memory_bytes=MEBIBYTES * MEBIBYTE, cores=1)
"""What such a run is given, as the hostile program is told of it."""
RESULTS: Final = "results.json"
INPUT: Final = "rows"

_MANIFEST: Final = """
[job]
name = "selftest"
scenario = "{scenario}"

[inputs]
{input} = "{dataset}"

[[run]]
name = "probes"
runtime = "python"
entry = "probes.py"
cores = 1
memory = "{memory}m"
minutes = 15

[[run]]
name = "mine"
runtime = "python"
entry = "mine.py"
cores = 1
memory = "{memory}m"
minutes = 15

[[product]]
name = "files"
kind = "file"
run = "probes"
"""
_PROBES: Final = """
import json
from pathlib import Path

from hostile.__main__ import run_all


def main(job):
    targets = json.loads(Path("/job/targets.json").read_text())
    job.save("{results}", json.dumps([*run_all(targets)]))
"""
_MINE: Final = """
from pathlib import Path


def main(job):
    job.save("good.csv", "district,visits")
    Path("/out/link").symlink_to("/etc/passwd")
"""


def write_job(folder: Path, scenario: str, dataset: str, targets: Mapping[str, Any]) -> Path:
    """Write the job folder of a tenant; gives it."""
    folder.mkdir(parents=True)
    shutil.copytree(HOSTILE, folder / "hostile", ignore=shutil.ignore_patterns("__pycache__"))
    manifest = _MANIFEST.format(scenario=scenario, input=INPUT, dataset=dataset, memory=MEBIBYTES)
    (folder / "job.toml").write_text(manifest, encoding="utf-8")
    (folder / "probes.py").write_text(_PROBES.format(results=RESULTS), encoding="utf-8")
    (folder / "mine.py").write_text(_MINE, encoding="utf-8")
    (folder / "targets.json").write_text(json.dumps(dict(targets)), encoding="utf-8")
    return folder


def read_results(outbox: Path) -> Iterator[dict[str, str]]:
    """Give what the probes of a run said, from its collected outbox; nothing when there is none."""
    path = outbox / RESULTS
    if path.is_file():
        yield from json.loads(path.read_text(encoding="utf-8"))
