"""What the jail costs: one small Spark job over Delta, the same code jailed and unjailed, in turns, in processor seconds.

The class archive fits only the jail's paths, so the ratio is taken without it; its saving is shown apart.
"""

from __future__ import annotations

import json
import os
import resource
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.runtimes import spark_runtime
from jobs.jail.spec import MEBIBYTE, Ending, JailSpec, Limits


ROOT = Path(__file__).resolve().parents[1]
JARS = ROOT / ".jars"
CORES, MEMORY, ROWS, TURNS = 2, 3072 * MEBIBYTE, 20_000, 3
JOB = """
def main(job):
    rows = job.sql("SELECT district, COUNT(*) AS n, SUM(cost) AS cost FROM visits GROUP BY district ORDER BY district")
    job.save("by_district.csv", rows)
"""


def children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def make_job(place: Path, table: str) -> Path:
    folder = place / secrets.token_hex(4)
    folder.mkdir()
    (folder / "main.py").write_text(JOB, encoding="utf-8")
    told = {"runtime": "spark", "entry": "main.py", "stage": "development", "tables": {"visits": table}}
    (folder / "run.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def jailed(place: Path, jars: Path) -> float:
    runtime = spark_runtime(CORES, MEMORY, jars)
    spec = JailSpec(
        name=f"bench-{secrets.token_hex(12)}",
        workspace=place / secrets.token_hex(8),
        uid=150_000,
        argv=runtime.run_job,
        environment=runtime.environment,
        read_only={**runtime.read_only, "/in/visits": place / "visits", "/job": make_job(place, "/in/visits")},
        limits=Limits(memory_bytes=MEMORY, cores=CORES, seconds=600),
    )
    spec.workspace.mkdir(mode=0o700)
    jail = BubblewrapJail()
    jail.prepare(spec)
    try:
        outcome = jail.run(spec, lambda: False)
        if outcome.ending is not Ending.DONE:
            raise SystemExit(outcome.log.read_text())
        return outcome.cpu_seconds
    finally:
        jail.cleanup(spec)


def unjailed(place: Path, jars: Path) -> float:
    folder, out = make_job(place, str(place / "visits")), place / secrets.token_hex(4)
    out.mkdir()
    code = f"from pathlib import Path; from jobs.sdk.runner import run; raise SystemExit(run(Path({str(folder)!r}), Path({str(out)!r})))"
    environment = {
        **os.environ,
        "SHUZHA_CORES": str(CORES),
        "SHUZHA_MEMORY": str(MEMORY),
        "SHUZHA_JARS": str(jars),
        "SPARK_HOME": str(next((ROOT / ".venv" / "lib").glob("python3*")) / "site-packages" / "pyspark"),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    before = children_cpu()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, capture_output=True)
    return children_cpu() - before


def main() -> None:
    random = np.random.default_rng(1)
    rows = {"district": random.integers(0, 12, ROWS), "cost": random.integers(0, 9999, ROWS)}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        write_deltalake(place / "visits", pa.table(rows))
        plain = place / "jars"
        plain.mkdir()
        for jar in JARS.glob("*.jar"):
            shutil.copy(jar, plain)
        taken: dict[str, list[float]] = {"jailed": [], "unjailed": []}
        for _ in range(TURNS):
            taken["jailed"].append(jailed(place, plain))
            taken["unjailed"].append(unjailed(place, plain))
        inside, outside = (statistics.median(taken[name]) for name in ("jailed", "unjailed"))
        print(
            f"jailed {inside:.1f} cpu-s, unjailed {outside:.1f} cpu-s, ratio {inside / outside:.2f} (median of {TURNS}, in turns)"
        )
        print(f"jailed with the class archive {jailed(place, JARS):.1f} cpu-s")


if __name__ == "__main__":
    main()
