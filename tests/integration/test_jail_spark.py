"""Real jobs in the real jail: Spark with Delta, and plain Python with DuckDB."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.probe import BWRAP
from jobs.jail.runtimes import Runtime, python_runtime, spark_runtime, with_sources
from jobs.jail.spec import MEBIBYTE, Collected, Ending, JailSpec, Limits


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0 or not BWRAP.exists(), reason="needs root and bubblewrap"),
]

JARS = Path(__file__).resolve().parents[2] / ".jars"
LIMITS = Limits(memory_bytes=2048 * MEBIBYTE, cores=2, seconds=300, outbox_bytes=4 * MEBIBYTE)
MAIN = """
def main(job):
    rows = job.sql("SELECT district, SUM(cost) AS cost FROM dear GROUP BY district ORDER BY district")
    job.save("by_district.csv", rows)
    {more}
    job.log("finished")
"""
SPARK_MORE = """
    from pyspark.sql.functions import udf
    doubled = job.table("visits").select(udf(lambda cost: 2 * cost, "long")("cost").alias("c")).agg({"c": "sum"}).collect()
    job.log(f"doubled {doubled[0][0]}")
    for path in ("/etc/shadow", "/var", "/root"):
        try:
            job.spark.read.text(path).collect()
            job.log(f"ESCAPED {path}")
        except Exception as error:
            job.log("stopped")
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_deltalake(tmp_path / "visits", pa.table({"district": ["a", "b", "a"], "cost": [1, 2, 3]}))
    (tmp_path / "job").mkdir()
    return tmp_path


def run_job(place: Path, runtime: Runtime, kind: str, more: str = "") -> tuple[str, tuple[Collected, ...], float]:
    plan = {
        "runtime": kind,
        "entry": "main.py",
        "stage": "development",
        "tables": {"visits": "/in/visits"},
        "steps": [["dear", "SELECT * FROM visits WHERE cost > 1"]],
    }
    (place / "job" / "run.json").write_text(json.dumps(plan))
    (place / "job" / "main.py").write_text(MAIN.replace("{more}", more.strip()))
    mounts = {**runtime.read_only, "/job": place / "job", "/in/visits": place / "visits"}
    name = f"test-{secrets.token_hex(12)}"
    spec = JailSpec(name, place / name, 150_201, runtime.run_job, runtime.environment, mounts, LIMITS)
    jail = BubblewrapJail()
    try:
        jail.prepare(spec)
        outcome = jail.run(spec, lambda: False)
        log = outcome.log.read_text()
        assert outcome.ending is Ending.DONE, log
        return log, jail.collect(spec, place / "taken"), outcome.cpu_seconds
    finally:
        jail.cleanup(spec)


def test_a_python_job(place: Path) -> None:
    log, taken, _ = run_job(place, python_runtime(2, LIMITS.memory_bytes), "python")
    assert log == "finished\n"
    (item,) = taken
    assert (item.name, item.path.read_text()) == ("by_district.csv", "district,cost\na,3.0\nb,2.0\n")


def test_a_spark_job_with_delta_and_a_function_of_its_own(place: Path) -> None:
    log, taken, cpu_seconds = run_job(place, spark_runtime(2, LIMITS.memory_bytes, JARS), "spark", SPARK_MORE)
    assert "doubled 12\n" in log
    assert log.count("stopped") == 3
    assert "ESCAPED" not in log
    (item,) = taken
    assert (item.name, item.path.read_text()) == ("by_district.csv", "district,cost\na,3\nb,2\n")
    # Without the class archive about 20; a return to PySpark's own settings would need 40.
    assert cpu_seconds < 60


def test_the_gates_worker_imports_our_packages(tmp_path: Path) -> None:
    runtime = with_sources(python_runtime())
    code = (
        "import lineage.errors, jobs.jail.spec, sandbox, os; print(lineage.errors.__file__, os.listdir('/opt/shuzha'))"
    )
    name = f"test-{secrets.token_hex(12)}"
    spec = JailSpec(name, tmp_path / name, 150_202, (*runtime.argv, "-c", code), runtime.environment, runtime.read_only)
    jail = BubblewrapJail()
    try:
        jail.prepare(spec)
        outcome = jail.run(spec, lambda: False)
        log = outcome.log.read_text()
    finally:
        jail.cleanup(spec)
    assert outcome.ending is Ending.DONE, log
    assert log.startswith("/opt/shuzha/lineage/errors.py ")
    assert ".git" not in log
