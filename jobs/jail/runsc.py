"""The jail of a second kernel: gVisor's ``runsc``, for grades at which sharing the host's kernel is too much (D1, D2; laws 1 and 7).

A system call of the program is answered by gVisor's own kernel, an ordinary process without rights on the host, and files by a second
process that sees only the named sources; the host's kernel sees the few calls these two may still make. Everything else is as in the
jail of namespaces: the same mounts and places to write, the tenant's own uid on every file, an outbox with the kernel's quota,
control groups, one cut log, one life with the platform.

What differs by nature is written down in ``docs/jail-backends.md``. Published: Young et al., "The True Cost of Containing: A gVisor
Case Study" (HotCloud 2019); gvisor.dev's architecture guide.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from jobs.jail import cgroup, runsc_launcher
from jobs.jail.local import LocalJail, Place, launcher_environment, memory_file, pipe
from jobs.jail.outbox import remove_tree
from jobs.jail.runsc_bundle import PROGRAM, RUN, config_of, plan_of
from jobs.jail.runsc_probe import Sandbox, find_sandbox, told_to_start
from jobs.jail.spec import Capability, JailSpec, Limits
from jobs.jail.watch import NOT_ENDED_ITSELF, Started
from lineage.errors import MissingPartError


_LAUNCHER: Final = Path(runsc_launcher.__file__)
_OWN_THREADS: Final = 96
_THREADS_EACH: Final = 2
"""Each thread inside is a thread of the host, and may hold one of gVisor's kernel."""


class RunscJail(LocalJail):
    """A jail on this machine with a kernel of its own.

    Args:
        program: the ``runsc`` to use; by default the installed one.
    """

    def __init__(self, program: Path | None = None) -> None:
        self._program = program

    def capability(self) -> Capability:
        """Tell what this machine offers."""
        from jobs.jail.runsc_trial import try_out

        return try_out(self._program)

    def _bounds(self, limits: Limits) -> Limits:
        """Leave room for gVisor's own threads. Memory gets none: what the second kernel takes is the run's, so the bound stays exact."""
        return replace(limits, processes=_THREADS_EACH * limits.processes + _OWN_THREADS)

    def _exit_code(self, started: Started, *, killed: bool) -> int:
        """Read what launcher and runsc reported; runsc ends with the program's own exit code, or says why it did not start it."""
        reason = told_to_start(started.status)
        if reason:
            raise MissingPartError("jail.not-made", detail=ascii(reason)[:200])
        # Positive by construction: a monitor that was itself killed ended nothing of its own accord.
        return NOT_ENDED_ITSELF if killed or started.process.returncode < 0 else started.process.returncode

    def _launch(
        self, spec: JailSpec, place: Place, group: cgroup.Group, ours: ExitStack
    ) -> tuple[int, int, subprocess.Popen[bytes]]:
        """Start the launcher, which becomes runsc."""
        sandbox = find_sandbox(self._program)
        run = place.jail / "runsc"
        _write_bundle(run, config_of(spec, read_only_root=sandbox.remounts))
        with ExitStack() as theirs:
            log_read, log_write = pipe(ours, theirs)
            status_read, status_write = pipe(ours, theirs)
            plan = plan_of(spec, place.root, place.outbox, run, sandbox.program, group.doors)
            plan |= {"argv": _command(sandbox, spec, status_write), "status": status_write, "parent": os.getpid()}
            plan_file = memory_file(theirs, "plan", json.dumps(plan).encode())
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LAUNCHER), str(plan_file)],
                stdin=subprocess.DEVNULL,
                stdout=log_write,
                stderr=log_write,
                pass_fds=(status_write, plan_file),
                env=launcher_environment(),
                cwd="/",
                start_new_session=True,
            )
        return log_read, status_read, process


def _write_bundle(run: Path, config: Mapping[str, Any]) -> None:
    """Make the folder that becomes ``/run``, anew for each start: runsc refuses the state of an earlier one."""
    remove_tree(run)
    for folder in (run, run / "bundle", run / "state", run / "empty"):
        folder.mkdir(mode=0o700)
    (run / "empty").chmod(0o755)
    (run / "bundle" / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _command(sandbox: Sandbox, spec: JailSpec, status: int) -> list[str]:
    options = [f"--root={RUN}/state", f"--log-fd={status}", "--log-format=json", *sandbox.options]
    return [PROGRAM, *options, "run", f"--bundle={RUN}/bundle", spec.name]
