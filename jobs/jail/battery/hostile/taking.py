"""Attempts to take more than was granted, or to stay longer."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from .table import MEBIBYTE, attempt, stopped


@attempt("take more memory than granted")
def _memory_bomb(targets: dict[str, Any]) -> str:
    held = [b"\xff" * MEBIBYTE for _ in range(targets["memory_bytes"] // MEBIBYTE + 32)]
    return f"{len(held)} MiB"


@attempt("start more processes than granted")
def _fork_bomb(targets: dict[str, Any]) -> str:
    wanted = targets["processes"] + 8
    children: list[int] = []
    try:
        while len(children) < wanted:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
        return f"{len(children)} processes"
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


@attempt("write more than the outbox holds")
def _disk_bomb(targets: dict[str, Any]) -> str:
    return _fill(Path(targets["outbox"], "bomb"), 2 * targets["outbox_bytes"])


@attempt("write more to /tmp than granted")
def _temporary_bomb(targets: dict[str, Any]) -> str:
    """Many files, because one is bounded by the size of a file."""
    folder = Path("/tmp/bombs")  # noqa: S108 -- the place under attack
    folder.mkdir()
    try:
        for number in range(targets["memory_bytes"] // (8 * MEBIBYTE) + 1):
            (folder / str(number)).write_bytes(b"\xff" * 8 * MEBIBYTE)
        return f"{targets['memory_bytes']} bytes"
    finally:
        shutil.rmtree(folder)


def _fill(path: Path, size: int) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with path.open("wb", buffering=0) as file:
            while file.tell() < size:
                file.write(b"\xff" * MEBIBYTE)
        return f"{size} bytes"
    finally:
        path.unlink()


@attempt("make more files than the outbox holds")
def _inode_bomb(targets: dict[str, Any]) -> str:
    folder = Path(targets["outbox"], "many")
    folder.mkdir()
    try:
        for number in range(4 * targets["outbox_files"] + 64):
            (folder / str(number)).touch()
        return "made them"
    finally:
        shutil.rmtree(folder)


@attempt("make a sparse terabyte")
def _sparse(targets: dict[str, Any]) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = Path(targets["outbox"], "sparse")
    path.touch()
    try:
        os.truncate(path, 1 << 40)
        return "a terabyte"
    finally:
        path.unlink()


@attempt("use more processors than granted")
def _processor_bomb(targets: dict[str, Any]) -> str:
    """Two busy processes on a grant of one core: over a quarter second more than 1.5 cores is an escape."""
    wall = 0.6
    children = [_spin(wall) for _ in range(4)]
    before = time.monotonic()
    for child in children:
        os.waitpid(child, 0)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    share = (used.ru_utime + used.ru_stime) / (time.monotonic() - before)
    return f"{share:.2f} cores" if share > 1.5 * targets["cores"] else stopped(f"{share:.2f} cores")


def _spin(seconds: float) -> int:
    child = os.fork()
    if child == 0:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        os._exit(0)
    return child


@attempt("outlive the run")
def _daemon(targets: dict[str, Any]) -> str:
    """Leave a daemon in a session of its own that writes late; the host looks whether it lives, so this always succeeds here."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 64)
            path = Path(targets["outbox"], "late")
            for number in range(100_000):
                path.write_text(str(number))
                time.sleep(0.01)
        os._exit(0)
    return "left behind"
