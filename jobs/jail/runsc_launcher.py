"""The few steps between the platform and gVisor's ``runsc``, in a process of their own that ends by becoming it.

Runs as a script with the standard library alone (``python -I -S runsc_launcher.py FD``). What it shares with bubblewrap's launcher it
takes from there: its life is tied to the platform's, it joins the run's control groups, takes an empty session keyring, and leaves the
host's tree for one in which only the named sources exist. It keeps its privileges, because ``runsc`` needs them to shut its own two
processes into namespaces: the file server as a uid of this tenant's alone, the kernel as nobody, both without capabilities on the host.

Any failure is written to the status descriptor as ``{"error": …}``, and nothing starts (law 7).
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from types import ModuleType


def _shared() -> ModuleType:
    """Load the other launcher by its place: an isolated interpreter has no search path to find it on."""
    spec = importlib.util.spec_from_file_location("launcher", Path(__file__).with_name("launcher.py"))
    if spec is None or spec.loader is None:
        raise ImportError("launcher")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Carry out the plan; the last step does not return."""
    launcher = _shared()
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        plan: dict[str, Any] = json.load(file)
    try:
        launcher.die_with(plan["parent"])
        os.umask(0o022)
        launcher.join_groups(plan["doors"])
        launcher.take_empty_keyring()
        launcher.build_root(plan["root"], plan)
        os.setgroups([])
        launcher.set_limits(plan["rlimits"])
        os.execve(plan["argv"][0], plan["argv"], {})  # noqa: S606 -- becoming runsc is the purpose
    except (launcher.StepError, OSError, ValueError, KeyError) as error:
        known = isinstance(error, launcher.StepError)
        reason = str(error) if known else f"{type(error).__name__} {getattr(error, 'strerror', '')}"
        os.write(plan["status"], json.dumps({"error": reason}).encode() + b"\n")
        os._exit(launcher.FAILED)


if __name__ == "__main__":
    main()
