"""Give a warm jail its tenant's things, in a process of its own with the standard library alone (``python -I -S late_mount.py FD``).

Each source is opened in the platform's mount namespace without following a link, cloned alone (nothing mounted below it comes along) and
made read-only, private and bare *before* anything in the jail can see it; then this process enters the jail's mount namespace and moves
the clones onto folders that were prepared empty. Propagation from a shared folder would need the jail to be a slave of the host for its
whole life, and every later mount of the host below that folder would appear inside: so nothing is shared, and what is moved in is final.

The outbox is mounted with its owner mapped: a warm jail has a uid of its own, and what it writes belongs on disk to the tenant's uid.

open_tree(2), move_mount(2), mount_setattr(2), fsopen(2), setns(2), user_namespaces(7). Linux 5.14 for the flags, 5.12 for mapped owners.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final


FAILED: Final = 97

# The same numbers on every processor family: calls made after the numbering was unified.
_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT, _MOUNT_SETATTR = 428, 429, 430, 431, 432, 442
_AT_FDCWD, _AT_EMPTY_PATH, _CLONE_TREE, _CLOSE_ON_EXEC = -100, 0x1000, 1, 0o2000000
_FROM_EMPTY_PATH, _TO_EMPTY_PATH = 4, 0x40
_SET_STRING, _CREATE = 1, 6
_MAP_OWNERS, _NO_LINKS = 0x00100000, 0x00200000
_PRIVATE: Final = 1 << 18
_CLONE_NEWUSER, _CLONE_NEWNS = 0x10000000, 0x00020000
_PLAIN_BITS, _NO_LINKS_BIT = 15, 256
_PR_SET_PDEATHSIG: Final = 1
_BARE: Final = 15
_IN: Final = "/in"

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttributes(ctypes.Structure):
    """``struct mount_attr`` of mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class StepError(Exception):
    """A step failed; the text names the step and the kernel's reason, never a path of the host."""


def _call(step: str, number: int, *arguments: Any) -> int:
    given = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *given))
    if result < 0:
        raise StepError(f"{step}: {os.strerror(ctypes.get_errno())}")
    return result


def clone(source: str, bits: int, owners: int | None = None) -> int:
    """Clone one file or folder as a mount that is attached nowhere yet.

    Args:
        source: path on the host; its last part is never a link.
        bits: flags of mount(2): 1 read-only, 2 no set-uid, 4 no devices, 8 no programs, 256 no links.
        owners: descriptor of a user namespace whose mapping the mount's owners go through.
    """
    opened = os.open(source, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    mode = os.fstat(opened).st_mode
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise StepError("a source is neither file nor folder")
    tree = _call("clone", _OPEN_TREE, opened, b"", _AT_EMPTY_PATH | _CLONE_TREE | _CLOSE_ON_EXEC)
    os.close(opened)
    set_attributes(tree, bits, owners)
    return tree


def set_attributes(tree: int, bits: int, owners: int | None = None) -> None:
    """Set a mount's flags, cut it off from every other mount, and map its owners."""
    flags = bits & _PLAIN_BITS | (_NO_LINKS if bits & _NO_LINKS_BIT else 0)
    chosen = _MountAttributes(
        attr_set=flags | (_MAP_OWNERS if owners is not None else 0), propagation=_PRIVATE, userns_fd=owners or 0
    )
    size = ctypes.sizeof(chosen)
    _call("protect", _MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(chosen), size)


def empty_folder() -> int:
    """Make a tiny file system in memory: the folder that the tables are mounted in."""
    context = _call("folder", _FSOPEN, b"tmpfs", 1)
    for key, value in (("source", "in"), ("mode", "0755"), ("size", "4096")):
        _call("folder", _FSCONFIG, context, _SET_STRING, key.encode(), value.encode(), 0)
    _call("folder", _FSCONFIG, context, _CREATE, None, None, 0)
    tree = _call("folder", _FSMOUNT, context, 1, _BARE & ~1)
    os.close(context)
    return tree


def owner_mapping(on_disk: int, inside: int) -> int:
    """Make a user namespace that maps one owner to another; gives its descriptor.

    A child makes the namespace and waits; the mapping is written from outside, and the descriptor keeps it when the child has ended.
    """
    made_read, made_write = os.pipe()
    done_read, done_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(done_write)
        os.write(made_write, b"1" if _libc.unshare(_CLONE_NEWUSER) == 0 else b"0")
        os.read(done_read, 1)
        os._exit(0)
    os.close(made_write)
    try:
        if os.read(made_read, 1) != b"1":
            raise StepError("map owners: no user namespace")
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{child}/{name}").write_text(f"{on_disk} {inside} 1", encoding="ascii")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for descriptor in (done_write, done_read, made_read):
            os.close(descriptor)
        os.waitpid(child, 0)


def enter(process: int, group: str) -> None:
    """Enter the mount namespace of a process that the platform holds by descriptor, and that is in the warm jail's group."""
    status = Path(f"/proc/self/fdinfo/{process}").read_text(encoding="ascii")
    pid = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Pid:"))
    groups = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8") if pid > 0 else ""
    if not any(line.endswith(f"/{group}") for line in groups.splitlines()):
        raise StepError("enter: not the warm jail")
    # The descriptor was opened before the look at the group: should the number have been reused, it now names nobody.
    if _libc.setns(ctypes.c_int(process), ctypes.c_int(_CLONE_NEWNS)) != 0:
        raise StepError(f"enter: {os.strerror(ctypes.get_errno())}")


def place(tree: int, target: str) -> None:
    """Move a clone onto an empty folder that was prepared for it."""
    opened = os.open(target, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC)
    if any(Path(target).iterdir()):
        raise StepError("a prepared folder is not empty")
    flags = _FROM_EMPTY_PATH | _TO_EMPTY_PATH
    _call("mount", _MOVE_MOUNT, tree, b"", opened, b"", flags)
    os.close(opened)


def carry_out(plan: Mapping[str, Any]) -> None:
    """Clone outside, enter, mount inside; the tables' folder is closed last."""
    owners = owner_mapping(plan["owner"], plan["uid"])
    trees = [(clone(source, bits), target) for source, target, bits in plan["binds"]]
    outbox = clone(plan["outbox"], plan["outbox_bits"], owners)
    folder = empty_folder()
    enter(plan["process"], plan["group"])
    place(folder, _IN)
    place(outbox, "/out")
    for tree, target in trees:
        _place_table(tree, target)
    set_attributes(folder, _BARE)


def _place_table(tree: int, target: str) -> None:
    if target.startswith(f"{_IN}/"):
        Path(target).mkdir(mode=0o755)
    place(tree, target)


def die_with(parent: int) -> None:
    """Ask for SIGKILL at the platform's death, and notice if it died before asking."""
    if _libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL)) != 0 or os.getppid() != parent:
        raise StepError("the platform is dead")


def main(arguments: Sequence[str]) -> None:
    """Read the plan from the descriptor and carry it out; the reason of a failure goes to stdout."""
    with os.fdopen(int(arguments[0]), "rb") as file:
        plan: dict[str, Any] = json.load(file)
    try:
        die_with(plan["parent"])
        carry_out(plan)
    except (StepError, OSError, ValueError, KeyError, StopIteration) as error:
        reason = (
            str(error) if isinstance(error, StepError) else f"{type(error).__name__} {getattr(error, 'strerror', '')}"
        )
        os.write(1, reason.encode())
        os._exit(FAILED)


if __name__ == "__main__":
    main(sys.argv[1:])
