"""Which ``runsc`` this machine has, which of its options it knows, and what it said of a start (law 7)."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from lineage.errors import MissingPartError


PLACES: Final = (Path("/usr/local/bin/runsc"), Path("/usr/bin/runsc"))
_SECONDS: Final = 30
_STATUS_BYTES: Final = 64 * 1024

# Each is told to every version that knows it. Without the first group there is no jail; the second group was added, or given another
# default, later, and says again what an older version does anyway.
_NEEDED: Final = {
    "network": "none",
    # Our own control groups hold every process from its birth.
    "ignore-cgroups": "true",
    "oci-seccomp": "true",
    "rootless": "false",
    "host-uds": "none",
}
_WHERE_KNOWN: Final = {
    "host-fifo": "none",
    # Files only through the file server: the second kernel itself opens nothing on the host.
    "directfs": "false",
    # Writes go to the outbox, not into a copy above it.
    "overlay2": "none",
    "host-settings": "ignore",
    "gofer-network-namespace": "new",
    "allow-flag-override": "false",
    "net-raw": "false",
}
_PLATFORMS: Final = ("systrap", "ptrace")
_FLAG: Final = re.compile(r"^  -([A-Za-z0-9-]+)", re.MULTILINE)
_NOT_STARTED: Final = ("creating container", "starting container", "FetchSpec", "invalid process spec", "reading spec")


@dataclass(frozen=True)
class Sandbox:
    """An installed ``runsc``.

    Attributes:
        program: where it is.
        options: what makes it a jail.
        remounts: whether it makes a root read-only that lies on a mount with locked flags. Versions before 2023 fail at it, so there
            the launcher's own read-only mount is the only one.
    """

    program: Path
    options: tuple[str, ...]
    remounts: bool


def find_sandbox(program: Path | None = None) -> Sandbox:
    """Find the program and learn its options.

    Raises:
        MissingPartError: it is not installed, could be replaced by others than root, or does not know a needed option.
    """
    found = program or next((place for place in PLACES if place.exists()), None)
    if found is None or not found.is_file():
        raise MissingPartError("jail.no-runsc", detail="runsc")
    whole = found.resolve()
    state = whole.stat()
    if (
        state.st_uid != 0
        or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH | stat.S_ISUID)
        or not os.access(whole, os.X_OK)
    ):
        raise MissingPartError("jail.no-runsc", detail=stat.filemode(state.st_mode))
    return _learn(whole, state.st_mtime_ns)


@cache
def _learn(program: Path, _changed: int) -> Sandbox:
    """Ask a program for its options, once for each state of the file."""
    try:
        said = subprocess.run(
            [str(program), "flags"],
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingPartError("jail.no-runsc", detail=type(error).__name__) from error
    text = (said.stdout + said.stderr).decode(errors="replace")
    known = set(_FLAG.findall(text))
    absent = sorted({*_NEEDED, "platform", "log-fd"} - known)
    if absent:
        raise MissingPartError("jail.no-runsc", detail=", ".join(absent))
    chosen = _NEEDED | {name: value for name, value in _WHERE_KNOWN.items() if name in known}
    platform = next(
        name for name in _PLATFORMS if name == _PLATFORMS[-1] or re.search(rf"platform to use:.*{name}", text)
    )
    options = (f"--platform={platform}", *(f"--{name}={value}" for name, value in chosen.items()))
    return Sandbox(program, options, remounts="directfs" in known)


def told_to_start(status: int) -> str:
    """Read what was reported of a dead run; give why the program did not start, empty when it did.

    The descriptor is the launcher's and then runsc's own log of errors; gVisor's kernel and file server do not have it, so nothing
    inside can write there.
    """
    written = b""
    while len(written) < _STATUS_BYTES and (data := os.read(status, _STATUS_BYTES)):
        written += data
    for line in written.splitlines():
        try:
            report = json.loads(line)
        except ValueError:
            return "status"
        if "error" in report:
            return str(report["error"])
        message = str(report.get("msg", ""))
        if any(sign in message for sign in _NOT_STARTED):
            return message
    return ""
