"""The jobs, tables and sizes that the measurements of the jail share."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.jail.runtimes import Runtime, python_runtime, spark_runtime
from jobs.jail.spec import MEBIBYTE, Limits


ROOT = Path(__file__).resolve().parents[1]
JARS = ROOT / ".jars"
CORES, MEMORY = 2, 3072 * MEBIBYTE
LIMITS = Limits(memory_bytes=MEMORY, cores=CORES, seconds=900)
FEW, MANY = 20_000, 1_000_000

KINDS: Mapping[str, Callable[[Path], tuple[Runtime, Limits]]] = {
    "python": lambda _: (python_runtime(CORES, MEMORY), LIMITS),
    "spark": lambda jars: (spark_runtime(CORES, MEMORY, jars), LIMITS),
}
_GROUP = "SELECT district, COUNT(*) AS n, SUM(cost) AS cost FROM visits GROUP BY district ORDER BY district"
_DELTA = """
def doubled(number):
    return 2 * number

def main(job):
    FIRST
    from pyspark.sql.functions import udf
    rows = job.sql(QUERY)
    rows.write.format("delta").save("/tmp/by_district")
    plus = udf(doubled, "long")
    job.table("visits").select(plus("cost").alias("c")).agg({"c": "sum"}).collect()
    job.save("by_district.csv", rows)
"""
_BIGGER = """
def main(job):
    FIRST
    rows = job.sql("SELECT a.district, COUNT(*) AS n, AVG(b.score) AS s FROM visits a JOIN visits b ON a.id = b.other GROUP BY a.district")
    job.save("joined.csv", rows)
    ranked = job.sql("SELECT id, ROW_NUMBER() OVER (PARTITION BY district ORDER BY score DESC) AS place FROM visits")
    job.log(ranked.where("place < 10").count())
"""
_SIMPLE = """
def main(job):
    FIRST
    job.save("by_district.csv", job.sql(QUERY))
"""
_PYTHON = """
def main(job):
    FIRST
    job.save("by_district.csv", job.sql(QUERY))
    frame = job.table("visits")
    for _ in range(20):
        frame = frame.assign(score=frame["score"].rank(pct=True)).sort_values("note")
    job.save("described.csv", frame.describe())
"""


@dataclass(frozen=True)
class Told:
    """One job: its runtime, its code, and how many rows it reads."""

    runtime: str
    code: str
    rows: int

    @property
    def table(self) -> str:
        """The folder of its table."""
        return f"visits-{self.rows}"


JOBS: Mapping[str, Told] = {
    "python": Told("python", _PYTHON, FEW),
    "spark small": Told("spark", _SIMPLE, FEW),
    "spark delta": Told("spark", _DELTA, FEW),
    "spark bigger": Told("spark", _BIGGER, MANY),
}


def make_table(place: Path, rows: int) -> Path:
    """Write a Delta table of made-up visits once; the same for the same number of rows."""
    import numpy as np
    import pyarrow as pa
    from deltalake import write_deltalake

    folder = place / f"visits-{rows}"
    if folder.exists():
        return folder
    random = np.random.default_rng(1)
    numbers = np.arange(rows, dtype=np.int64)
    columns = {
        "id": numbers,
        "other": random.permutation(numbers),
        "district": random.integers(0, 12, rows),
        "cost": random.integers(0, 9999, rows),
        "score": random.random(rows),
        "note": np.char.add("note ", random.integers(0, 1 << 40, rows).astype(str)),
    }
    write_deltalake(folder, pa.table(columns))
    return folder


def make_job(place: Path, job: str, table: str) -> Path:
    """Write a job's folder; ``table`` is where it finds its rows."""
    folder = place / secrets.token_hex(4)
    folder.mkdir()
    told = JOBS[job]
    code = told.code.replace("FIRST", "job.log(f\"first {__import__('time').time()}\")").replace("QUERY", repr(_GROUP))
    (folder / "main.py").write_text(code, encoding="utf-8")
    plan = {"runtime": told.runtime, "entry": "main.py", "stage": "development", "tables": {"visits": table}}
    (folder / "run.json").write_text(json.dumps(plan), encoding="utf-8")
    return folder
