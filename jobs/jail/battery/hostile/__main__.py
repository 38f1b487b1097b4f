"""Run the probes, each in a process of its own, one JSON line a result (``python -m hostile TARGETS.json``)."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from . import channels, files, kernel, limits, mines, network, processes
from .table import PROBES, Attempt, BlockedError


SECONDS: Final = 60
LOADED: Final = (files, network, processes, kernel, limits, channels)
"""Their import fills the table, in this order."""


def run_one(function: Attempt, targets: dict[str, Any]) -> dict[str, str]:
    """Run an attempt in a child of its own and say what came of it: escaped, blocked or error."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.write(writing, json.dumps(_outcome(function, {**targets, "own_descriptors": [writing]})).encode())
        os._exit(0)
    os.close(writing)
    ready, _, _ = select.select([reading], [], [], SECONDS)
    if not ready:
        os.kill(child, signal.SIGKILL)
    said = os.read(reading, 65536) if ready else b""
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if said:
        return dict(json.loads(said))
    if os.WIFSIGNALED(status) and ready:
        # Killed by the kernel: for its memory, or for a call of another calling convention.
        return {"verdict": "blocked", "detail": signal.Signals(os.WTERMSIG(status)).name}
    return {"verdict": "error", "detail": "no answer"}


def _outcome(function: Attempt, targets: dict[str, Any]) -> dict[str, str]:
    try:
        return {"verdict": "escaped", "detail": function(targets)[:100]}
    except BlockedError as reason:
        return {"verdict": "blocked", "detail": str(reason)}
    except OSError as error:
        return {"verdict": "blocked", "detail": errno.errorcode.get(error.errno or 0, type(error).__name__)}
    except MemoryError:
        return {"verdict": "blocked", "detail": "MemoryError"}
    except Exception as error:  # noqa: BLE001 -- whatever else happens is the battery's own mistake, and is told as that
        return {"verdict": "error", "detail": f"{type(error).__name__}: {error}"[:100]}


def run_all(targets: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Run every probe of the table, or those that the targets name, and say what came of each."""
    for name in targets.get("only") or list(PROBES):
        yield {"probe": name, **run_one(PROBES[name].attempt, targets)}
        limits.sweep()


def main() -> None:
    """Run the probes against the targets of the file, or lay the mines."""
    targets = json.loads(Path(sys.argv[1]).read_text())
    if targets.get("lay_mines"):
        mines.plant_all(Path(targets["outbox"]))
        return
    for result in run_all(targets):
        os.write(1, json.dumps(result).encode() + b"\n")


if __name__ == "__main__":
    main()
