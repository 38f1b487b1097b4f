"""The one Spark session of trusted code: Spark 4.2 with Delta 4.4, tuned for tables that fit one machine.

Tenant code never runs in this session (law 1): a job gets a whole Spark application of its own inside a jail.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lineage.errors import MissingPartError


if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JARS = ("delta-spark_4.2_2.13-4.4.0.jar", "delta-storage-4.4.0.jar")
"""What Delta needs beside Spark for tables addressed by path; the two must be of one release."""

TIME_ZONE = "Asia/Shanghai"
"""Every local time in the domain; a machine set to another zone must not shift anybody's birthday."""

_MEMORY = re.compile(r"[1-9][0-9]{0,5}[mg]")


def jars_folder() -> Path:
    """Give the folder of the Delta jars: ``SHUZHA_JARS``, otherwise ``.jars`` at the top of the repository."""
    named = os.environ.get("SHUZHA_JARS")
    return Path(named) if named else Path(__file__).resolve().parent.parent / ".jars"


def spark_session(jars: Path, memory: str = "2g", cores: int | None = None) -> SparkSession:
    """Start Spark, or give the session that this function started before in this process.

    Args:
        jars: folder that holds the files named in ``JARS``.
        memory: heap of the JVM, such as ``512m`` or ``4g``.
        cores: threads that work at once; the cores this process may use when None.

    Raises:
        MissingPartError: a jar, Java or the session itself is missing (law 7); or another Spark session already runs in this
            process, whose settings nobody has checked.
        ValueError: ``memory`` or ``cores`` is not a size.
    """
    threads = len(os.sched_getaffinity(0)) if cores is None else cores
    if not _MEMORY.fullmatch(memory) or threads < 1:
        raise ValueError("memory is a number with m or g, cores at least 1")
    missing = [name for name in JARS if not (jars / name).is_file()]
    if missing:
        raise MissingPartError("import.jar-missing", jar=missing[0], folder=str(jars))
    return _running(jars) or _start(jars, memory, threads)


def stop() -> None:
    """Stop the session of this process, if there is one, and remove its scratch folder; safe to call twice."""
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession() or SparkSession._instantiatedSession  # noqa: SLF001
    if session is None:
        return
    scratch = session.conf.get(_SCRATCH_SETTING, None)
    session.stop()
    if scratch:
        shutil.rmtree(scratch, ignore_errors=True)


_SCRATCH_SETTING = "spark.shuzha.scratch"


def _running(jars: Path) -> SparkSession | None:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    if SparkContext._active_spark_context is None:  # noqa: SLF001
        return None
    session = SparkSession.builder.getOrCreate()
    if session.conf.get("spark.driver.extraClassPath", "") != _class_path(jars):
        raise MissingPartError("import.engine-foreign")
    return session


def _start(jars: Path, memory: str, threads: int) -> SparkSession:
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway
    from pyspark.logger import PySparkLogger
    from pyspark.sql import SparkSession

    if shutil.which("java", path=_java_path()) is None:
        raise MissingPartError("import.java-missing")
    scratch = tempfile.mkdtemp(prefix="shuzha-spark-")
    conf = SparkConf(loadDefaults=False).setAll(sorted(_settings(jars, memory, threads, scratch).items()))
    try:
        # The JVM and log4j write to stderr before any setting of ours is read, and the report of a failed task quotes cells.
        gateway = launch_gateway(conf, {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL})
        context = SparkContext(conf=conf, gateway=gateway)
    except (PySparkException, OSError) as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise MissingPartError("import.engine-start", reason=type(error).__name__) from error
    for name in ("DataFrameQueryContextLogger", "SQLQueryContextLogger"):
        # They print every failed query to stderr, its texts and cells included, before the caller has seen the error.
        PySparkLogger.getLogger(name).disabled = True
    atexit.register(stop)
    return SparkSession(context)


def _java_path() -> str:
    home = os.environ.get("JAVA_HOME")
    return f"{home}/bin" if home else os.environ.get("PATH", os.defpath)


def _class_path(jars: Path) -> str:
    return os.pathsep.join(str((jars / name).resolve()) for name in JARS)


def _settings(jars: Path, memory: str, threads: int, scratch: str) -> Mapping[str, str]:
    parallelism = str(threads)
    return {
        "spark.master": f"local[{threads}]",
        "spark.app.name": "shuzha",
        "spark.driver.memory": memory,
        "spark.driver.extraClassPath": _class_path(jars),
        # The optimizing compiler costs more than it gives in imports of seconds: half the CPU time to a first result without it.
        # No performance file, because that file tells every account on the machine what runs here.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseParallelGC -XX:-UsePerfData",
        # Loopback only: nothing of the session listens where another machine can reach it.
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        # Raw rows spill to the scratch folder, which lies outside the encrypted store: Spark encrypts them with a key of this run.
        "spark.io.encryption.enabled": "true",
        _SCRATCH_SETTING: scratch,
        "spark.local.dir": scratch,
        "spark.sql.warehouse.dir": f"{scratch}/warehouse",
        # Defaults are for a cluster: 200 shuffle partitions and 50 snapshot partitions are most of the time of a small table.
        "spark.default.parallelism": parallelism,
        "spark.sql.shuffle.partitions": parallelism,
        "spark.databricks.delta.snapshotPartitions": "1",
        # In any zone but UTC Delta rebuilds the whole state after every commit, for a defect of timestamps that tables are
        # partitioned by. No table here is partitioned, and the rebuilding is a third of an import.
        "spark.databricks.delta.allFilesInCrc.verificationMode.forceOnNonUTC.enabled": "false",
        "spark.sql.adaptive.enabled": "true",
        # Meaning of the data: a wrong cast is an error, dates are proleptic ISO dates, local times are the domain's.
        "spark.sql.ansi.enabled": "true",
        "spark.sql.legacy.timeParserPolicy": "CORRECTED",
        "spark.sql.session.timeZone": TIME_ZONE,
        # Arrow for exchange with pandas, and no slow way round it when it fails (law 7).
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.execution.arrow.pyspark.fallback.enabled": "false",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # Tables that every reader understands, DuckDB over the Parquet files included.
        "spark.databricks.delta.properties.defaults.enableDeletionVectors": "false",
        "spark.databricks.delta.properties.defaults.columnMapping.mode": "none",
        # The log would hold the smallest and largest value of every column in clear; small tables gain nothing from them.
        "spark.databricks.delta.properties.defaults.dataSkippingNumIndexedCols": "0",
        # A version that was granted or released must stay readable: nothing ends by age alone.
        "spark.databricks.delta.properties.defaults.enableExpiredLogCleanup": "false",
    }
