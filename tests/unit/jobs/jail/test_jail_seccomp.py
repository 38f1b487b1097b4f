"""The filter over system calls, run by an interpreter of classic BPF instead of the kernel."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from jobs.jail import seccomp
from jobs.jail.seccomp import MACHINES, Action
from lineage.errors import MissingPartError


X86, ARM = MACHINES["x86_64"], MACHINES["aarch64"]
ALLOW, KILL = int(Action.ALLOW), int(Action.KILL)
CLONE_THREAD = 0x003D0F00
CLONE_NEWUSER = 0x10000000


def answer(machine: str, number: int, arguments: tuple[int, ...] = (), audit: int | None = None) -> int:
    """Run the filter of a machine on one call, as the kernel would."""
    program = list(struct.iter_unpack("=HBBI", seccomp.build(machine)))
    values = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("=iIQ6Q", number, MACHINES[machine].audit if audit is None else audit, 0, *values)
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


def refused(error: int) -> int:
    return Action.ERRNO | error


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", sorted({*X86.calls, *ARM.calls} - {"socket", "clone", "clone3", "ioctl"}))
def test_refused_calls(machine: str, name: str) -> None:
    calls = MACHINES[machine].calls
    if name in calls:
        assert answer(machine, calls[name]) == refused(errno.EPERM)
    else:
        assert name in {"create_module", "iopl", "ioperm", "modify_ldt", "uselib", "_sysctl"}


@pytest.mark.parametrize("machine", MACHINES)
def test_clone3_says_that_it_does_not_exist(machine: str) -> None:
    assert answer(machine, MACHINES[machine].calls["clone3"]) == refused(errno.ENOSYS)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("family", range(50))
def test_socket_families(machine: str, family: int) -> None:
    expected = ALLOW if family in {1, 2, 10, 16} else refused(errno.EAFNOSUPPORT)
    assert answer(machine, MACHINES[machine].calls["socket"], (family, 1, 0)) == expected


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
    if not Path(header).exists():
        pytest.skip(f"no kernel headers here ({header})")
    known = {
        name: int(number)
        for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(header).read_text())
    }
    # Newer than the headers of Debian 12.
    newer = {"open_tree_attr", "statmount", "listmount"}
    assert {
        name: number
        for name, number in MACHINES[machine].calls.items()
        if known.get(name) != number and name not in newer
    } == {}
