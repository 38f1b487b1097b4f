"""Attempts to see, trace, signal or take over other processes, and to read what the platform left in memory."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pty
import re
import struct
import termios
from pathlib import Path
from typing import Any, Final

from .table import BlockedError, call, first, libc, names, probes, processes, reached, stopped


probe = probes("processes")

_KEYCTL_SEARCH, _SESSION_KEYRING = 10, -3
_PTRACE_TRACEME, _PTRACE_ATTACH, _PTRACE_DETACH = 0, 16, 17
_TIOCSTI: Final = 0x5412
_LARGEST_REGION: Final = 8 << 20


@probe("signal-host-process")
def _signal(targets: dict[str, Any]) -> str:
    os.kill(targets["victim"], 0)
    return f"reached {targets['victim']}"


@probe("see-host-process")
def _see_process(targets: dict[str, Any]) -> str:
    mark = targets["victim_mark"].encode()
    found = []
    for process in processes():
        with contextlib.suppress(OSError):
            if mark in (process / "cmdline").read_bytes():
                found.append(process.name)
    return first(found)


@probe("open-host-process")
def _open_process(targets: dict[str, Any]) -> str:
    os.close(os.pidfd_open(targets["victim"]))
    return f"opened {targets['victim']}"


@probe("trace-host-process")
def _trace(targets: dict[str, Any]) -> str:
    call(targets, "ptrace", _PTRACE_ATTACH, targets["victim"], 0, 0)
    os.waitpid(targets["victim"], 0x40000000)
    call(targets, "ptrace", _PTRACE_DETACH, targets["victim"], 0, 0)
    return "attached"


@probe("trace-at-all")
def _trace_me(targets: dict[str, Any]) -> str:
    call(targets, "ptrace", _PTRACE_TRACEME, 0, 0, 0)
    return "PTRACE_TRACEME"


@probe("read-process-memory")
def _read_memory(targets: dict[str, Any]) -> str:
    return reached(targets, "process_vm_readv", os.getppid(), 0, 0, 0, 0, 0)


@probe("write-process-memory")
def _write_memory(targets: dict[str, Any]) -> str:
    return reached(targets, "process_vm_writev", os.getppid(), 0, 0, 0, 0, 0)


@probe("take-descriptor-of-process")
def _take_descriptor(targets: dict[str, Any]) -> str:
    return reached(targets, "pidfd_getfd", -1, 0, 0)


@probe("compare-processes")
def _compare(targets: dict[str, Any]) -> str:
    return reached(targets, "kcmp", os.getpid(), os.getpid(), 2, 0, 0)


@probe("advise-process")
def _advise(targets: dict[str, Any]) -> str:
    return reached(targets, "process_madvise", -1, 0, 0, 0, 0)


@probe("read-platform-environment")
def _environment(targets: dict[str, Any]) -> str:
    secret = targets["environment_secret"].encode()
    found = ["own environment"] if secret in repr(dict(os.environ)).encode() else []
    for process in processes():
        with contextlib.suppress(OSError):
            if secret in (process / "environ").read_bytes():
                found.append(process.name)
    return first(found)


@probe("read-platform-arguments")
def _arguments(targets: dict[str, Any]) -> str:
    """The path of the run's folder on the host stands on no command line."""
    found = []
    for process in processes():
        with contextlib.suppress(OSError):
            if targets["workspace"].encode() in (process / "cmdline").read_bytes():
                found.append(process.name)
    return first(found)


@probe("read-memory-of-process-1")
def _memory_of_one(targets: dict[str, Any]) -> str:
    """Process 1 started as the platform's own program: nothing of the platform may be left in its memory."""
    marks = [targets["environment_secret"].encode(), targets["workspace"].encode()]
    with Path("/proc/1/mem").open("rb", buffering=0) as memory:
        for line in Path("/proc/1/maps").read_text().splitlines():
            start, end, mode = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()  # type: ignore[union-attr]
            size = int(end, 16) - int(start, 16)
            if mode[0] == "r" and size <= _LARGEST_REGION:
                with contextlib.suppress(OSError, ValueError):
                    memory.seek(int(start, 16))
                    if any(mark in memory.read(size) for mark in marks):
                        return f"found in {line[-40:]}"
    raise BlockedError("nothing of the platform in it")


@probe("write-to-descriptor-of-process-1")
def _descriptor_of_one(_: dict[str, Any]) -> str:
    """Process 1 must not hold the pipe by which the exit code is told, nor anything else that can be opened for writing."""
    own = {Path(f"/proc/self/fd/{number}").readlink() for number in (0, 1, 2)}
    for name in names("/proc/1/fd"):
        with contextlib.suppress(OSError):
            where = Path(f"/proc/1/fd/{name}").readlink()
            if where not in own:
                os.close(os.open(f"/proc/1/fd/{name}", os.O_WRONLY | os.O_NONBLOCK))
                return f"{name} {where}"
    raise BlockedError("none can be opened")


