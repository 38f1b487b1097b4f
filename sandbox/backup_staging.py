"""Folders in which something is made beside its place: gone when it fails, and gone at the next attempt when its maker was killed.

A half restore holds keys in the clear, a half backup a snapshot of the database: neither may lie about for whoever finds it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staged(target: Path, ending: str) -> Iterator[Path]:
    """Make a folder beside ``target`` for the time of a block, readable by this account alone; the block may rename it.

    What earlier makers of the same target left is removed first; one that still works holds a lock, which dies with it.
    """
    with _locked(target.parent):
        for left in target.parent.glob(f".{target.name}.*.{ending}"):
            _remove_if_dead(left)
        folder = target.with_name(f".{target.name}.{secrets.token_hex(4)}.{ending}")
        folder.mkdir(mode=0o700)
        held = _lock(folder, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    held = _lock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(held)


def _lock(folder: Path, how: int) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _remove_if_dead(folder: Path) -> None:
    try:
        held = _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    try:
        shutil.rmtree(folder)
    finally:
        os.close(held)
