"""The host's side of the battery: run the hostile program with and without the jail, and read what it said."""

from __future__ import annotations

import json
import os
import secrets
import select
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jobs.jail.battery.baits import Planted
from jobs.jail.runtimes import Runtime, python_runtime
from jobs.jail.spec import MEBIBYTE, Ending, Jail, JailSpec, Limits
from lineage.errors import MissingPartError


LIMITS: Final = Limits(
    memory_bytes=160 * MEBIBYTE, processes=48, seconds=600, cores=1, outbox_bytes=4 * MEBIBYTE, outbox_files=16
)
TWO_WALLS: Final = frozenset(
    {
        # These fail for an ordinary uid on many machines anyway; the jail must stop them on every one.
        *("read-domain-folder",),
        *("write-to-root", "write-to-programs", "write-to-settings", "write-to-devices"),
        *("make-device", "open-raw-devices", "open-file-by-handle", "mount-file-system", "unmount-mask"),
        *("ask-for-mounts", "learn-names-of-people", "read-platform-input", "write-to-descriptor-of-process-1"),
        *("keep-capability", "keep-group-of-platform", "read-memory-of-process-1"),
        *("paste-into-terminal", "type-into-terminal"),
        *("see-interface", "see-route", "send-packet", "send-broadcast", "resolve-name", "learn-control-group"),
        *(
            "open-packet-socket",
            "open-raw-socket",
            "open-hypervisor-socket",
            "open-crypto-socket",
            "open-unusual-socket",
        ),
        *(
            "load-bpf",
            "set-up-io-uring",
            "watch-performance",
            "build-file-system",
            "call-by-32-bit-door",
            "call-by-x32-door",
        ),
        *("set-clock", "set-host-name", "set-quota-or-swap", "load-module-or-kernel", "read-kernel-log"),
        *("write-kernel-setting", "pull-the-emergency-lever", "register-program-format", "read-kernel-addresses"),
        *("leave-core-dump", "use-more-processors", "run-in-real-time", "have-no-bound-on-real-time", "raise-priority"),
        *("read-disk-activity", "read-memory-layout", "ask-for-cached-pages", "ask-for-resident-pages"),
    }
)
"""Probes that may fail without the jail too, for reasons of the machine; every other one must succeed there."""


@dataclass(frozen=True)
class Result:
    """What came of one probe.

    Attributes:
        probe: its name.
        verdict: ``escaped``, ``blocked``, or ``error`` when the attempt itself broke (which counts as an escape).
        detail: what it got, or how it was stopped.
    """

    probe: str
    verdict: str
    detail: str

    @property
    def held(self) -> bool:
        """Whether the jail held."""
        return self.verdict == "blocked"


def bounds(limits: Limits) -> dict[str, int]:
    """Give the limits that the hostile program tries to pass, as it is told of them."""
    names = ("memory_bytes", "processes", "outbox_bytes", "outbox_files", "cores")
    return {name: getattr(limits, name) for name in names}


def hostile_spec(
    baits: Planted, workspace: Path, told: Mapping[str, Any], runtime: Runtime | None = None, limits: Limits = LIMITS
) -> JailSpec:
    """Give the specification of a run of the hostile program, which is told where it is and what to look for."""
    chosen = runtime or python_runtime()
    name = f"battery-{secrets.token_hex(12)}"
    inside = {
        **baits.targets,
        **bounds(limits),
        "job": "/job",
        "input": "/in/t",
        "outbox": "/out",
        "group": name,
        "workspace": str(workspace),
        **told,
    }
    (baits.job / "targets.json").write_text(json.dumps(inside), encoding="utf-8")
    return JailSpec(
        name=name,
        workspace=workspace,
        uid=baits.uid,
        argv=(*chosen.argv, "-m", "hostile", "/job/targets.json"),
        environment={**chosen.environment, "PYTHONPATH": "/job"},
        read_only={**chosen.read_only, "/job": baits.job, "/in/t": baits.table},
        limits=limits,
    )


def run_jailed(jail: Jail, baits: Planted, workspace: Path, only: tuple[str, ...] = ()) -> tuple[Result, ...]:
    """Run every probe (or only the named ones) in the jail, and look afterwards whether anything outlived it.

    Raises:
        MissingPartError: the hostile program did not come to its end, so nothing was proved.
    """
    spec = hostile_spec(baits, workspace, {"only": only})
    try:
        jail.prepare(spec)
        outcome = jail.run(spec, lambda: False)
        said = outcome.log.read_text(encoding="utf-8", errors="replace")
        if outcome.ending is not Ending.DONE:
            raise MissingPartError("jail.not-made", detail=ascii(said[-200:]))
        return judged((json.loads(line) for line in said.splitlines()), baits)
    finally:
        jail.cleanup(spec)


def run_unjailed(baits: Planted) -> tuple[Result, ...]:
    """Run every probe as the tenant's uid without the jail: what does not escape here proves nothing in the jail."""
    outside = {
        **baits.targets,
        **bounds(LIMITS),
        "job": str(baits.job),
        "input": str(baits.table),
        "outbox": str(baits.folder / "outbox"),
        "group": "no-group-at-all",
        "workspace": str(baits.folder),
    }
    (baits.job / "targets.json").write_text(json.dumps(outside), encoding="utf-8")
    program = shutil.which("python3", path="/usr/bin") or sys.executable
    done = subprocess.run(
        [program, "-m", "hostile", str(baits.job / "targets.json")],
        env={**os.environ, "PYTHONPATH": str(baits.job), "PYTHONDONTWRITEBYTECODE": "1"},
        user=baits.uid,
        group=baits.uid,
        extra_groups=[],
        close_fds=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=baits.folder,
        check=False,
    )
    return judged((json.loads(line) for line in done.stdout.decode().splitlines()), baits)


def judged(said: Iterable[Mapping[str, str]], baits: Planted) -> tuple[Result, ...]:
    """Read what the hostile program said; whether a daemon outlived the run is for the host to say, and it ends it."""
    alive = survivors(baits)
    results = []
    for item in said:
        told = dict(item)
        if told["probe"] == "outlive-run":
            told |= {"verdict": "escaped" if alive else "blocked", "detail": f"{len(alive)} alive"}
        results.append(Result(**told))
    for pid in alive:
        os.kill(pid, 9)
    return tuple(results)


def survivors(baits: Planted) -> tuple[int, ...]:
    """List the living processes of the tenant on the host, other than the victim."""
    found = []
    for path in Path("/proc").iterdir():
        if not path.name.isdigit() or int(path.name) == baits.targets["victim"]:
            continue
        try:
            status = (path / "status").read_text(encoding="utf-8")
        except OSError:
            continue
        if f"\nUid:\t{baits.uid}\t" in status and _stays(int(path.name)):
            found.append(int(path.name))
    return tuple(found)


def _stays(pid: int) -> bool:
    """Tell whether a process is still there after a second; one that is only dying is not."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        ready, _, _ = select.select([descriptor], [], [], 1.0)
        return not ready
    finally:
        os.close(descriptor)
