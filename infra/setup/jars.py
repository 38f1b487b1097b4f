"""The Delta jars: fetched by Spark's own resolver, kept only when their SHA-256 is the locked one."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.setup.common import JARS, ROOT, VENV, SetupError, run, say


LOCK = ROOT / "infra" / "jars.lock"
# Spark ships all that these two need at run time; fetching it again would only add unchecked files.
NOT_FETCHED = ("org.*:*", "com.*:*", "io.unitycatalog:*", "io.delta:delta-kernel*")

Fetch = Callable[[Sequence["Jar"], Path], None]


@dataclass(frozen=True)
class Jar:
    """One locked jar.

    Attributes:
        sha256: 64 lower-case hexadecimal digits.
        coordinate: Maven's ``group:artifact:version``.
    """

    sha256: str
    coordinate: str

    def __post_init__(self) -> None:
        """Refuse a malformed digest or coordinate."""
        if len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef") or self.coordinate.count(":") != 2:
            raise ValueError(f"not a locked jar: {self}")

    @property
    def file_name(self) -> str:
        """Name in the jar folder, such as ``delta-storage-4.4.0.jar``."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"

    @property
    def resolved_name(self) -> str:
        """Name that Spark's resolver gives it, with the group in front."""
        return f"{self.coordinate.split(':')[0]}_{self.file_name}"


def read_lock(path: Path = LOCK) -> list[Jar]:
    """Read the lock file: a digest and a coordinate a line."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return [Jar(*line.split()) for line in lines]


def sha256_of(path: Path) -> str:
    """Give a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(jars: Sequence[Jar], folder: Path) -> None:
    """Let Spark's resolver bring the jars into ``folder`` under their own names; nothing is checked yet.

    Raises:
        SetupError: the resolver failed.
    """
    with tempfile.TemporaryDirectory(prefix="shuzha-ivy-") as scratch:
        job = Path(scratch) / "nothing.py"
        job.write_text("", encoding="utf-8")
        command: list[str | Path] = [VENV / "bin" / "spark-submit", "--master", "local[1]"]
        command += ["--conf", f"spark.jars.ivy={scratch}/ivy", "--conf", "spark.ui.enabled=false"]
        command += ["--packages", ",".join(jar.coordinate for jar in jars)]
        command += ["--exclude-packages", ",".join(NOT_FETCHED), job]
        spark = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
        # Spark's scripts ask the first python3 of the path where Spark is.
        spark |= {"PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}", "SPARK_LOCAL_IP": "127.0.0.1"}
        run(command, environment=spark, why="Spark's package resolver")
        for jar in jars:
            resolved = Path(scratch) / "ivy" / "jars" / jar.resolved_name
            if not resolved.exists():
                raise SetupError(f"Spark's package resolver did not bring {jar.coordinate}")
            shutil.copyfile(resolved, folder / jar.file_name)


def provide(folder: Path = JARS, lock: Path = LOCK, fetcher: Fetch = fetch) -> None:
    """See to it that the folder holds the locked jars and no other.

    Raises:
        SetupError: a fetched jar is not the locked one; it is not kept.
    """
    locked = read_lock(lock)
    folder.mkdir(parents=True, exist_ok=True)
    names = {jar.file_name for jar in locked}
    for stray in sorted(folder.glob("*.jar")):
        if stray.name not in names:
            say(f"removing {stray.name}, which is not locked")
            stray.unlink()
    missing = [jar for jar in locked if not _is_locked_one(folder / jar.file_name, jar)]
    if missing:
        say("fetching the Delta jars")
        with tempfile.TemporaryDirectory(prefix="shuzha-jars-", dir=folder) as scratch:
            fetcher(missing, Path(scratch))
            _keep_checked(missing, Path(scratch), folder)


def _is_locked_one(path: Path, jar: Jar) -> bool:
    if not path.exists():
        return False
    if sha256_of(path) == jar.sha256:
        return True
    say(f"removing {path.name}, whose digest is not the locked one")
    path.unlink()
    return False


def _keep_checked(jars: Sequence[Jar], scratch: Path, folder: Path) -> None:
    for jar in jars:
        found = sha256_of(scratch / jar.file_name)
        if found != jar.sha256:
            raise SetupError(f"{jar.coordinate} was refused: its SHA-256 is {found}, locked is {jar.sha256}")
    for jar in jars:
        (scratch / jar.file_name).rename(folder / jar.file_name)
