# ruff: noqa: ARG001 -- every attempt has the same signature
"""Attempts to reach the network, other processes, more privileges, and the kernel's large interfaces."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
from pathlib import Path
from typing import Any, Final

from .table import attempt, call, first, processes, reached, stopped


_CLONE_NEWUSER, _CLONE_NEWNS = 0x10000000, 0x00020000
_PTRACE_TRACEME, _PTRACE_ATTACH, _PTRACE_DETACH = 0, 16, 17
_NO_RANDOM: Final = 0x0040000


@attempt("connect to a listener on the host's loopback")
def _loopback(targets: dict[str, Any]) -> str:
    with socket.create_connection(("127.0.0.1", targets["port"]), 2):
        return "connected"


@attempt("see an interface beside loopback")
def _interfaces(targets: dict[str, Any]) -> str:
    return first([name for _, name in socket.if_nameindex() if name != "lo"])


@attempt("send a packet out")
def _packet(targets: dict[str, Any]) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("192.0.2.1", 9))
    return "sent"


@attempt("connect to an abstract socket of the host")
def _abstract(targets: dict[str, Any]) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\0" + targets["abstract"])
    return "connected"


@attempt("connect to a socket file of the host")
def _socket_file(targets: dict[str, Any]) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(targets["socket_file"])
    return "connected"


@attempt("open a socket to the hypervisor")
def _vsock(targets: dict[str, Any]) -> str:
    with socket.socket(40, socket.SOCK_STREAM):
        return "AF_VSOCK is open"


@attempt("open a raw crypto socket")
def _crypto_socket(targets: dict[str, Any]) -> str:
    with socket.socket(38, socket.SOCK_SEQPACKET):
        return "AF_ALG is open"


@attempt("signal a process of the host")
def _signal(targets: dict[str, Any]) -> str:
    os.kill(targets["victim"], 0)
    return f"reached {targets['victim']}"


@attempt("see a process of the host")
def _see_process(targets: dict[str, Any]) -> str:
    mark = targets["victim_mark"].encode()
    found = []
    for process in processes():
        with contextlib.suppress(OSError):
            if mark in (process / "cmdline").read_bytes():
                found.append(process.name)
    return first(found)


@attempt("trace a process of the host")
def _trace(targets: dict[str, Any]) -> str:
    call(targets, "ptrace", _PTRACE_ATTACH, targets["victim"], 0, 0)
    os.waitpid(targets["victim"], 0x40000000)
    call(targets, "ptrace", _PTRACE_DETACH, targets["victim"], 0, 0)
    return "attached"


@attempt("trace at all")
def _trace_me(targets: dict[str, Any]) -> str:
    call(targets, "ptrace", _PTRACE_TRACEME, 0, 0, 0)
    return "PTRACE_TRACEME"


@attempt("read another process's memory")
def _read_memory(targets: dict[str, Any]) -> str:
    return reached(targets, "process_vm_readv", os.getppid(), 0, 0, 0, 0, 0)


@attempt("keep a capability")
def _capabilities(targets: dict[str, Any]) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return first([line for line in lines if line.startswith("Cap") and int(line.split()[1], 16)])


@attempt("gain privileges by a set-uid program")
def _new_privileges(targets: dict[str, Any]) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return first([line for line in lines if line == "NoNewPrivs:\t0"])


@attempt("make a user namespace")
def _user_namespace(targets: dict[str, Any]) -> str:
    call(targets, "unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
    return "made"


@attempt("make a user namespace by clone")
def _clone_namespace(targets: dict[str, Any]) -> str:
    child = call(targets, "clone", _CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "made"


@attempt("hide flags in clone3")
def _clone3(targets: dict[str, Any]) -> str:
    return reached(targets, "clone3", 0, 0)


@attempt("mount a file system")
def _mount(targets: dict[str, Any]) -> str:
    with contextlib.suppress(OSError):
        call(targets, "unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
    call(targets, "mount", b"none", b"/tmp", b"tmpfs", 0, None)
    return "mounted"


@attempt("set up io_uring")
def _io_uring(targets: dict[str, Any]) -> str:
    return reached(targets, "io_uring_setup", 1, 0)


@attempt("set up userfaultfd")
def _userfaultfd(targets: dict[str, Any]) -> str:
    return reached(targets, "userfaultfd", 1)


@attempt("load a BPF program")
def _bpf(targets: dict[str, Any]) -> str:
    return reached(targets, "bpf", 0, 0, 0)


@attempt("switch address randomisation off")
def _personality(targets: dict[str, Any]) -> str:
    call(targets, "personality", _NO_RANDOM)
    return "personality set"


@attempt("leave a core dump")
def _core(targets: dict[str, Any]) -> str:
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    return f"limit {hard}" if hard else stopped("limit 0")
