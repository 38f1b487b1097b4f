"""What this machine offers a jail, found out by trying (law 7)."""

from __future__ import annotations

import os
import platform
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from jobs.jail import cgroup, seccomp
from jobs.jail.spec import LOWEST_UID, Capability, Limits
from lineage.errors import MissingPartError


BWRAP: Final = Path("/usr/bin/bwrap")
_TRIAL_GROUP: Final = "probe-of-the-jail"
_NAMESPACES: Final = ("user", "pid", "net", "ipc", "uts", "cgroup")


def unshare_options() -> list[str]:
    """Name every namespace: ``--unshare-all`` means only *try* for the user namespace and goes on without it."""
    return [f"--unshare-{name}" for name in _NAMESPACES]


@cache
def probe() -> Capability:
    """Try each part once a process."""
    tests: dict[str, Callable[[], bool]] = {
        "root": lambda: os.geteuid() == 0,
        "bubblewrap": _has_bubblewrap,
        "seccomp": lambda: platform.machine() in seccomp.MACHINES,
        "user namespaces": _has_user_namespaces,
        "control groups": has_groups,
    }
    missing = tuple(name for name, test in tests.items() if not test())
    walls = not set(missing) - {"control groups"}
    return Capability(
        network=walls, files=walls, uid=walls, limits="control groups" not in missing, kernel=False, missing=missing
    )


def _has_bubblewrap() -> bool:
    """Want the program installed by root and not set-uid: a set-uid one would run its set-up as root."""
    if not BWRAP.is_file():
        return False
    state = BWRAP.stat()
    return state.st_uid == 0 and not state.st_mode & (stat.S_ISUID | stat.S_IWOTH | stat.S_IWGRP)


def _has_user_namespaces() -> bool:
    """Make one as an ordinary uid, as the jail will."""
    if os.geteuid() != 0 or not BWRAP.is_file():
        return False
    argv = [str(BWRAP), *unshare_options(), "--ro-bind", "/usr", "/usr"]
    for name in ("lib", "lib64"):
        if Path("/", name).exists():
            argv += ["--ro-bind", f"/{name}", f"/{name}"]
    argv += ["--proc", "/proc", "/usr/bin/true"]
    trial = subprocess.run(
        argv,
        env={},
        user=LOWEST_UID,
        group=LOWEST_UID,
        extra_groups=[],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return trial.returncode == 0


def has_groups() -> bool:
    """Make a group with limits and remove it."""
    try:
        trial = cgroup.group(f"{_TRIAL_GROUP}-{os.getpid()}")
        trial.create(Limits())
        trial.remove()
    except (MissingPartError, OSError):
        return False
    return True


def python_program() -> str:
    """The interpreter that runs the platform, which also runs the launcher."""
    return sys.executable
