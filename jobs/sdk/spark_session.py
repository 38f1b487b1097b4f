"""Start Spark inside the jail: every setting of the engine there, in one place.

Measured on two cores with a Delta table of 20 000 rows, read, grouped and brought to Python: PySpark's own start and settings need
35 processor seconds, these 17, and with a class archive (``jobs.jail.spark_archive``) 9. What each choice buys is said beside it.
None of the settings protects anything; the jail does (law 1).
"""

from __future__ import annotations

import logging
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final


if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ARCHIVE: Final = "spark.jsa"
"""Name of the class archive in the jars' folder."""

_DUMP: Final = "SHUZHA_DUMP_CLASSES"
_GATEWAY: Final = "org.apache.spark.api.python.PythonGatewayServer"
_GATEWAY_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.02
_SMALL: Final = 2
"""Up to so many cores a job counts as small: a quick start is worth more than the last of speed."""

# Spark's own list for Java 17 (org.apache.spark.launcher.JavaModuleOptions), which its start script would add.
_OPENED: Final = (
    *(
        "java.base/java.lang",
        "java.base/java.lang.invoke",
        "java.base/java.lang.reflect",
        "java.base/java.io",
        "java.base/java.net",
    ),
    *(
        "java.base/java.nio",
        "java.base/java.util",
        "java.base/java.util.concurrent",
        "java.base/java.util.concurrent.atomic",
    ),
    *("java.base/jdk.internal.ref", "java.base/sun.nio.ch", "java.base/sun.nio.cs", "java.base/sun.security.action"),
    *("java.base/sun.util.calendar", "java.security.jgss/sun.security.krb5"),
)


def settings(cores: int) -> dict[str, str]:
    """Give Spark's settings for a jail of so many cores."""
    return {
        "spark.master": f"local[{cores}]",
        "spark.app.name": "job",
        # The jail's network is its own loopback and nothing else.
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.local.dir": tempfile.gettempdir(),
        "spark.sql.warehouse.dir": f"{tempfile.gettempdir()}/warehouse",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        # 200 and 50 by default: for tables of one machine that is nothing but tasks to start.
        "spark.sql.shuffle.partitions": str(max(2, 2 * cores)),
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # Spark 4.2.0 writes the schema at the wrong place on this path, and the worker waits for ever (SPARK-58241).
        "spark.sql.execution.arrow.pythonUDF.columnarInput.enabled": "false",
        # The tables are read once by a process that ends: nothing to refresh, nothing to clean.
        "spark.databricks.delta.retentionDurationCheck.enabled": "true",
        "spark.cleaner.periodicGC.interval": "24h",
    }


def java_command(cores: int, memory_bytes: int, spark_home: Path, jars: Path) -> list[str]:
    """Give the JVM's command line; class path in one order, because the class archive fits only the class path it was made with."""
    mebibytes = memory_bytes // (1024 * 1024)
    paths = [str(path) for folder in (spark_home / "jars", jars) for path in sorted(folder.glob("*.jar"))]
    return [
        _java(),
        # Half for the heap: the rest is for class data, threads, buffers and the Python side of the job.
        f"-Xmx{max(256, mebibytes // 2)}m",
        f"-XX:MaxDirectMemorySize={max(64, mebibytes // 8)}m",
        "-Xss2m",
        *_quick_start(cores, jars),
        *(f"--add-opens={module}=ALL-UNNAMED" for module in _OPENED),
        "-Dio.netty.tryReflectionSetAccessible=true",
        f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}",
        f"-Djava.io.tmpdir={tempfile.gettempdir()}",
        "-cp",
        os.pathsep.join(paths),
        _GATEWAY,
    ]


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    return f"{home}/bin/java" if home else "java"


