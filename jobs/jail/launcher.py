"""The few steps between the platform and bubblewrap, in a process of their own that ends by becoming bubblewrap.

Runs as a script with the standard library alone (``python -I -S launcher.py FD``) and reads its plan, one JSON object, from the
descriptor. It ties its life to the platform's, joins the run's control groups, takes an empty session keyring, builds a root in which
only the named sources exist, gives up every privilege and executes bubblewrap with an empty environment.

Any failure is written to the status descriptor as ``{"error": …}``, and the program does not start (law 7).
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final


FAILED: Final = 97
FIRST_TO_DIE: Final = "800"

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT = 1, 2, 4, 8, 32
_MS_NOSYMFOLLOW, _MS_BIND, _MS_REC, _MS_PRIVATE = 256, 4096, 16384, 1 << 18
_MNT_DETACH: Final = 2
_CLONE_NEWNS: Final = 0x00020000
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_KEYCTL_JOIN_SESSION_KEYRING: Final = 1
_ENOSYS: Final = 38
# pivot_root and keyctl have no wrapper in the C library.
_NUMBERS: Final = {"x86_64": (155, 250), "aarch64": (41, 219)}
_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")

_libc = ctypes.CDLL(None, use_errno=True)


class StepError(Exception):
    """A step failed; the text names the step and the kernel's reason, never a path of the host."""


def _check(result: int, step: str) -> None:
    if result < 0:
        raise StepError(f"{step}: {os.strerror(ctypes.get_errno())}")


def _prctl(option: int, value: int, step: str) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)), step)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [text.encode() if text is not None else None for text in (source, target, kind)]
    data = options.encode() if options is not None else None
    _check(_libc.mount(*texts, ctypes.c_ulong(flags), data), "mount")


def die_with(parent: int) -> None:
    """Ask for SIGKILL at the platform's death, and notice if it died before asking."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, "die with the platform")
    if os.getppid() != parent:
        raise StepError("die with the platform: it is dead")


def join_groups(doors: Sequence[str]) -> None:
    """Join the control groups; every later process is born in them."""
    for door in doors:
        Path(door).write_text(str(os.getpid()), encoding="ascii")


def die_first() -> None:
    """Be the first to be killed when the machine is short of memory: a run must never outlive the platform by that."""
    Path("/proc/self/oom_score_adj").write_text(FIRST_TO_DIE, encoding="ascii")


def take_empty_keyring() -> None:
    """Join a new session keyring: the platform's may hold keys, and no namespace hides it."""
    number = _NUMBERS[os.uname().machine][1]
    result = _libc.syscall(ctypes.c_long(number), ctypes.c_int(_KEYCTL_JOIN_SESSION_KEYRING), None)
    if result < 0 and ctypes.get_errno() != _ENOSYS:
        _check(result, "keyring")


def set_limits(limits: Mapping[str, int]) -> None:
    """Set the per-process limits, soft and hard."""
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, name), (value, value))


def build_root(root: str, plan: Mapping[str, Any]) -> None:
    """Make a root of tmpfs that holds only the plan's sources, and leave the host's tree for good.

    Every source is opened first, in the new mount namespace and without following a link, so that nobody can swap it afterwards.
    """
    _check(_libc.unshare(_CLONE_NEWNS), "mount namespace")
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    sources = [(os.open(source, flags), place, bits) for source, place, bits in plan["binds"]]
    devices = [(os.open(f"/dev/{name}", flags), f"dev/{name}", _MS_NOSUID | _MS_NOEXEC) for name in _DEVICES]
    _mount("root", root, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=1m")
    for folder in ("tmp", "proc", "dev", "etc", "stage"):
        Path(root, folder).mkdir(mode=0o755)
    for descriptor, place, bits in [*sources, *devices]:
        _bind(descriptor, Path(root, place), bits)
    for place, target in plan["links"]:
        Path(root, place).symlink_to(target)
    for place, content in plan["files"]:
        Path(root, place).write_text(content, encoding="utf-8")
        Path(root, place).chmod(0o644)
    _mount("proc", f"{root}/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    _enter(root)


def _bind(descriptor: int, target: Path, bits: int) -> None:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        target.mkdir(parents=True)
    elif stat.S_ISREG(mode) or stat.S_ISCHR(mode):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    else:
        raise StepError("a source is neither file nor folder")
    # The descriptor, not the path: what was opened is what is mounted. Not recursive: what is mounted below the source stays outside.
    _mount(f"/proc/self/fd/{descriptor}", str(target), None, _MS_BIND)
    _mount(None, str(target), None, _MS_BIND | _MS_REMOUNT | bits)
    os.close(descriptor)


def _enter(root: str) -> None:
    os.chdir(root)
    number = _NUMBERS[os.uname().machine][0]
    _check(_libc.syscall(ctypes.c_long(number), b".", b"."), "pivot root")
    _check(_libc.umount2(b".", _MNT_DETACH), "leave the host's tree")
    os.chdir("/")
    _mount(None, "/", None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def give_up_privileges(uid: int) -> None:
    """Become the tenant's uid with no group, no capability and no way back, and prove it."""
    highest = int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))
    for capability in range(highest + 1):
        _prctl(_PR_CAPBSET_DROP, capability, "bounding set")
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "no new privileges")
    state = dict(line.split(":\t") for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    if any(int(state[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")):
        raise StepError("capabilities are left")


def main() -> None:
    """Carry out the plan; the last step does not return."""
    descriptor = int(sys.argv[1])
    with os.fdopen(descriptor, "rb") as file:
        plan: dict[str, Any] = json.load(file)
    try:
        die_with(plan["parent"])
        os.umask(0o022)
        join_groups(plan["doors"])
        die_first()
        take_empty_keyring()
        build_root(plan["root"], plan)
        os.umask(0o077)
        set_limits(plan["rlimits"])
        give_up_privileges(plan["uid"])
        # The change of uid cleared the death signal; ask again, now for good.
        die_with(plan["parent"])
        os.execve(plan["argv"][0], plan["argv"], {})  # noqa: S606 -- becoming bubblewrap is the purpose
    except (StepError, OSError, ValueError, KeyError) as error:
        reason = (
            str(error) if isinstance(error, StepError) else f"{type(error).__name__} {getattr(error, 'strerror', '')}"
        )
        os.write(plan["status"], json.dumps({"error": reason}).encode() + b"\n")
        os._exit(FAILED)


if __name__ == "__main__":
    main()