@probe("keep-capability")
def _capabilities(_: dict[str, Any]) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return first([line for line in lines if line.startswith("Cap") and int(line.split()[1], 16)])


@probe("gain-privileges-by-set-uid")
def _new_privileges(_: dict[str, Any]) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return first([line for line in lines if line == "NoNewPrivs:\t0"])


@probe("run-without-filter")
def _filter(_: dict[str, Any]) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return first([line for line in lines if line.startswith("Seccomp:") and line.split()[1] != "2"])


@probe("run-without-user-namespace")
def _no_user_namespace(_: dict[str, Any]) -> str:
    """Bubblewrap asked to *try* for a user namespace runs without one and does not say so."""
    lines = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return first([" ".join(line) for line in lines if int(line[2]) > 1])


@probe("keep-group-of-platform")
def _groups(_: dict[str, Any]) -> str:
    return first([str(group) for group in os.getgroups() if group != os.getgid()])


@probe("belong-to-session-of-platform")
def _session(targets: dict[str, Any]) -> str:
    """0 is how a process sees a session whose leader is outside its own namespace."""
    session = os.getsid(0)
    return str(session) if session in {0, targets["session"]} else stopped("a session of its own")


@probe("type-into-terminal")
def _terminal(_: dict[str, Any]) -> str:
    """TIOCSTI puts characters where the terminal's owner seems to have typed them (CVE-2017-5226)."""
    leader, follower = pty.openpty()
    with contextlib.suppress(OSError):
        os.setsid()
    fcntl.ioctl(follower, termios.TIOCSCTTY, 0)
    fcntl.ioctl(follower, _TIOCSTI, b"x")
    os.close(leader)
    return "typed"


@probe("paste-into-terminal")
def _paste(_: dict[str, Any]) -> str:
    leader, follower = pty.openpty()
    try:
        fcntl.ioctl(follower, 0x541C, struct.pack("B", 0))
    except PermissionError:
        raise
    except OSError:
        return "TIOCLINUX reaches the kernel"
    finally:
        os.close(leader)
    return "TIOCLINUX reaches the kernel"


@probe("read-key-of-session")
def _keyring(targets: dict[str, Any]) -> str:
    key = call(targets, "keyctl", _KEYCTL_SEARCH, _SESSION_KEYRING, b"user", targets["key"].encode(), 0)
    return f"key {key}"


@probe("inherit-session-keyring")
def _inherited_keyring(targets: dict[str, Any]) -> str:
    """Look without asking the filter: the kernel lists the keys that a process possesses."""
    for name in ("/proc/keys", "/proc/key-users"):
        with contextlib.suppress(OSError):
            if targets["key"] in Path(name).read_text():
                return name
    return call_or_stop(targets)


def call_or_stop(targets: dict[str, Any]) -> str:
    """Ask the kernel for the key by request_key(2), which searches every keyring of the process."""
    key = call(targets, "request_key", b"user", targets["key"].encode(), None, 0)
    return f"key {key}"


@probe("store-key-for-others")
def _add_key(targets: dict[str, Any]) -> str:
    return f"key {call(targets, 'add_key', b'user', b'from-a-probe', b'x', 1, _SESSION_KEYRING)}"


@probe("read-shared-memory")
def _shared_memory(targets: dict[str, Any]) -> str:
    return Path("/dev/shm", targets["shared_memory"]).read_text()  # noqa: S108 -- the bait lies there


@probe("attach-system-v-memory")
def _system_v(targets: dict[str, Any]) -> str:
    identity = libc.shmget(ctypes.c_int(targets["system_v_key"]), 0, 0)
    if identity < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    return f"segment {identity}"


@probe("open-system-v-queue")
def _system_v_queue(targets: dict[str, Any]) -> str:
    identity = libc.msgget(ctypes.c_int(targets["system_v_key"]), 0)
    if identity < 0:
        raise OSError(ctypes.get_errno(), "msgget")
    return f"queue {identity}"


@probe("open-message-queue")
def _message_queue(targets: dict[str, Any]) -> str:
    queue = libc.mq_open(targets["queue"].encode(), os.O_RDONLY)
    if queue < 0:
        raise OSError(ctypes.get_errno(), "mq_open")
    return f"queue {queue}"


@probe("make-message-queue")
def _new_message_queue(targets: dict[str, Any]) -> str:
    name = f"{targets['queue']}-new".encode()
    queue = libc.mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, None)
    if queue < 0:
        raise OSError(ctypes.get_errno(), "mq_open")
    libc.mq_unlink(name)
    return "made"


@probe("be-spared-when-memory-is-short")
def _spared(_: dict[str, Any]) -> str:
    score = int(Path("/proc/self/oom_score_adj").read_text())
    return str(score) if score <= 0 else stopped(f"score {score}")


@probe("outlive-run")
def _daemon(targets: dict[str, Any]) -> str:
    """Leave a daemon in a session of its own that writes late; the host looks whether it lives, so this always succeeds here."""
    import time

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
