"""Whether a jail of a second kernel really holds on this machine, found out by running one (law 7)."""

from __future__ import annotations

import os
import secrets
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from jobs.jail import cgroup
from jobs.jail.probe import has_groups
from jobs.jail.runsc import RunscJail
from jobs.jail.runsc_probe import find_sandbox
from jobs.jail.spec import LOWEST_UID, MEBIBYTE, Capability, Ending, JailSpec, Limits
from lineage.errors import MissingPartError


_LIMITS: Final = Limits(memory_bytes=128 * MEBIBYTE, processes=32, seconds=60, outbox_bytes=MEBIBYTE, outbox_files=4)
# The kernel's release, the uid, the interfaces, and what of the host's root is to be seen.
_SCRIPT: Final = "uname -r; id -u; grep -c : /proc/net/dev; ls -d /root /home /var /sys/fs/cgroup/shuzha 2>/dev/null; true > /out/mark"


class _Unasked(RunscJail):
    """The jail that is tried out; asking whether it is whole would ask for this very trial."""

    def capability(self) -> Capability:
        return Capability(network=True, files=True, uid=True, limits=True, kernel=True)


@cache
def try_out(program: Path | None) -> Capability:
    """Run a program in the jail once a process, and see what it sees.

    Nothing is taken on trust: a part that was not seen to hold counts as missing.
    """
    missing = tuple(_missing(program))
    whole = not missing
    return Capability(network=whole, files=whole, uid=whole, limits=has_groups(), kernel=whole, missing=missing)


def _missing(program: Path | None) -> list[str]:
    if os.geteuid() != 0:
        return ["root"]
    if not has_groups():
        return ["control groups"]
    try:
        find_sandbox(program)
        return _seen(program)
    except MissingPartError as error:
        return [f"runsc ({error.params.get('detail', error.code)})"]


def _seen(program: Path | None) -> list[str]:
    """Name what the program inside saw otherwise than a whole jail shows it."""
    jail = _Unasked(program)
    with tempfile.TemporaryDirectory(prefix="shuzha-runsc-") as folder:
        spec = JailSpec(
            name=f"trial-{secrets.token_hex(8)}",
            workspace=Path(folder) / "run",
            uid=LOWEST_UID,
            argv=("/bin/sh", "-c", _SCRIPT),
            environment={"PATH": "/usr/bin:/bin"},
            limits=_LIMITS,
        )
        try:
            jail.prepare(spec)
            outcome = jail.run(spec, lambda: False)
            said = outcome.log.read_text(encoding="utf-8", errors="replace").split()
            taken = jail.collect(spec, Path(folder) / "taken") if outcome.ending is Ending.DONE else ()
        finally:
            jail.cleanup(spec)
    checks = {
        "a run": outcome.ending is Ending.DONE and len(said) >= 3,
        "kernel": said[:1] != [os.uname().release],
        "uid": said[1:2] == ["1000"] and len(taken) == 1,
        "network": said[2:3] == ["1"],
        "files": said[3:] == [],
        "control groups": not cgroup.group(spec.name).members(),
    }
    return [name for name, held in checks.items() if not held]
