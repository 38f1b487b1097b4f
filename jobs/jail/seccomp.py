"""The filter over system calls, as a classic BPF program for the kernel (law 1).

The mount, network and process namespaces hide the host; this filter closes what namespaces do not cover: socket families that reach
past an empty network (AF_VSOCK talks to the hypervisor), the session keyring, and the large interfaces in which kernel holes are
found (bpf, io_uring, perf, userfaultfd, nested namespaces). ``seccomp_calls`` is the table; here it becomes a program. Layout of
``seccomp_data`` and the return values: seccomp(2), ``linux/seccomp.h``, ``linux/filter.h``.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterator
from enum import IntEnum
from functools import cache
from typing import Final

from jobs.jail.seccomp_calls import LAST_KNOWN, MACHINES, Decision, Machine
from lineage.errors import MissingPartError


__all__ = ["MACHINES", "Action", "build"]


class Action(IntEnum):
    """What the kernel does with a call: the high half of the filter's answer."""

    ALLOW = 0x7FFF0000
    KILL = 0x80000000
    ERRNO = 0x00050000


UNIX, INTERNET, INTERNET_6, NETLINK = 1, 2, 10, 16
SOCKET_FAMILIES: Final = (UNIX, INTERNET, INTERNET_6, NETLINK)
"""All four live inside the network namespace."""
INTERNET_PROTOCOLS: Final = (0, 6, 17)
"""By the type, TCP, UDP; the others are rare, large, and loaded on demand (SCTP, DCCP, MPTCP)."""
NETLINK_PROTOCOLS: Final = (0,)
"""NETLINK_ROUTE, which lists interfaces; the others reach the packet filter, sockets of others, the kernel's events."""
# CLONE_NEW{TIME,NS,CGROUP,UTS,IPC,USER,PID,NET}
NAMESPACE_FLAGS: Final = (
    0x00000080 | 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
)
# TIOCSTI types into, TIOCLINUX pastes into, the terminal that the platform was started from.
TERMINAL_REQUESTS: Final = (0x5412, 0x541C)
# F_GETLK and F_OFD_GETLK tell of others' locks, F_SETLEASE and F_NOTIFY of others' opens: on files that every run shares.
FILE_COMMANDS: Final = (5, 36, 1024, 1026)

_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_FIRST_ARGUMENT: Final = 16
_SECOND_ARGUMENT: Final = 24
_THIRD_ARGUMENT: Final = 32
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ANSWERS: Final = {
    Decision.ALLOW: int(Action.ALLOW),
    Decision.REFUSE: Action.ERRNO | errno.EPERM,
    Decision.ABSENT: Action.ERRNO | errno.ENOSYS,
}

_Step = tuple[int, int, int, int]
"""Code, jump when true, jump when false, value: one ``struct sock_filter``."""


@cache
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
    return _assemble(MACHINES[name])


def _assemble(family: Machine) -> bytes:
    steps = [*_pin_architecture(family)]
    for first, decision in _intervals(family):
        # Intervals ascend, so what is at or beyond the next one's beginning skips this one's answer.
        answer = [*_answer(family, first, decision)]
        end = _end(family, first)
        if end is not None:
            steps.append((_AT_LEAST, len(answer), 0, end))
        steps += answer
    return b"".join(struct.pack("=HBBI", code, yes, no, value) for code, yes, no, value in steps)


def _pin_architecture(family: Machine) -> Iterator[_Step]:
    """Kill calls made through another calling convention, where the same numbers mean other calls."""
    yield (_LOAD, 0, 0, _ARCHITECTURE)
    yield (_EQUAL, 1, 0, family.audit)
    yield (_RETURN, 0, 0, Action.KILL)
    yield (_LOAD, 0, 0, _NUMBER)
    if family.second_abi:
        yield (_AT_LEAST, 0, 1, family.second_abi)
        yield (_RETURN, 0, 0, Action.KILL)


def _intervals(family: Machine) -> Iterator[tuple[int, Decision]]:
    """Give where each run of equal decisions begins; a call judged by argument is a run of its own."""
    previous: Decision | None = None
    for number in range(LAST_KNOWN + 2):
        decision = family.decide(number)
        if decision is not previous or decision is Decision.BY_ARGUMENT:
            yield number, decision
        previous = decision


def _end(family: Machine, first: int) -> int | None:
    """Give where the next run begins; None for the last, which holds every number beyond the table."""
    return next((number for number, _ in _intervals(family) if number > first), None)


def _answer(family: Machine, first: int, decision: Decision) -> Iterator[_Step]:
    if decision is not Decision.BY_ARGUMENT:
        yield (_RETURN, 0, 0, _ANSWERS[decision])
    elif first == family.calls["socket"]:
        yield from _judge_socket()
    elif first == family.calls["clone"]:
        yield (_LOAD, 0, 0, _FIRST_ARGUMENT)
        yield (_ANY_BIT, 0, 1, NAMESPACE_FLAGS)
        yield (_RETURN, 0, 0, Action.ERRNO | errno.EPERM)
        yield (_RETURN, 0, 0, Action.ALLOW)
    else:
        # The kernel does not look at the high half of the request, so only the low one is compared.
        yield (_LOAD, 0, 0, _SECOND_ARGUMENT)
        requests = FILE_COMMANDS if first == family.calls["fcntl"] else TERMINAL_REQUESTS
        yield from _one_of(requests, then=Action.ERRNO | errno.EPERM)
        yield (_RETURN, 0, 0, Action.ALLOW)


def _judge_socket() -> Iterator[_Step]:
    """Allow four families, two of them with few protocols: AF_VSOCK opens even in an empty network namespace (D2)."""
    unknown = Action.ERRNO | errno.EPROTONOSUPPORT
    internet = [(_LOAD, 0, 0, _THIRD_ARGUMENT), *_one_of(INTERNET_PROTOCOLS), (_RETURN, 0, 0, unknown)]
    netlink = [(_LOAD, 0, 0, _THIRD_ARGUMENT), *_one_of(NETLINK_PROTOCOLS), (_RETURN, 0, 0, unknown)]
    yield (_LOAD, 0, 0, _FIRST_ARGUMENT)
    yield from _one_of((UNIX,))
    yield (_EQUAL, 1, 0, INTERNET)
    yield (_EQUAL, 0, len(internet), INTERNET_6)
    yield from internet
    yield (_EQUAL, 0, len(netlink), NETLINK)
    yield from netlink
    yield (_RETURN, 0, 0, Action.ERRNO | errno.EAFNOSUPPORT)


def _one_of(values: tuple[int, ...], then: int = Action.ALLOW) -> Iterator[_Step]:
    """Answer at once when the loaded word is one of a few."""
    for value in values:
        yield (_EQUAL, 0, 1, value)
        yield (_RETURN, 0, 0, then)
