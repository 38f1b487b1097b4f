"""Make the class archive that halves the processor time of a Spark job's start (``python -m jobs.jail.spark_archive JARS_FOLDER``).

Loading 20 000 classes out of 280 jars is most of what a small Spark job does. The JVM can write them down once, in the form it uses in
memory, and map that file at each start (JEP 350). The archive fits one JVM and one class path only, so it is made in a jail, where the
paths are those of every later run; a JVM that it does not fit ignores it.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Final

from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.runtimes import JOB, spark_runtime
from jobs.jail.spec import LOWEST_UID, MEBIBYTE, Ending, JailSpec, Limits
from jobs.sdk.spark_session import ARCHIVE
from lineage.errors import MissingPartError


_JOB: Final = Path(__file__).resolve().parent / "archive_job"
_CORES: Final = 2
_LIMITS: Final = Limits(memory_bytes=4096 * MEBIBYTE, cores=_CORES, outbox_bytes=512 * MEBIBYTE, seconds=900)


def make(jars: Path) -> Path:
    """Make or renew ``spark.jsa`` in the jars' folder; about 40 processor seconds.

    Raises:
        MissingPartError: the run failed; its last lines are in the parameters.
    """
    runtime = spark_runtime(_CORES, _LIMITS.memory_bytes, jars)
    with tempfile.TemporaryDirectory() as folder:
        spec = JailSpec(
            name=f"archive-{secrets.token_hex(12)}",
            workspace=Path(folder) / "run",
            uid=LOWEST_UID,
            argv=runtime.run_job,
            environment={**runtime.environment, "SHUZHA_DUMP_CLASSES": f"/out/{ARCHIVE}"},
            read_only={**runtime.read_only, JOB: _JOB},
            limits=_LIMITS,
        )
        return _make_in(BubblewrapJail(), spec, jars, Path(folder) / "taken")


def _make_in(jail: BubblewrapJail, spec: JailSpec, jars: Path, taken: Path) -> Path:
    try:
        jail.prepare(spec)
        outcome = jail.run(spec, lambda: False)
        if outcome.ending is not Ending.DONE:
            raise MissingPartError("jail.no-runtime", part=f"Spark: {outcome.log.read_bytes()[-200:]!a}")
        (archive,) = jail.collect(spec, taken)
        # Written beside its place and renamed: a job that starts meanwhile finds no archive or a whole one.
        part = jars / f".{ARCHIVE}.part"
        part.write_bytes(archive.path.read_bytes())
        part.chmod(0o444)
        part.replace(jars / ARCHIVE)
    finally:
        jail.cleanup(spec)
    return jars / ARCHIVE


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(os.EX_USAGE)
    sys.stdout.write(f"{make(Path(sys.argv[1]).resolve())}\n")
