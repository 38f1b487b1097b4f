# ruff: noqa: ARG001 -- every attempt has the same signature
"""Attempts to see, take or change what belongs to the host, the platform or a neighbour."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from .table import BlockedError, attempt, call, first, libc, names, processes, stopped


_KEYCTL_SEARCH, _SESSION_KEYRING = 10, -3


@attempt("read a file of the host")
def _read_host_file(targets: dict[str, Any]) -> str:
    return Path(targets["host_file"]).read_text()


@attempt("read the neighbour's folder")
def _read_neighbour(targets: dict[str, Any]) -> str:
    return first(names(targets["neighbour"]))


@attempt("reach the host through process 1")
def _root_of_one(targets: dict[str, Any]) -> str:
    for pid in ("1", "self"):
        for way in ("root", "cwd"):
            with contextlib.suppress(OSError):
                return Path(f"/proc/{pid}/{way}{targets['host_file']}").read_text()
    raise BlockedError("no way")


@attempt("see the host's root")
def _see_root(targets: dict[str, Any]) -> str:
    return first([name for name in names("/") if name in {"root", "home", "var", "srv", "boot", "sys"}])


@attempt("see the host's devices")
def _see_devices(targets: dict[str, Any]) -> str:
    return first([name for name in names("/dev") if name.startswith(("vd", "sd", "nvme", "loop", "mem", "kmsg"))])


@attempt("write to the root folder")
def _write_root(targets: dict[str, Any]) -> str:
    return _write_new("/")


@attempt("write to the system's programs")
def _write_usr(targets: dict[str, Any]) -> str:
    return _write_new("/usr/bin")


@attempt("write to its own code")
def _write_job(targets: dict[str, Any]) -> str:
    return _write_new(targets["job"])


@attempt("write to its input")
def _write_input(targets: dict[str, Any]) -> str:
    return _write_new(targets["input"])


def _write_new(folder: str) -> str:
    path = Path(folder, "planted-by-a-probe")
    path.write_text("here")
    path.unlink()
    return f"wrote to {folder}"


@attempt("follow a link in the outbox")
def _follow_link(targets: dict[str, Any]) -> str:
    link = Path(targets["outbox"], "link")
    link.symlink_to("/usr/bin/env")
    try:
        with link.open("rb") as file:
            return f"read {len(file.read(4))} bytes"
    finally:
        link.unlink()


@attempt("run a program from the outbox")
def _run_from_outbox(targets: dict[str, Any]) -> str:
    program = Path(targets["outbox"], "program")
    shutil.copy("/usr/bin/true", program)
    program.chmod(0o700)
    try:
        return f"exit {subprocess.run([program], check=False).returncode}"
    finally:
        program.unlink()


@attempt("read the machine's own figures")
def _machine_figures(targets: dict[str, Any]) -> str:
    return Path("/proc/loadavg").read_text() and Path("/proc/stat").read_text()[:40]


@attempt("read the platform's environment")
def _environment(targets: dict[str, Any]) -> str:
    secret = targets["environment_secret"].encode()
    found = ["own environment"] if secret in repr(dict(os.environ)).encode() else []
    for process in processes():
        with contextlib.suppress(OSError):
            if secret in (process / "environ").read_bytes():
                found.append(process.name)
    return first(found)


@attempt("use an inherited descriptor")
def _descriptor(targets: dict[str, Any]) -> str:
    for name in names("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found = os.open(Path(targets["host_file"]).name, os.O_RDONLY, dir_fd=int(name))
            return os.read(found, 100).decode()
    raise BlockedError("no directory is open")


@attempt("have any descriptor beyond three")
def _descriptors(targets: dict[str, Any]) -> str:
    """One more is open in passing, to list them; the battery's own pipe is told."""
    own = {0, 1, 2, *targets.get("own_descriptors", ())}
    found = [name for name in names("/proc/self/fd") if int(name) not in own]
    return first(
        [
            f"{name} {Path(f'/proc/self/fd/{name}').readlink()}"
            for name in found
            if Path(f"/proc/self/fd/{name}").exists()
        ]
    )


@attempt("read a key of the platform's session")
def _keyring(targets: dict[str, Any]) -> str:
    key = call(targets, "keyctl", _KEYCTL_SEARCH, _SESSION_KEYRING, b"user", targets["key"].encode(), 0)
    return f"key {key}"


@attempt("store a key for others")
def _add_key(targets: dict[str, Any]) -> str:
    return f"key {call(targets, 'add_key', b'user', b'from-a-probe', b'x', 1, _SESSION_KEYRING)}"


@attempt("read shared memory of the host")
def _shared_memory(targets: dict[str, Any]) -> str:
    return Path("/dev/shm", targets["shared_memory"]).read_text()  # noqa: S108 -- the bait lies there


@attempt("attach System V memory of the host")
def _system_v(targets: dict[str, Any]) -> str:
    identity = libc.shmget(ctypes.c_int(targets["system_v_key"]), 0, 0)
    if identity < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    return f"segment {identity}"


@attempt("learn the host's name")
def _host_name(targets: dict[str, Any]) -> str:
    return os.uname().nodename if os.uname().nodename == targets["host_name"] else stopped("another name")
