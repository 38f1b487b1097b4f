"""Attempts to learn what others on the machine do, or to leave a sign for them, through what all runs share."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Any, Final

from .table import any_reached, probes, reached, readable, stopped


probe = probes("channels")

_SHARED: Final = "/usr/bin/env"
_F_SETLEASE, _F_NOTIFY, _F_OFD_GETLK = 1024, 1026, 36


@probe("read-load")
def _load(_: dict[str, Any]) -> str:
    return readable(["/proc/loadavg", "/proc/stat", "/proc/schedstat", "/proc/pressure/cpu", "/proc/vmstat"])


@probe("read-disk-activity")
def _disks(_: dict[str, Any]) -> str:
    return readable(["/proc/diskstats", "/proc/partitions", "/proc/pressure/io", "/proc/fs/ext4/vda/mb_groups"])


@probe("read-interrupts")
def _interrupts(_: dict[str, Any]) -> str:
    return readable(["/proc/interrupts", "/proc/softirqs", "/proc/timer_list"])


@probe("read-memory-layout")
def _memory_layout(_: dict[str, Any]) -> str:
    return readable(["/proc/zoneinfo", "/proc/buddyinfo", "/proc/slabinfo", "/proc/pagetypeinfo", "/proc/kpagecount"])


@probe("read-locks-of-others")
def _locks(_: dict[str, Any]) -> str:
    """The table of locks counts and places the locks of every process of the machine."""
    with Path("/proc/locks").open("rb") as file:
        file.read()
    return "/proc/locks"


@probe("read-counts-of-open-files")
def _open_files(_: dict[str, Any]) -> str:
    names = ("file-nr", "inode-nr", "inode-state", "dentry-state", "aio-nr")
    return readable([f"/proc/sys/fs/{name}" for name in names])


@probe("read-kernel-command-line")
def _command_line(_: dict[str, Any]) -> str:
    return readable(["/proc/cmdline", "/proc/consoles", "/proc/crypto"])


@probe("measure-free-disk-space")
def _free_space(_: dict[str, Any]) -> str:
    """The shared system folders lie on a disk of the host: its free space tells what other runs write."""
    return f"{os.statvfs('/usr').f_bfree} blocks"


@probe("lock-shared-file")
def _lock(_: dict[str, Any]) -> str:
    """Two runs that lock one system file tell each other a bit at each try."""
    with Path(_SHARED).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return "locked"


@probe("ask-for-lock-of-others")
def _ask_lock(_: dict[str, Any]) -> str:
    with Path(_SHARED).open("rb") as file:
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
        for command in (fcntl.F_GETLK, _F_OFD_GETLK):
            try:
                fcntl.fcntl(file, command, asked)
            except OSError as error:
                if error.errno in {errno.EPERM, errno.EACCES}:
                    continue
            return f"command {command}"
    return stopped("not answered")


@probe("watch-shared-folder")
def _watch(targets: dict[str, Any]) -> str:
    """Whoever may watch the system's folders sees every program that any run starts."""
    return any_reached(targets, {"inotify_init1": (0,), "inotify_init": (), "inotify_add_watch": (-1, b"/usr/bin", 1)})


@probe("watch-shared-folder-by-signal")
def _notify(_: dict[str, Any]) -> str:
    folder = os.open("/usr/bin", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.fcntl(folder, _F_NOTIFY, 1)
    finally:
        os.close(folder)
    return "watched"


@probe("watch-whole-disk")
def _fanotify(targets: dict[str, Any]) -> str:
    return reached(targets, "fanotify_init", 0x200, 0)


@probe("ask-for-cached-pages")
def _cached(targets: dict[str, Any]) -> str:
    """What of a shared file is in memory tells what others read of it."""
    with Path(_SHARED).open("rb") as file:
        return reached(targets, "cachestat", file.fileno(), 0, 0, 0)


@probe("ask-for-resident-pages")
def _resident(_: dict[str, Any]) -> str:
    """mincore(2) answers truly only to who may write the file (Gruss and others 2019, *Page Cache Attacks*)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    size = Path(_SHARED).stat().st_size
    with Path(_SHARED).open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        place = libc.mmap(None, ctypes.c_size_t(size), 1, 1, file.fileno(), ctypes.c_long(0))
    pages = (ctypes.c_ubyte * (size // 4096 + 1))()
    if libc.mincore(ctypes.c_void_p(place), ctypes.c_size_t(size), pages) != 0:
        raise OSError(ctypes.get_errno(), "mincore")
    resident = sum(page & 1 for page in pages[: (size + 4095) // 4096])
    return "true answer" if resident < (size + 4095) // 4096 else stopped("every page is said to be there")


@probe("take-lease-on-shared-file")
def _lease(_: dict[str, Any]) -> str:
    """A lease tells its holder when somebody else opens the file."""
    with Path(_SHARED).open("rb") as file:
        try:
            fcntl.fcntl(file, _F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            if error.errno == errno.EPERM:
                raise
    return "the kernel was asked"
