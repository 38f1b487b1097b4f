"""The class archive that halves the start of Spark in the jail: an aid to speed, so a machine that cannot make it goes on without."""

from __future__ import annotations

import hashlib
import os
import subprocess

from infra.setup.common import JARS, ROOT, TOOLS, VENV, say


ARCHIVE = JARS / "spark.jsa"
STAMP = TOOLS / "class-archive.stamp"


def provide() -> None:
    """Make the archive when there is none for this JVM and these libraries; needs root, as every jail does."""
    wanted = _fingerprint()
    if os.geteuid() != 0 or (ARCHIVE.exists() and STAMP.exists() and STAMP.read_text(encoding="ascii") == wanted):
        return
    say("making the class archive for Spark in the jail (about a minute, once)")
    command = [str(VENV / "bin" / "python"), "-m", "jobs.jail.spark_archive", str(JARS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        say(f"no class archive: Spark jobs will start slower ({done.stderr.strip().splitlines()[-1:]})")
    STAMP.write_text(wanted, encoding="ascii")


def _fingerprint() -> str:
    """Name what the archive was made for: JVM, libraries and the two jars."""
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    locks = [(ROOT / name).read_bytes() for name in ("requirements.lock", "infra/jars.lock")]
    return hashlib.sha256(java.encode() + b"".join(locks)).hexdigest()
