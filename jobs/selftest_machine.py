"""Which machine and which jail a result is about: after a restart, or with another jail, it says nothing any more."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from jobs.jail import seccomp
from jobs.jail.backends import DEFAULT
from jobs.jail.probe import BWRAP
from lineage.errors import MissingPartError


_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_JAIL: Final = Path(__file__).with_name("jail")
_OURS: Final = ("selftest_domain.py", "selftest_job.py", "selftest_result.py", "selftest_trial.py")


def boot() -> str:
    """Give the id of this start of the machine, which the kernel draws at each.

    Raises:
        MissingPartError: the kernel does not tell.
    """
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError as error:
        raise MissingPartError("selftest.no-boot-id") from error


def machine() -> dict[str, str]:
    """Say what a result is about; nothing that names the host or its people."""
    found = os.uname()
    return {"architecture": found.machine, "boot": boot(), "kernel": found.release, "bubblewrap": bubblewrap_version()}


@cache
def bubblewrap_version() -> str:
    """Give the version of the program that makes the namespaces; empty where it is not installed."""
    if not BWRAP.is_file():
        return ""
    done = subprocess.run([str(BWRAP), "--version"], env={}, capture_output=True, check=False)
    found = re.search(rb"\d+(\.\d+)+", done.stdout)
    return found[0].decode() if found else ""


@cache
def profile(jail: str = DEFAULT) -> str:
    """Give the digest of everything that makes the jail what it is: its kind, our sources, the filter, programs, the interpreter.

    Read once a process: what runs is what was loaded.
    """
    digest = hashlib.sha256()
    for name, content in _parts(jail):
        digest.update(f"{len(name)} {name} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()


def _parts(jail: str) -> Iterator[tuple[str, bytes]]:
    yield "jail", jail.encode()
    for path in sorted(_JAIL.rglob("*.py")):
        yield path.relative_to(_JAIL).as_posix(), path.read_bytes()
    for name in _OURS:
        yield name, _JAIL.with_name(name).read_bytes()
    if platform.machine() in seccomp.MACHINES:
        yield "filter", seccomp.build()
    if BWRAP.is_file():
        yield "bubblewrap", BWRAP.read_bytes()
    yield "interpreter", sys.version.encode()
