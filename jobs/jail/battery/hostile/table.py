"""The table of probes, and what they share."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn


Attempt = Callable[[dict[str, Any]], str]
MEBIBYTE: Final = 1024 * 1024

libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Probe:
    """One attempt under its name, and the group it is shown in."""

    name: str
    group: str
    attempt: Attempt


PROBES: Final[dict[str, Probe]] = {}


class BlockedError(Exception):
    """The attempt failed without an error number: what it looked for is not there."""


def probes(group: str) -> Callable[[str], Callable[[Attempt], Attempt]]:
    """Give a decorator that puts attempts into the table under their names."""

    def named(name: str) -> Callable[[Attempt], Attempt]:
        def put(function: Attempt) -> Attempt:
            if name in PROBES:
                raise ValueError(f"two probes are called {name}")
            PROBES[name] = Probe(name, group, function)
            return function

        return put

    return named


def stopped(reason: str) -> NoReturn:
    """End an attempt that did not succeed."""
    raise BlockedError(reason)


def call(targets: dict[str, Any], name: str, *arguments: int | bytes | None) -> int:
    """Make a raw system call; raises OSError as the kernel answers."""
    if name not in targets["calls"]:
        stopped("this family of processors has no such call")
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(libc.syscall(ctypes.c_long(targets["calls"][name]), *wide))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def reached(targets: dict[str, Any], name: str, *arguments: int | bytes | None) -> str:
    """Tell whether a call is let through to the kernel: arguments that are wrong on purpose must not be refused by permission."""
    try:
        call(targets, name, *arguments)
    except OSError as error:
        if error.errno in {errno.EPERM, errno.EACCES, errno.ENOSYS}:
            raise
    return f"{name} reaches the kernel"


def any_reached(targets: dict[str, Any], calls: dict[str, tuple[int | bytes | None, ...]]) -> str:
    """Give the first of several calls that reaches the kernel."""
    for name, arguments in calls.items():
        try:
            return reached(targets, name, *arguments)
        except (OSError, BlockedError):
            continue
    return stopped("none reaches the kernel")


def processes() -> list[Path]:
    """List the processes in sight."""
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def names(folder: str) -> list[str]:
    """List the names in a folder."""
    return [path.name for path in Path(folder).iterdir()]


def readable(paths: list[str]) -> str:
    """Give the first path that can be read to some byte; what was read is not told."""
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                if file.read(64):
                    return path
        except OSError:
            continue
    return stopped("none can be read")


def first(found: list[str]) -> str:
    """Give the first thing found; nothing found is a failed attempt."""
    return found[0] if found else stopped("nothing found")
