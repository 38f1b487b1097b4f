"""The host's side of the battery: plant baits, run the hostile program with and without the jail, read what it said."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import secrets
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jobs.jail.runtimes import python_runtime
from jobs.jail.seccomp import MACHINES
from jobs.jail.spec import MEBIBYTE, Ending, Jail, JailSpec, Limits
from lineage.errors import MissingPartError


LIMITS: Final = Limits(
    memory_bytes=160 * MEBIBYTE, processes=48, seconds=120, cores=1, outbox_bytes=4 * MEBIBYTE, outbox_files=16
)
BAIT_VARIABLE: Final = "SHUZHA_BATTERY_BAIT"
UNSTOPPED_WITHOUT_JAIL: Final = frozenset(
    {
        # These fail for an ordinary uid on many machines anyway; the jail must stop them on every one.
        "reach the host through process 1",
        "write to the root folder",
        "write to the system's programs",
        "keep a capability",
        "leave a core dump",
        "see an interface beside loopback",
        "send a packet out",
        "open a raw crypto socket",
        "load a BPF program",
        "set up io_uring",
        "open a socket to the hypervisor",
        "use more processors than granted",
    }
)
"""Attempts that may fail without the jail too, for reasons of the machine."""

_HOSTILE: Final = Path(__file__).with_name("hostile")
_KEYCTL_JOIN, _SESSION_KEYRING = 1, -3
_IPC_CREAT, _IPC_RMID = 0o1000, 0
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Result:
    """What came of one attempt.

    Attributes:
        attempt: its name.
        verdict: ``escaped``, ``blocked``, or ``error`` when the attempt itself broke (which counts as an escape).
        detail: what it got, or how it was stopped.
    """

    attempt: str
    verdict: str
    detail: str

    @property
    def held(self) -> bool:
        """Whether the jail held."""
        return self.verdict == "blocked"


@dataclass(frozen=True)
class Planted:
    """The baits on the host, as the hostile program is told of them, and the folders that it is given.

    Attributes:
        targets: what is written to ``targets.json``.
        folder: the folder of the baits; open to everyone, so that only the jail stands between.
        job: the folder mounted as ``/job``.
        table: the folder mounted as ``/in/t``.
        directory: an inheritable descriptor of the baits' folder.
    """

    targets: dict[str, Any]
    folder: Path
    job: Path
    table: Path
    directory: int


@contextmanager
def planted(folder: Path, uid: int) -> Iterator[Planted]:
    """Plant every bait below ``folder``, which must be reachable for all, and take them away again.

    Args:
        folder: an empty folder.
        uid: the tenant's uid; a victim process runs under it, because nothing but the jail keeps a uid from its own processes.
    """
    mark = secrets.token_hex(8)
    with ExitStack() as stack:
        files = _plant_files(folder, uid)
        shared = Path("/dev/shm", f"shuzha-{mark}")  # noqa: S108 -- where shared memory lies
        shared.write_text("bait")
        shared.chmod(0o644)
        stack.callback(shared.unlink)
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, directory)
        os.set_inheritable(directory, True)
        _join_keyring(mark)
        previous = os.environ.get(BAIT_VARIABLE)
        os.environ[BAIT_VARIABLE] = mark
        stack.callback(_restore, previous)
        targets = files | {
            "calls": dict(MACHINES[platform.machine()].calls),
            "environment_secret": mark,
            "key": mark,
            "shared_memory": shared.name,
            "system_v_key": stack.enter_context(_system_v()),
            "host_name": os.uname().nodename,
            "port": stack.enter_context(_listener()),
            "abstract": stack.enter_context(_abstract_socket(mark)),
            "socket_file": stack.enter_context(_socket_file(folder / "socket")),
            "victim": stack.enter_context(_victim(uid, mark)),
            "victim_mark": mark,
            "memory_bytes": LIMITS.memory_bytes,
            "processes": LIMITS.processes,
            "outbox_bytes": LIMITS.outbox_bytes,
            "outbox_files": LIMITS.outbox_files,
            "cores": LIMITS.cores,
        }
        yield Planted(targets, folder, folder / "job", folder / "table", directory)


def _plant_files(folder: Path, uid: int) -> dict[str, Any]:
    """Make files and folders that anybody may read and write: what protects them is that they are not there."""
    folder.chmod(0o755)
    (folder / "canary").write_text("bait")
    for name in ("neighbour", "job", "table", "outbox"):
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
    os.chown(folder / "outbox", uid, uid)
    (folder / "neighbour" / "visits.parquet").write_text("bait")
    shutil.copytree(_HOSTILE, folder / "job" / "hostile", ignore=shutil.ignore_patterns("__pycache__"))
    return {"host_file": str(folder / "canary"), "neighbour": str(folder / "neighbour")}


def _join_keyring(mark: str) -> None:
    """Give this process a session keyring of its own, with a key in it that its children would inherit."""
    calls = MACHINES[platform.machine()].calls
    if _libc.syscall(ctypes.c_long(calls["keyctl"]), ctypes.c_int(_KEYCTL_JOIN), None) < 0:
        raise OSError(ctypes.get_errno(), "keyctl")
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


def _restore(previous: str | None) -> None:
    os.environ.pop(BAIT_VARIABLE)
    if previous is not None:
        os.environ[BAIT_VARIABLE] = previous


@contextmanager
def _system_v() -> Iterator[int]:
    key = secrets.randbelow(1 << 30) + 1
    identity = _libc.shmget(ctypes.c_int(key), ctypes.c_size_t(4096), ctypes.c_int(_IPC_CREAT | 0o666))
    if identity < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    try:
        yield key
    finally:
        _libc.shmctl(ctypes.c_int(identity), ctypes.c_int(_IPC_RMID), None)


@contextmanager
def _listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
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
        process.wait()


def run_jailed(jail: Jail, baits: Planted, workspace: Path, uid: int, only: tuple[str, ...] = ()) -> tuple[Result, ...]:
    """Run every attempt (or only the named ones) in the jail, and look afterwards whether anything outlived it.

    Raises:
        MissingPartError: the hostile program did not come to its end, so nothing was proved.
    """
    runtime = python_runtime()
    spec = JailSpec(
        name=f"battery-{secrets.token_hex(12)}",
        workspace=workspace,
        uid=uid,
        argv=(*runtime.argv, "-m", "hostile", "/job/targets.json"),
        environment={**runtime.environment, "PYTHONPATH": "/job"},
        read_only={**runtime.read_only, "/job": baits.job, "/in/t": baits.table},
        limits=LIMITS,
    )
    inside = baits.targets | {"job": "/job", "input": "/in/t", "outbox": "/out", "only": only}
    (baits.job / "targets.json").write_text(json.dumps(inside), encoding="utf-8")
    try:
        jail.prepare(spec)
        outcome = jail.run(spec, lambda: False)
        said = outcome.log.read_text(encoding="utf-8", errors="replace")
        if outcome.ending is not Ending.DONE:
            raise MissingPartError("jail.not-made", detail=ascii(said[-200:]))
        return _results(said, survivors(uid, baits))
    finally:
        jail.cleanup(spec)


def run_unjailed(baits: Planted, uid: int) -> tuple[Result, ...]:
    """Run every attempt as the tenant's uid without the jail: what does not escape here proves nothing in the jail."""
    outside = baits.targets | {"job": str(baits.job), "input": str(baits.table), "outbox": str(baits.folder / "outbox")}
    (baits.job / "targets.json").write_text(json.dumps(outside), encoding="utf-8")
    program = shutil.which("python3", path="/usr/bin") or sys.executable
    done = subprocess.run(
        [program, "-m", "hostile", str(baits.job / "targets.json")],
        env={**os.environ, "PYTHONPATH": str(baits.job), "PYTHONDONTWRITEBYTECODE": "1"},
        user=uid,
        group=uid,
        extra_groups=[],
        close_fds=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=baits.folder,
        check=False,
    )
    return _results(done.stdout.decode(), survivors(uid, baits))


def _results(said: str, alive: tuple[int, ...]) -> tuple[Result, ...]:
    """Read the lines; whether a daemon outlived the run is for the host to say, and it ends it."""
    results = []
    for line in said.splitlines():
        item = json.loads(line)
        if item["attempt"] == "outlive the run":
            item |= {"verdict": "escaped" if alive else "blocked", "detail": f"{len(alive)} alive"}
        results.append(Result(**item))
    for pid in alive:
        os.kill(pid, 9)
    return tuple(results)


def survivors(uid: int, baits: Planted) -> tuple[int, ...]:
    """List the living processes of the tenant on the host, other than the victim."""
    found = []
    for path in Path("/proc").iterdir():
        if not path.name.isdigit() or int(path.name) == baits.targets["victim"]:
            continue
        try:
            status = (path / "status").read_text(encoding="utf-8")
        except OSError:
            continue
        if f"\nUid:\t{uid}\t" in status and _stays(int(path.name)):
            found.append(int(path.name))
    return tuple(found)


def _stays(pid: int) -> bool:
    """Tell whether a process is still there after a second; one that is only dying is not."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        ready, _, _ = select.select([descriptor], [], [], 1.0)
        return not ready
    finally:
        os.close(descriptor)