def _quick_start(cores: int, jars: Path) -> list[str]:
    """Options that save processor time at the start; the archive is only a saving, so a JVM it does not fit runs without it."""
    options = ["-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote", "-XX:-UsePerfData", "-Xshare:auto"]
    if cores <= _SMALL:
        # The second compiler halves the time of long loops and doubles the time of short jobs.
        options += ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        # The first 256 MiB of class data would each time be an occasion for a full collection of the heap.
        options += ["-XX:MetaspaceSize=256m"]
    if dump := os.environ.get(_DUMP):
        return [*options, f"-XX:ArchiveClassesAtExit={dump}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]
    if (jars / ARCHIVE).is_file():
        options += [f"-XX:SharedArchiveFile={jars / ARCHIVE}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]
    return options


def open_session(extra: Mapping[str, str] | None = None) -> SparkSession:
    """Start the JVM and give a session.

    Cores, memory and places come from the environment that the platform set: ``SHUZHA_CORES``, ``SHUZHA_MEMORY`` (bytes),
    ``SPARK_HOME`` and ``SHUZHA_JARS``. The JVM is started here and not by PySpark's shell scripts, which start a second JVM only to
    build the command line of the first.

    Raises:
        RuntimeError: the JVM did not start.
    """
    if _WARM:
        return _WARM.pop()
    cores = int(os.environ["SHUZHA_CORES"])
    command = java_command(
        cores, int(os.environ["SHUZHA_MEMORY"]), Path(os.environ["SPARK_HOME"]), Path(os.environ["SHUZHA_JARS"])
    )
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    port, secret = _start_gateway(command)
    os.environ["PYSPARK_GATEWAY_PORT"] = str(port)
    os.environ["PYSPARK_GATEWAY_SECRET"] = secret
    # PySpark repeats each refused query as JSON with the JVM's whole stack; the error itself reaches the job anyway.
    logging.getLogger("SQLQueryContextLogger").disabled = True
    from pyspark.sql import SparkSession

    builder = SparkSession.builder
    for name, value in {**settings(cores), **(extra or {})}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def warm_up() -> None:
    """Start the session that ``open_session`` will give, and use what most jobs use, so that it is loaded and compiled."""
    session = open_session()
    from pyspark.sql.functions import udf

    folder = Path(tempfile.mkdtemp())
    table = f"{folder}/rows"
    session.range(1000).selectExpr("id", "id % 7 AS kind").write.format("delta").save(table)
    session.read.format("delta").load(table).createOrReplaceTempView("rows")
    session.sql("SELECT kind, COUNT(*) AS n FROM rows GROUP BY kind ORDER BY kind").toPandas()
    # Starts the process that forks Python workers.
    session.table("rows").select(udf(str)("id").alias("text")).agg({"text": "max"}).collect()
    session.catalog.dropTempView("rows")
    shutil.rmtree(folder)
    _WARM.append(session)


_WARM: Final[list[SparkSession]] = []
"""At most one session, started for nobody yet."""


def _start_gateway(command: list[str]) -> tuple[int, str]:
    """Start the JVM and wait until it has written its port and secret; it ends when our end of its stdin closes."""
    folder = Path(tempfile.mkdtemp())
    report = folder / "gateway"
    environment = {**os.environ, "_PYSPARK_DRIVER_CONN_INFO_PATH": str(report), "SPARK_CONNECT_MODE": "0"}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    deadline = time.monotonic() + _GATEWAY_SECONDS
    try:
        # The JVM renames the finished report into place, so a file that exists is whole.
        while not report.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the JVM did not start")
            time.sleep(_POLL_SECONDS)
        return _read_report(report.read_bytes())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _KEPT.append(process)


# A Popen that is collected would close the pipe, and the JVM with it.
_KEPT: Final[list[subprocess.Popen[bytes]]] = []


def _read_report(data: bytes) -> tuple[int, str]:
    """Read port and secret as PythonGatewayServer writes them: two big-endian words, then the secret's bytes."""
    port, length = struct.unpack_from(">ii", data)
    return port, data[8 : 8 + length].decode()


def close() -> None:
    """Leave the JVM to end with the jail: tidying what the jail throws away would only cost, about half a processor second.

    Only where it is to write the class archive it must end in order, and is waited for.
    """
    from pyspark import SparkContext

    if _DUMP not in os.environ:
        return
    SparkContext.getOrCreate().stop()
    while _KEPT:
        process = _KEPT.pop()
        if process.stdin is not None:
            process.stdin.close()
        process.wait()
