"""What a program needs to run in the jail, besides its own files: interpreter, libraries, JVM, and their environment.

The places inside are always the same: ``/opt/py`` the interpreter, ``/opt/site`` its libraries, ``/opt/sdk`` what a tenant's code sees
of us, ``/opt/jars`` Delta's jars, ``/opt/shuzha`` our own packages, for the gate's worker and never for a tenant's run.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from jobs.jail.options import INTERPRETER
from lineage.errors import MissingPartError


SITE: Final = "/opt/site"
SDK: Final = "/opt/sdk"
JARS: Final = "/opt/jars"
SOURCES: Final = "/opt/shuzha"
JOB: Final = "/job"

# Mounted one level down, so that the folder on the search path holds this one package only.
_SDK_PACKAGE: Final = "shuzha_sdk"
_SDK_FOLDER: Final = Path(__file__).resolve().parent.parent / "sdk"
_PACKAGES: Final = ("lineage", "sandbox", "desensitize", "jobs", "export_gate")
_JVM_FOLDER: Final = Path("/usr/lib/jvm")
# Spark 4.2 runs on Java 17 and 21.
_JVM_NAMES: Final = ("java-17-openjdk-*", "temurin-17-*", "java-21-openjdk-*", "temurin-21-*")


@dataclass(frozen=True)
class Runtime:
    """Mounts, environment and the beginning of the command line; a ``JailSpec`` adds tables, the job and the limits.

    Attributes:
        read_only: absolute path inside -> host path.
        environment: variables of the program.
        argv: interpreter and its options; append ``-m`` and a module, or a script.
    """

    read_only: Mapping[str, Path]
    environment: Mapping[str, str]
    argv: tuple[str, ...]

    def __post_init__(self) -> None:
        """Freeze the mappings."""
        object.__setattr__(self, "read_only", MappingProxyType(dict(self.read_only)))
        object.__setattr__(self, "environment", MappingProxyType(dict(self.environment)))

    @property
    def run_job(self) -> tuple[str, ...]:
        """The command line that runs the job folder mounted at ``/job``."""
        return (*self.argv, "-m", f"{_SDK_PACKAGE}.runner")

    def get_warm(self, kind: str) -> tuple[str, ...]:
        """Give the command line that gets ready for a job folder which is not there yet (``pool``)."""
        return (*self.argv, "-m", f"{_SDK_PACKAGE}.warm", kind)


def python_runtime(cores: int = 1, memory_bytes: int = 1 << 30) -> Runtime:
    """Give the interpreter that runs the platform, with its libraries and the job's SDK.

    Args:
        cores: threads that numeric libraries may start.
        memory_bytes: the run's memory limit, so that the engines inside size themselves to it.
    """
    base = Path(sys.base_prefix).resolve()
    mounts = {SITE: Path(sysconfig.get_path("purelib")).resolve(), f"{SDK}/{_SDK_PACKAGE}": _SDK_FOLDER}
    prefix = "/usr"
    if base != Path("/usr"):
        mounts[INTERPRETER] = base
        prefix = INTERPRETER
    environment = {
        "PATH": f"{prefix}/bin:/usr/bin:/bin",
        # An interpreter built with a shared library and mounted elsewhere would load the host's library of the same name.
        "LD_LIBRARY_PATH": f"{prefix}/lib",
        "PYTHONPATH": f"{SITE}:{SDK}",
        "PYTHONSAFEPATH": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/tmp",  # noqa: S108 -- inside, a tmpfs of this run alone
        "TMPDIR": "/tmp",  # noqa: S108
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "SHUZHA_CORES": str(cores),
        "SHUZHA_MEMORY": str(memory_bytes),
        **{f"{library}_NUM_THREADS": str(cores) for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")},
    }
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return Runtime(mounts, environment, (f"{prefix}/bin/{version}", "-s", "-B"))


def spark_runtime(cores: int, memory_bytes: int, jars: Path) -> Runtime:
    """Add what Spark needs: the JVM of the system, its settings, and a folder with Delta's jars (and the class archive, if made).

    The engine's settings are in ``jobs.sdk.spark_session``.

    Raises:
        MissingPartError: no fitting JVM, or no jars.
    """
    if not any(jars.glob("*.jar")):
        raise MissingPartError("jail.no-runtime", part="Delta Lake")
    home = _java_home()
    base = python_runtime(cores, memory_bytes)
    mounts = {**base.read_only, JARS: jars.resolve()}
    # Debian's JVM keeps its settings, linked from its own folder, here.
    mounts |= {str(path): path for path in sorted(Path("/etc").glob("java-*-openjdk"))}
    environment = {
        **base.environment,
        "JAVA_HOME": str(home),
        "SPARK_HOME": f"{SITE}/pyspark",
        "SHUZHA_JARS": JARS,
        "PYSPARK_PYTHON": base.argv[0],
        # Spark's workers import the job's own files by name.
        "PYTHONPATH": f"{base.environment['PYTHONPATH']}:{JOB}",
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    return Runtime(mounts, environment, base.argv)


def with_sources(runtime: Runtime, root: Path | None = None) -> Runtime:
    """Add our own packages, read-only and importable, for a worker of the gate; never for a tenant's run.

    Args:
        runtime: what to add to.
        root: the folder of the packages; by default the one this module was loaded from.
    """
    top = Path(__file__).resolve().parents[2] if root is None else root
    mounts = {**runtime.read_only, **{f"{SOURCES}/{name}": top / name for name in _PACKAGES}}
    environment = {**runtime.environment, "PYTHONPATH": f"{runtime.environment['PYTHONPATH']}:{SOURCES}"}
    return Runtime(mounts, environment, runtime.argv)


def _java_home() -> Path:
    for name in _JVM_NAMES:
        for home in sorted(_JVM_FOLDER.glob(name)):
            if (home / "bin" / "java").exists() and not home.is_symlink():
                return home
    raise MissingPartError("jail.no-runtime", part="Java 17 / 21")
