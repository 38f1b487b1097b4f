"""The jail of namespaces: bubblewrap, started so that nothing of the host comes with it (D1, D2, P1; laws 1 and 7).

What holds the program, from outside in: a uid of its tenant's own; control groups for memory, processes and processor; a root in
which only the named sources exist (``launcher``); user, mount, process, network, IPC, host-name and control-group namespaces without
a capability; a filter over system calls (``seccomp``); a read-only tree with three places to write, each of bounded size.

bubblewrap's own documentation says that its caller's arguments are the security model; ``options`` holds ours.

What no jail of namespaces closes, and the threat model must name: a hole in the shared kernel; the timing of processor, cache and
memory pressure; the free memory (sysinfo) and free space (statvfs of ``/usr``) of the machine; and whatever a job may legally emit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from jobs.jail import cgroup, launcher, seccomp
from jobs.jail.local import LocalJail, Place, launcher_environment, memory_file, pipe
from jobs.jail.options import bubblewrap_options, launcher_plan
from jobs.jail.probe import BWRAP, probe
from jobs.jail.spec import Capability, JailSpec


_LAUNCHER: Final = Path(launcher.__file__)


class BubblewrapJail(LocalJail):
    """The working jail of one machine."""

    def capability(self) -> Capability:
        """Tell what this machine offers."""
        return probe()

    def _launch(
        self, spec: JailSpec, place: Place, group: cgroup.Group, ours: ExitStack
    ) -> tuple[int, int, subprocess.Popen[bytes]]:
        return self.launch(spec, place, group, ours, subprocess.DEVNULL)

    def launch(
        self, spec: JailSpec, place: Place, group: cgroup.Group, ours: ExitStack, stdin: int
    ) -> tuple[int, int, subprocess.Popen[bytes]]:
        """Start the launcher, which becomes bubblewrap; ``stdin`` is a descriptor only for a warm jail, whose one pipe it is."""
        with ExitStack() as theirs:
            log_read, log_write = pipe(ours, theirs)
            status_read, status_write = pipe(ours, theirs)
            program = memory_file(theirs, "filter", seccomp.build())
            options = bubblewrap_options(spec, program, status_write)
            arguments = memory_file(theirs, "options", b"".join(text.encode() + b"\0" for text in options))
            plan = launcher_plan(spec, place.root, place.outbox, group.doors)
            plan |= {
                "argv": [str(BWRAP), "--args", str(arguments), "--", *spec.argv],
                "status": status_write,
                "parent": os.getpid(),
            }
            plan_file = memory_file(theirs, "plan", json.dumps(plan).encode())
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LAUNCHER), str(plan_file)],
                stdin=stdin,
                stdout=log_write,
                stderr=log_write,
                pass_fds=(status_write, program, arguments, plan_file),
                env=launcher_environment(),
                cwd="/",
                start_new_session=True,
            )
        return log_read, status_read, process
