"""What is planted on the host for the hostile program to find: each bait lies open, so that nothing but the jail keeps it."""

from __future__ import annotations

import ctypes
import os
import platform
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from jobs.jail.seccomp import MACHINES


BAIT_VARIABLE: Final = "SHUZHA_BATTERY_BAIT"
HOSTILE: Final = Path(__file__).with_name("hostile")
_KEYCTL_JOIN, _SESSION_KEYRING = 1, -3
_IPC_CREAT, _IPC_RMID = 0o1000, 0
_GROUP: Final = 131_071
"""A supplementary group that the platform is put into, and that no run may keep."""
_MS_FLAGS: Final = {"MS_NOSUID": 2, "MS_NODEV": 4}
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Planted:
    """The baits on the host, as the hostile program is told of them, and the folders that it is given.

    Attributes:
        targets: what the hostile program is told.
        folder: the folder of the baits; open to everyone, so that only the jail stands between.
        job: a folder with the hostile program, to be mounted as ``/job``.
        table: a folder to be mounted as ``/in/t``.
        uid: the tenant's uid.
    """

    targets: dict[str, Any]
    folder: Path
    job: Path
    table: Path
    uid: int


@dataclass(frozen=True)
class Surroundings:
    """What of the real domain the hostile program is to look for.

    Attributes:
        places: files and folders of the domain that must not be there for it.
        names: names of people, companies and tables that the kernel must not show it.
    """

    places: Sequence[str] = ()
    names: Sequence[str] = field(default_factory=tuple)


@contextmanager
def planted(folder: Path, uid: int, around: Surroundings | None = None) -> Iterator[Planted]:
    """Plant every bait below ``folder``, which must be reachable for all, and take them away again.

    The calling process gets a session keyring, a group and an environment variable as baits: start one for this alone where the
    caller's own matter.

    Args:
        folder: an empty folder.
        uid: the tenant's uid; a victim process runs under it, because nothing but the jail keeps a uid from its own processes.
        around: what else to look for.
    """
    mark = secrets.token_hex(8)
    found = around or Surroundings()
    with ExitStack() as stack:
        targets = _plant_files(folder, uid)
        targets |= (
            _plant_memory(stack, mark) | _plant_sockets(stack, folder, mark) | _plant_process(stack, folder, uid, mark)
        )
        targets |= {
            "calls": dict(MACHINES[platform.machine()].calls),
            "machine": platform.machine(),
            "host_name": os.uname().nodename,
            "session": os.getsid(0),
            "uid": uid,
            "domain": [*found.places, targets["host_file"]] if not found.places else list(found.places),
            "names": [*found.names, targets["neighbour_name"]],
        }
        yield Planted(targets, folder, folder / "job", folder / "table", uid)


def _plant_files(folder: Path, uid: int) -> dict[str, Any]:
    """Make files and folders that anybody may read and write: what protects them is that they are not there."""
    folder.chmod(0o755)
    (folder / "canary").write_text("bait")
    name = f"neighbour-{secrets.token_hex(4)}"
    for inner in (name, "job", "table", "outbox"):
        (folder / inner).mkdir()
        (folder / inner).chmod(0o777)
    os.chown(folder / "outbox", uid, uid)
    (folder / name / "visits.parquet").write_text("bait")
    shutil.copytree(HOSTILE, folder / "job" / "hostile", ignore=shutil.ignore_patterns("__pycache__"))
    furnish_table(folder / "table", uid)
    return {"host_file": str(folder / "canary"), "neighbour": str(folder / name), "neighbour_name": name}


def furnish_table(table: Path, uid: int) -> None:
    """Put into an input folder what only the mount protects: a file of the tenant's own that anybody may write, and a program."""
    (table / "open-to-all").write_text("bait")
    os.chown(table / "open-to-all", uid, uid)
    (table / "open-to-all").chmod(0o666)
    shutil.copy("/usr/bin/true", table / "program")
    (table / "program").chmod(0o755)


def _plant_memory(stack: ExitStack, mark: str) -> dict[str, Any]:
    shared = Path("/dev/shm", f"shuzha-{mark}")  # noqa: S108 -- where shared memory lies
    shared.write_text("bait")
    shared.chmod(0o644)
    stack.callback(shared.unlink)
    _plant_key(mark)
    return {
        "key": mark,
        "shared_memory": shared.name,
        "system_v_key": stack.enter_context(_system_v()),
        "queue": stack.enter_context(_message_queue(f"/shuzha-{mark}")),
    }


def _plant_sockets(stack: ExitStack, folder: Path, mark: str) -> dict[str, Any]:
    return {
        "port": stack.enter_context(_listener("127.0.0.1", socket.AF_INET)),
        "port_v6": stack.enter_context(_listener("::1", socket.AF_INET6)),
        "abstract": stack.enter_context(_abstract_socket(mark)),
        "socket_file": stack.enter_context(_socket_file(folder / "socket")),
    }


