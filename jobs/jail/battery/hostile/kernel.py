"""Attempts to reach the large and the rare interfaces of the kernel, to make namespaces, and to change the machine."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
from pathlib import Path
from typing import Any, Final

from .table import any_reached, call, libc, probes, reached, stopped


probe = probes("kernel")

_CLONE_NEWUSER, _CLONE_NEWNS = 0x10000000, 0x00020000
_NO_RANDOM: Final = 0x0040000
# mov eax, 20 (getpid of the 32-bit calls); int 0x80; ret
_OLD_CALL: Final = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"


@probe("make-user-namespace")
def _user_namespace(targets: dict[str, Any]) -> str:
    call(targets, "unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
    return "made"


@probe("make-user-namespace-by-clone")
def _clone_namespace(targets: dict[str, Any]) -> str:
    child = call(targets, "clone", _CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "made"


@probe("hide-flags-in-clone3")
def _clone3(targets: dict[str, Any]) -> str:
    return reached(targets, "clone3", 0, 0)


@probe("enter-namespace")
def _setns(targets: dict[str, Any]) -> str:
    return reached(targets, "setns", -1, 0)


@probe("build-file-system")
def _fsopen(targets: dict[str, Any]) -> str:
    calls: dict[str, tuple[int | bytes | None, ...]] = {
        "fsopen": (b"tmpfs", 0),
        "fspick": (-100, b"/", 0),
        "fsconfig": (-1, 0, 0, 0, 0),
        "fsmount": (-1, 0, 0),
        "move_mount": (-1, b"", -1, b"", 0),
        "mount_setattr": (-1, b"", 0, 0, 0),
        "pivot_root": (b".", b"."),
    }
    return any_reached(targets, calls)


@probe("set-up-io-uring")
def _io_uring(targets: dict[str, Any]) -> str:
    return reached(targets, "io_uring_setup", 1, 0)


@probe("set-up-userfaultfd")
def _userfaultfd(targets: dict[str, Any]) -> str:
    return reached(targets, "userfaultfd", 1)


@probe("load-bpf")
def _bpf(targets: dict[str, Any]) -> str:
    return reached(targets, "bpf", 0, 0, 0)


@probe("watch-performance")
def _perf(targets: dict[str, Any]) -> str:
    return reached(targets, "perf_event_open", 0, 0, -1, -1, 0)


@probe("switch-randomisation-off")
def _personality(targets: dict[str, Any]) -> str:
    call(targets, "personality", _NO_RANDOM)
    return "personality set"


@probe("call-by-32-bit-door")
def _old_door(targets: dict[str, Any]) -> str:
    """The same numbers mean other calls there, so a filter that does not look at the architecture lets them through."""
    if targets["machine"] != "x86_64":
        stopped("no such door")
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(_OLD_CALL)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    return f"getpid gives {function()}"


@probe("call-by-x32-door")
def _x32(targets: dict[str, Any]) -> str:
    if targets["machine"] != "x86_64":
        stopped("no such door")
    result = libc.syscall(ctypes.c_long(0x40000000 + 39))
    if result < 0:
        raise OSError(ctypes.get_errno(), "x32")
    return f"getpid gives {result}"


@probe("change-segments")
def _modify_ldt(targets: dict[str, Any]) -> str:
    return any_reached(targets, {"modify_ldt": (0, 0, 0), "iopl": (0,), "ioperm": (0, 0, 0)})


@probe("place-memory")
def _place_memory(targets: dict[str, Any]) -> str:
    calls: dict[str, tuple[int | bytes | None, ...]] = {
        "mbind": (0, 0, 0, 0, 0, 0),
        "move_pages": (0, 0, 0, 0, 0, 0),
        "migrate_pages": (0, 0, 0, 0),
    }
    return any_reached(targets, calls)


@probe("set-clock")
def _clock(targets: dict[str, Any]) -> str:
    calls: dict[str, tuple[int | bytes | None, ...]] = {
        "adjtimex": (0,),
        "clock_adjtime": (0, 0),
        "clock_settime": (0, 0),
        "settimeofday": (0, 0),
    }
    return any_reached(targets, calls)


@probe("set-host-name")
def _set_name(targets: dict[str, Any]) -> str:
    return any_reached(targets, {"sethostname": (b"x", 1), "setdomainname": (b"x", 1)})


@probe("set-quota-or-swap")
def _quota(targets: dict[str, Any]) -> str:
    calls: dict[str, tuple[int | bytes | None, ...]] = {
        "quotactl": (0x80000800, 0, 0, 0),
        "quotactl_fd": (-1, 0, 0, 0),
        "swapon": (b"/nowhere", 0),
        "swapoff": (b"/nowhere",),
        "acct": (b"/nowhere",),
    }
    return any_reached(targets, calls)


@probe("load-module-or-kernel")
def _module(targets: dict[str, Any]) -> str:
    calls: dict[str, tuple[int | bytes | None, ...]] = {
        "init_module": (0, 0, b""),
        "finit_module": (-1, b"", 0),
        "delete_module": (b"none", 0),
        "kexec_load": (0, 0, 0, 0),
        "kexec_file_load": (-1, -1, 0, b"", 0),
        "reboot": (0, 0, 0, 0),
    }
    return any_reached(targets, calls)


@probe("read-kernel-log")
def _kernel_log(targets: dict[str, Any]) -> str:
    return reached(targets, "syslog", 10, 0, 0)


@probe("write-kernel-setting")
def _setting(_: dict[str, Any]) -> str:
    for name in ("kernel/core_pattern", "kernel/modprobe", "vm/drop_caches", "net/ipv4/ip_forward"):
        try:
            with Path("/proc/sys", name).open("r+b"):
                return name
        except OSError:
            continue
    return stopped("none can be opened")


@probe("pull-the-emergency-lever")
def _sysrq(_: dict[str, Any]) -> str:
    with Path("/proc/sysrq-trigger").open("wb"):
        return "opened"


@probe("register-program-format")
def _formats(_: dict[str, Any]) -> str:
    with Path("/proc/sys/fs/binfmt_misc/register").open("wb"):
        return "opened"


@probe("read-kernel-addresses")
def _addresses(_: dict[str, Any]) -> str:
    for name in ("kallsyms", "iomem", "modules", "kcore", "config.gz", "vmallocinfo"):
        try:
            with Path("/proc", name).open("rb") as file:
                if file.read(16):
                    return name
        except OSError:
            continue
    return stopped("none can be read")
