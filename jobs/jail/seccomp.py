"""The system calls a jailed program may not make, as a classic BPF program for the kernel (law 1).

The mount, network and process namespaces hide the host; this filter closes what namespaces do not cover: socket families that reach
past an empty network (AF_VSOCK talks to the hypervisor), the session keyring, and the large interfaces in which kernel holes are
found (bpf, io_uring, perf, userfaultfd, nested namespaces). Layout of ``seccomp_data`` and the return values: seccomp(2),
``linux/seccomp.h``, ``linux/filter.h``; call numbers: ``asm/unistd_64.h`` and ``asm-generic/unistd.h``.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from lineage.errors import MissingPartError


class Action(IntEnum):
    """What the kernel does with a call: the high half of the filter's answer."""

    ALLOW = 0x7FFF0000
    KILL = 0x80000000
    ERRNO = 0x00050000


@dataclass(frozen=True)
class Machine:
    """One processor family: its audit number, its call numbers, and where a second calling convention begins (0 = none)."""

    audit: int
    second_abi: int
    calls: Mapping[str, int]


# name: (x86-64, aarch64); None where the family has no such call.
_CALLS: Final[Mapping[str, tuple[int | None, int | None]]] = {
    # one process into another
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    # mounts and roots
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    # namespaces
    "unshare": (272, 97),
    "setns": (308, 268),
    # kernel interfaces too large to trust
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "lookup_dcookie": (212, 18),
    # keys ignore every namespace
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    # the machine itself
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "_sysctl": (156, None),
    "vhangup": (153, 58),
    "nfsservctl": (180, 42),
    # other personalities switch address randomisation off
    "personality": (135, 92),
    # pages of another node tell of other tenants' memory
    "mbind": (237, 235),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # looked at by argument, below
    "socket": (41, 198),
    "clone": (56, 220),
    "clone3": (435, 435),
    "ioctl": (16, 29),
}
_BY_ARGUMENT: Final = frozenset({"socket", "clone", "clone3", "ioctl"})

MACHINES: Final[Mapping[str, Machine]] = {
    "x86_64": Machine(
        audit=0xC000003E,
        second_abi=0x40000000,
        calls={name: numbers[0] for name, numbers in _CALLS.items() if numbers[0] is not None},
    ),
    "aarch64": Machine(
        audit=0xC00000B7,
        second_abi=0,
        calls={name: numbers[1] for name, numbers in _CALLS.items() if numbers[1] is not None},
    ),
}

# AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: all four live inside the network namespace.
SOCKET_FAMILIES: Final = (1, 2, 10, 16)
# CLONE_NEW{TIME,NS,CGROUP,UTS,IPC,USER,PID,NET}
NAMESPACE_FLAGS: Final = (
    0x00000080 | 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
)
# TIOCSTI types into, TIOCLINUX pastes into, the terminal that the platform was started from.
TERMINAL_REQUESTS: Final = (0x5412, 0x541C)

_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_FIRST_ARGUMENT: Final = 16
_SECOND_ARGUMENT: Final = 24
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06


class _Program:
    """Instructions in order; the jumps of this filter are all "skip the next one or not"."""

    def __init__(self) -> None:
        self.words: list[bytes] = []

    def add(self, code: int, value: int, yes: int = 0, no: int = 0) -> None:
        """Append one ``struct sock_filter``: code, jump when true, jump when false, value."""
        self.words.append(struct.pack("=HBBI", code, yes, no, value))

    def load(self, offset: int) -> None:
        """Load the 32-bit word at ``offset`` of ``seccomp_data``."""
        self.add(_LOAD, offset)

    def answer(self, action: Action, number: int = 0) -> None:
        """End with an action, for ERRNO with the error number."""
        self.add(_RETURN, action | number)


def build(machine: str | None = None) -> bytes:
    """Assemble the filter for a processor family, by default this one's.

    Returns:
        The instructions as the kernel reads them, 8 bytes each.

    Raises:
        MissingPartError: no call numbers are known for the family; then no jail runs (law 7).
    """
    name = platform.machine() if machine is None else machine
    if name not in MACHINES:
        raise MissingPartError("jail.unknown-machine", machine=name[:40])
    family = MACHINES[name]
    program = _Program()
    _pin_architecture(program, family)
    for call, number in family.calls.items():
        if call not in _BY_ARGUMENT:
            _refuse_call(program, number, errno.EPERM)
    # glibc falls back to clone, whose flags can be read; clone3 hides them behind a pointer.
    _refuse_call(program, family.calls["clone3"], errno.ENOSYS)
    _guard_sockets(program, family.calls["socket"])
    _guard_clone(program, family.calls["clone"])
    _guard_terminal(program, family.calls["ioctl"])
    program.answer(Action.ALLOW)
    return b"".join(program.words)


def _pin_architecture(program: _Program, family: Machine) -> None:
    """Kill calls made through another calling convention, where the same numbers mean other calls."""
    program.load(_ARCHITECTURE)
    program.add(_EQUAL, family.audit, yes=1)
    program.answer(Action.KILL)
    program.load(_NUMBER)
    if family.second_abi:
        program.add(_AT_LEAST, family.second_abi, no=1)
        program.answer(Action.KILL)


def _refuse_call(program: _Program, number: int, error: int) -> None:
    program.add(_EQUAL, number, no=1)
    program.answer(Action.ERRNO, error)


def _guard(program: _Program, number: int, body: Sequence[tuple[int, int, int, int]], offset: int) -> None:
    """Append a block that looks at one argument of one call, and loads the call number again for the next block."""
    program.add(_EQUAL, number, no=len(body) + 1)
    program.load(offset)
    for code, value, yes, no in body:
        program.add(code, value, yes, no)
    program.load(_NUMBER)


def _guard_sockets(program: _Program, number: int) -> None:
    """Allow the four families, refuse every other: AF_VSOCK opens even in an empty network namespace (D2)."""
    count = len(SOCKET_FAMILIES)
    body = [(_EQUAL, family, count - place, 0) for place, family in enumerate(SOCKET_FAMILIES)]
    body.append((_RETURN, Action.ERRNO | errno.EAFNOSUPPORT, 0, 0))
    _guard(program, number, body, _FIRST_ARGUMENT)


def _guard_clone(program: _Program, number: int) -> None:
    """Refuse clone with any namespace flag."""
    body = [(_ANY_BIT, NAMESPACE_FLAGS, 0, 1), (_RETURN, Action.ERRNO | errno.EPERM, 0, 0)]
    _guard(program, number, body, _FIRST_ARGUMENT)


def _guard_terminal(program: _Program, number: int) -> None:
    """Refuse the two requests that put characters into a terminal."""
    body: list[tuple[int, int, int, int]] = []
    for request in TERMINAL_REQUESTS:
        body += [(_EQUAL, request, 0, 1), (_RETURN, Action.ERRNO | errno.EPERM, 0, 0)]
    _guard(program, number, body, _SECOND_ARGUMENT)