def _plant_process(stack: ExitStack, folder: Path, uid: int, mark: str) -> dict[str, Any]:
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    stack.callback(os.close, directory)
    os.set_inheritable(directory, True)
    variable = f"{BAIT_VARIABLE}_{mark.upper()}"
    os.environ[variable] = mark
    stack.callback(os.environ.pop, variable)
    groups = os.getgroups()
    os.setgroups([*groups, _GROUP])
    stack.callback(os.setgroups, groups)
    return {
        "environment_secret": mark,
        "victim": stack.enter_context(_victim(uid, mark)),
        "victim_mark": mark,
        "terminal": stack.enter_context(_terminal()),
        "mount": stack.enter_context(_mount(folder / f"mounted-{mark}")),
    }


@cache
def _own_keyring() -> None:
    """Give this process a session keyring of its own, once."""
    calls = MACHINES[platform.machine()].calls
    if _libc.syscall(ctypes.c_long(calls["keyctl"]), ctypes.c_int(_KEYCTL_JOIN), None) < 0:
        raise OSError(ctypes.get_errno(), "keyctl")


def _plant_key(mark: str) -> None:
    """Put a key into this process's session keyring, which its children inherit."""
    _own_keyring()
    calls = MACHINES[platform.machine()].calls
    key = _libc.syscall(
        ctypes.c_long(calls["add_key"]),
        b"user",
        mark.encode(),
        b"bait",
        ctypes.c_long(4),
        ctypes.c_int(_SESSION_KEYRING),
    )
    if key < 0:
        raise OSError(ctypes.get_errno(), "add_key")
    # Whoever the key's session passes to may find it: possession alone decides, as with a key the platform keeps for itself.
    _libc.syscall(ctypes.c_long(calls["keyctl"]), ctypes.c_int(5), ctypes.c_int(key), ctypes.c_uint(0x3F3F3F3F))


@contextmanager
def _system_v() -> Iterator[int]:
    """Make a segment of memory and a queue under one key."""
    key = secrets.randbelow(1 << 30) + 1
    memory = _libc.shmget(ctypes.c_int(key), ctypes.c_size_t(4096), ctypes.c_int(_IPC_CREAT | 0o666))
    queue = _libc.msgget(ctypes.c_int(key), ctypes.c_int(_IPC_CREAT | 0o666))
    if memory < 0 or queue < 0:
        raise OSError(ctypes.get_errno(), "System V")
    try:
        yield key
    finally:
        _libc.shmctl(ctypes.c_int(memory), ctypes.c_int(_IPC_RMID), None)
        _libc.msgctl(ctypes.c_int(queue), ctypes.c_int(_IPC_RMID), None)


@contextmanager
def _message_queue(name: str) -> Iterator[str]:
    # One short message: the usual size counts a tenth of what a user may hold in queues, and several trials run at once.
    shape = (ctypes.c_long * 8)(0, 1, 64)
    queue = _libc.mq_open(name.encode(), os.O_CREAT | os.O_RDWR, 0o666, shape)
    if queue < 0:
        raise OSError(ctypes.get_errno(), "mq_open")
    _libc.fchmod(queue, 0o666)
    try:
        yield name
    finally:
        os.close(queue)
        _libc.mq_unlink(name.encode())


@contextmanager
def _listener(host: str, family: int) -> Iterator[int]:
    with socket.create_server((host, 0), family=family) as server:
        yield int(server.getsockname()[1])


@contextmanager
def _abstract_socket(mark: str) -> Iterator[str]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{mark}")
        server.listen()
        yield mark


@contextmanager
def _socket_file(path: Path) -> Iterator[str]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        path.chmod(0o777)
        yield str(path)


@contextmanager
def _terminal() -> Iterator[str]:
    """Open a terminal on the host; gives its name in ``/dev/pts``."""
    leader, follower = os.openpty()
    try:
        yield Path(os.ttyname(follower)).name
    finally:
        os.close(leader)
        os.close(follower)


@contextmanager
def _mount(place: Path) -> Iterator[str]:
    """Mount a small file system on the host; gives its name, which the host's table of mounts shows."""
    place.mkdir()
    flags = ctypes.c_ulong(sum(_MS_FLAGS.values()))
    if _libc.mount(place.name.encode(), str(place).encode(), b"tmpfs", flags, b"size=64k") != 0:
        raise OSError(ctypes.get_errno(), "mount")
    try:
        yield place.name
    finally:
        _libc.umount2(str(place).encode(), 2)


@contextmanager
def _victim(uid: int, mark: str) -> Iterator[int]:
    """Start a process of the tenant's uid on the host; it waits for the end of its stdin, with the mark on its command line."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", "read -r line", mark],
        stdin=subprocess.PIPE,
        user=uid,
        group=uid,
        extra_groups=[],
        close_fds=True,
    )
    try:
        yield process.pid
    finally:
        process.kill()
        process.communicate()
