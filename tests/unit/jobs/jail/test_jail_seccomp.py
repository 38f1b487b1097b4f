"""The filter over system calls, run by an interpreter of classic BPF instead of the kernel."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from jobs.jail import seccomp
from jobs.jail.seccomp import MACHINES, Action
from jobs.jail.seccomp_calls import LAST_KNOWN, Decision
from lineage.errors import MissingPartError


X86, ARM = MACHINES["x86_64"], MACHINES["aarch64"]
ALLOW, KILL = int(Action.ALLOW), int(Action.KILL)
CLONE_THREAD = 0x003D0F00
CLONE_NEWUSER = 0x10000000


def answer(machine: str, number: int, arguments: tuple[int, ...] = (), audit: int | None = None) -> int:
    """Run the filter of a machine on one call, as the kernel would."""
    program = list(struct.iter_unpack("=HBBI", seccomp.build(machine)))
    values = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("=IIQ6Q", number, MACHINES[machine].audit if audit is None else audit, 0, *values)
    held, place = 0, 0
    while True:
        code, yes, no, value = program[place]
        place += 1
        if code == 0x20:
            (held,) = struct.unpack_from("=I", data, value)
        elif code == 0x06:
            return int(value)
        else:
            holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
            place += yes if holds else no


def expected(machine: str, number: int) -> int:
    """What the table says of a call without arguments: family 0 is refused, no flag is set, no terminal is named."""
    decision = MACHINES[machine].decide(number)
    if decision is Decision.BY_ARGUMENT:
        return refused(errno.EAFNOSUPPORT) if number == MACHINES[machine].calls["socket"] else ALLOW
    return {
        Decision.ALLOW: ALLOW,
        Decision.REFUSE: refused(errno.EPERM),
        Decision.ABSENT: refused(errno.ENOSYS),
    }[decision]


def refused(error: int) -> int:
    return Action.ERRNO | error


@pytest.mark.parametrize("machine", MACHINES)
def test_the_program_answers_every_number_as_the_table_says(machine: str) -> None:
    limit = MACHINES[machine].second_abi or 1 << 32
    corners = {corner for bit in range(9, 32) for corner in ((1 << bit) - 1, 1 << bit, (1 << bit) + 1)}
    for number in sorted({*range(1024), *corners, 0x7FFFFFFF}):
        if number < limit:
            assert answer(machine, number) == expected(machine, number), number
        else:
            assert answer(machine, number) == KILL, number


@pytest.mark.parametrize("machine", MACHINES)
def test_a_call_newer_than_the_table_does_not_exist(machine: str) -> None:
    for number in (LAST_KNOWN + 1, 500, 1000, 0x3FFFFFFF):
        assert answer(machine, number) == refused(errno.ENOSYS)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_program_fits_the_kernel(machine: str) -> None:
    """BPF_MAXINSNS, and eight-bit jumps that stay inside and only go forward."""
    program = list(struct.iter_unpack("=HBBI", seccomp.build(machine)))
    assert len(program) <= 4096
    assert all(place + 1 + max(yes, no) < len(program) for place, (_, yes, no, _) in enumerate(program[:-1]))
    assert program[-1][0] == 0x06


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", sorted({*X86.calls, *ARM.calls} - {"socket", "clone", "clone3", "ioctl", "fcntl"}))
def test_refused_calls(machine: str, name: str) -> None:
    calls = MACHINES[machine].calls
    if name in calls:
        assert answer(machine, calls[name]) == refused(errno.EPERM)
    else:
        assert name in {
            *("create_module", "iopl", "ioperm", "modify_ldt", "uselib", "_sysctl"),
            *("sysfs", "ustat", "uretprobe", "uprobe", "inotify_init"),
        }


@pytest.mark.parametrize("machine", MACHINES)
def test_clone3_says_that_it_does_not_exist(machine: str) -> None:
    assert answer(machine, MACHINES[machine].calls["clone3"]) == refused(errno.ENOSYS)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("family", range(50))
def test_socket_families(machine: str, family: int) -> None:
    expected = ALLOW if family in {1, 2, 10, 16} else refused(errno.EAFNOSUPPORT)
    assert answer(machine, MACHINES[machine].calls["socket"], (family, 1, 0)) == expected


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("protocol", [*range(40), 132, 136, 255, 262])
def test_socket_protocols(machine: str, protocol: int) -> None:
    number = MACHINES[machine].calls["socket"]
    for family, allowed in ((2, {0, 6, 17}), (10, {0, 6, 17}), (16, {0}), (1, {protocol})):
        wanted = ALLOW if protocol in allowed else refused(errno.EPROTONOSUPPORT)
        assert answer(machine, number, (family, 1, protocol)) == wanted


@pytest.mark.parametrize("machine", MACHINES)
def test_clone_makes_threads_but_no_namespace(machine: str) -> None:
    clone = MACHINES[machine].calls["clone"]
    assert answer(machine, clone, (CLONE_THREAD,)) == ALLOW
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, CLONE_NEWUSER, 0x20000000, 0x40000000):
        assert answer(machine, clone, (CLONE_THREAD | flag,)) == refused(errno.EPERM)


@pytest.mark.parametrize("machine", MACHINES)
def test_nothing_is_typed_into_a_terminal(machine: str) -> None:
    ioctl = MACHINES[machine].calls["ioctl"]
    assert answer(machine, ioctl, (0, 0x5412)) == refused(errno.EPERM)
    assert answer(machine, ioctl, (0, 0x541C)) == refused(errno.EPERM)
    # The high half of the request is not looked at by the kernel, so it may not hide one.
    assert answer(machine, ioctl, (0, 0x1_0000_5412)) == refused(errno.EPERM)
    assert answer(machine, ioctl, (0, 0x5413)) == ALLOW


def test_another_calling_convention_kills() -> None:
    i386 = 0x40000003
    assert answer("x86_64", 1, audit=i386) == KILL
    assert answer("x86_64", 0x40000000 + 101) == KILL
    assert answer("aarch64", 1, audit=X86.audit) == KILL


@pytest.mark.parametrize(
    ("machine", "ordinary"), [("x86_64", (0, 1, 9, 59, 202, 231)), ("aarch64", (63, 64, 222, 221, 98, 94))]
)
def test_ordinary_calls_pass(machine: str, ordinary: tuple[int, ...]) -> None:
    assert {answer(machine, number) for number in ordinary} == {ALLOW}


def test_an_unknown_machine_has_no_filter() -> None:
    with pytest.raises(MissingPartError):
        seccomp.build("riscv64")


@pytest.mark.parametrize(
    ("machine", "header"),
    [("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), ("aarch64", "/usr/include/asm-generic/unistd.h")],
)
def test_the_numbers_are_the_kernels(machine: str, header: str) -> None:
    """Every number of the headers is known here and the other way round, as far as the headers of this machine reach."""
    if not Path(header).exists():
        pytest.skip(f"no kernel headers here ({header})")
    defined = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(header).read_text())
    # 32-bit calls for the time after 2038, and a mark of where a family's own numbers begin.
    known = {name: int(number) for name, number in defined if not name.endswith("64") or int(number) < 400}
    for mark in ("arch_specific_syscall", "syscalls"):
        known.pop(mark, None)
    reach = max(known.values())
    # Of 6.11 and 6.18, put into an old gap of the x86 numbers.
    newer = {"uretprobe", "uprobe"}
    assert {
        name: number
        for name, number in MACHINES[machine].calls.items()
        if number <= reach and known.get(name) != number and name not in newer
    } == {}
    unanswered = {"get_kernel_syms", "query_module", "getpmsg", "putpmsg", "afs_syscall", "tuxcall", "security"}
    unanswered |= {"set_thread_area", "get_thread_area", "epoll_ctl_old", "epoll_wait_old", "vserver"}
    absent = {name for name, number in known.items() if MACHINES[machine].decide(number) is Decision.ABSENT}
    assert absent <= unanswered | {"clone3"}
    numbers = set(known.values())
    assert [
        number
        for number in range(reach + 1)
        if number not in numbers and MACHINES[machine].decide(number) is Decision.ALLOW
    ] == []
