"""The running session: who can reach it, what it says, and what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lineage.errors import MissingPartError
from sandbox import engine


if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


def listening(process: int) -> list[str]:
    """Addresses, in the kernel's hexadecimal, that a process listens on."""
    sockets = set()
    for entry in Path(f"/proc/{process}/fd").iterdir():
        try:
            sockets.add(str(entry.readlink()))
        except OSError:
            continue  # closed since it was listed
    rows = [row.split() for table in ("tcp", "tcp6") for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return [row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]


def test_nothing_listens_beyond_loopback(spark: SparkSession) -> None:
    found = listening(spark._jvm.java.lang.ProcessHandle.current().pid())
    assert found
    assert set(found) <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def test_a_second_call_gives_the_same_session(spark: SparkSession) -> None:
    assert engine.spark_session(engine.jars_folder()).sparkContext is spark.sparkContext


def test_a_session_with_other_jars_is_not_taken_over(spark: SparkSession, tmp_path: Path) -> None:
    for name in engine.JARS:
        (tmp_path / name).touch()
    with pytest.raises(MissingPartError, match=r"import\.engine-foreign"):
        engine.spark_session(tmp_path)


def test_a_cell_that_breaks_a_query_is_not_written_to_any_log(
    spark: SparkSession, capfd: pytest.CaptureFixture[str]
) -> None:
    from pyspark.errors import PySparkException

    frame = spark.createDataFrame([("CANARY",)], "a string").selectExpr("cast(a as int)")
    with pytest.raises(PySparkException):
        frame.collect()
    assert "".join(capfd.readouterr()) == ""


LIFE = """
from pathlib import Path
from sandbox.engine import jars_folder, spark_session, stop
session = spark_session(jars_folder(), memory="512m", cores=1)
print(session.conf.get("spark.local.dir"), Path(session.conf.get("spark.local.dir")).is_dir(), session.range(3).count())
"""


def test_a_session_is_silent_and_leaves_no_scratch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIFE], check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."}
    )
    scratch, was_there, count = done.stdout.split()
    assert (was_there, count, done.stderr) == ("True", "3", "")
    assert not Path(scratch).exists()
