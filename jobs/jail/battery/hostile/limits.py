"""Attempts to take more than was granted."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any, Final

from .table import MEBIBYTE, libc, probes, stopped


probe = probes("limits")

_LARGEST_OPEN: Final = 8192
_LEFT_BEHIND: Final = ("/tmp/bombs", "/dev/shm/bombs")  # noqa: S108 -- the places under attack


def sweep() -> None:
    """Remove what a probe that was killed could not: its files are memory, and would be the next one's death."""
    for folder in _LEFT_BEHIND:
        shutil.rmtree(folder, ignore_errors=True)


def _be_the_one_to_die() -> None:
    """Be the one whom the kernel kills when the group's memory is full, and not the process that tells what came of it."""
    Path("/proc/self/oom_score_adj").write_text("1000")


@probe("take-more-memory")
def _memory_bomb(targets: dict[str, Any]) -> str:
    _be_the_one_to_die()
    held = [b"\xff" * MEBIBYTE for _ in range(targets["memory_bytes"] // MEBIBYTE + 32)]
    return f"{len(held)} MiB"


@probe("take-more-memory-by-files")
def _temporary_bomb(targets: dict[str, Any]) -> str:
    """Many files, because one is bounded by the size of a file."""
    _be_the_one_to_die()
    folder = Path(_LEFT_BEHIND[0])
    folder.mkdir()
    try:
        for number in range(targets["memory_bytes"] // (8 * MEBIBYTE) + 1):
            (folder / str(number)).write_bytes(b"\xff" * 8 * MEBIBYTE)
        return f"{targets['memory_bytes']} bytes"
    finally:
        shutil.rmtree(folder)


@probe("take-more-shared-memory")
def _shared_bomb(targets: dict[str, Any]) -> str:
    _be_the_one_to_die()
    folder = Path(_LEFT_BEHIND[1])
    folder.mkdir()
    try:
        for number in range(targets["memory_bytes"] // (16 * MEBIBYTE) + 1):
            (folder / str(number)).write_bytes(b"\xff" * 8 * MEBIBYTE)
        return f"{targets['memory_bytes'] // 2} bytes"
    finally:
        shutil.rmtree(folder)


@probe("start-more-processes")
def _fork_bomb(targets: dict[str, Any]) -> str:
    """Threads count as processes do, and cost less than the memory that is bounded too; the attempt's own end ends them."""
    wanted = targets["processes"] + 8
    threading.stack_size(64 * 1024)
    waiting = threading.Event()
    try:
        for _ in range(wanted):
            threading.Thread(target=waiting.wait, daemon=True).start()
    except RuntimeError as error:
        stopped(str(error))
    return f"{wanted} processes"


@probe("have-no-bound-on-processes")
def _process_limit(targets: dict[str, Any]) -> str:
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    unbounded = hard == resource.RLIM_INFINITY or hard > 4 * targets["processes"]
    return f"limit {hard}" if unbounded else stopped(f"limit {hard}")


@probe("fill-outbox")
def _disk_bomb(targets: dict[str, Any]) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path, size = Path(targets["outbox"], "bomb"), 2 * targets["outbox_bytes"]
    try:
        with path.open("wb", buffering=0) as file:
            while file.tell() < size:
                file.write(b"\xff" * MEBIBYTE)
        return f"{size} bytes"
    finally:
        path.unlink()


@probe("make-more-files")
def _inode_bomb(targets: dict[str, Any]) -> str:
    folder = Path(targets["outbox"], "many")
    folder.mkdir()
    try:
        for number in range(4 * targets["outbox_files"] + 64):
            (folder / str(number)).touch()
        return "made them"
    finally:
        shutil.rmtree(folder)


@probe("make-sparse-terabyte")
def _sparse(targets: dict[str, Any]) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = Path(targets["outbox"], "sparse")
    path.touch()
    try:
        os.truncate(path, 1 << 40)
        return "a terabyte"
    finally:
        path.unlink()


@probe("use-more-processors")
def _processor_bomb(targets: dict[str, Any]) -> str:
    """Busy processes on a grant of one core: over a while more than 1.5 cores is an escape."""
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


@probe("open-more-files")
def _open_files(_: dict[str, Any]) -> str:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _LARGEST_OPEN + 1
    if soft < wanted <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted + 16, hard))
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(wanted)]
    return f"{len(held)} files"


@probe("lock-memory")
def _lock_memory(_: dict[str, Any]) -> str:
    page = ctypes.create_string_buffer(4096)
    if libc.mlock(page, ctypes.c_size_t(4096)) != 0:
        raise OSError(ctypes.get_errno(), "mlock")
    return "locked"


@probe("run-in-real-time")
def _real_time(_: dict[str, Any]) -> str:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return "SCHED_FIFO"


@probe("have-no-bound-on-real-time")
def _real_time_limit(_: dict[str, Any]) -> str:
    hard = resource.getrlimit(resource.RLIMIT_RTPRIO)[1]
    return f"limit {hard}" if hard else stopped("limit 0")


@probe("raise-priority")
def _priority(_: dict[str, Any]) -> str:
    return f"nice {os.nice(-1)}"


@probe("raise-limit")
def _raise_limit(_: dict[str, Any]) -> str:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if hard == resource.RLIM_INFINITY:
        return "there is none"
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard + 1))
    except ValueError as error:
        stopped(str(error))
    return f"raised beyond {hard}"


@probe("leave-core-dump")
def _core(_: dict[str, Any]) -> str:
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    return f"limit {hard}" if hard else stopped("limit 0")


@probe("queue-signals")
def _signals(_: dict[str, Any]) -> str:
    hard = resource.getrlimit(resource.RLIMIT_SIGPENDING)[1]
    unbounded = hard == resource.RLIM_INFINITY or hard > _LARGEST_OPEN
    return f"limit {hard}" if unbounded else stopped(f"limit {hard}")
