"""The table of attempts, and what they share."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn


Attempt = Callable[[dict[str, Any]], str]

ATTEMPTS: Final[dict[str, Attempt]] = {}
MEBIBYTE: Final = 1024 * 1024

libc = ctypes.CDLL(None, use_errno=True)


class BlockedError(Exception):
    """The attempt failed without an error number: what it looked for is not there."""


def attempt(name: str) -> Callable[[Attempt], Attempt]:
    """Put an attempt into the table under its name."""

    def put(function: Attempt) -> Attempt:
        ATTEMPTS[name] = function
        return function

    return put


def stopped(reason: str) -> NoReturn:
    """End an attempt that did not succeed."""
    raise BlockedError(reason)


def call(targets: dict[str, Any], name: str, *arguments: int | bytes | None) -> int:
    """Make a raw system call; raises OSError as the kernel answers."""
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


def processes() -> list[Path]:
    """List the processes in sight."""
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def names(folder: str) -> list[str]:
    """List the names in a folder."""
    return [path.name for path in Path(folder).iterdir()]


def first(found: list[str]) -> str:
    """Give the first thing found; nothing found is a failed attempt."""
    return found[0] if found else stopped("nothing found")
