"""Take the outbox out of the jail: whole or not at all, and nothing but plain files (E2; the second wall).

What a program left is a hostile file tree: links to other tenants' files, FIFOs that hang a reader, sparse terabytes, names that
rewrite a terminal, archives that unpack to a disk full. The walk goes by directory descriptors and never follows a link, because a
check of a path says nothing about the next use of that path (CWE-59, CWE-367). Copies are fresh files with one mode and one time, so
that modes, times, owners, links and extended attributes carry nothing out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.jail.archives import looks_like_archive
from jobs.jail.spec import Collected, Limits
from lineage.errors import GateRefusedError


__all__ = ["Collected", "collect_outbox"]

DEPTH: Final = 2
"""A file may lie in the outbox or in one folder of it."""
NAME_BYTES: Final = 100
FILE_MODE: Final = 0o400
FILE_TIME: Final = 946_684_800
"""Seconds since 1970 that every copy carries: the first of January 2000."""

_PLAIN: Final = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9._-]*")
_CHUNK: Final = 1024 * 1024
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_SPECIAL_MODES: Final = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


@dataclass
class _Allowance:
    """What may still be taken: entries and bytes."""

    entries: int
    bytes: int
    entry_limit: int
    byte_limit: int

    def take_entry(self) -> None:
        self.entries -= 1
        if self.entries < 0:
            raise GateRefusedError("outbox.too-many", limit=self.entry_limit)

    def take_bytes(self, count: int) -> None:
        self.bytes -= count
        if self.bytes < 0:
            raise GateRefusedError("outbox.too-large", limit=self.byte_limit)


def collect_outbox(folder: Path, uid: int, limits: Limits, into: Path) -> tuple[Collected, ...]:
    """Copy every file of a dead run's outbox to ``into``, which is made anew.

    Args:
        folder: the mounted outbox; nothing may be able to write to it any more.
        uid: the tenant's uid on the host; a file of anybody else is refused.
        limits: caps on entries and on bytes really read.
        into: the folder to make; its parent must exist.

    Raises:
        GateRefusedError: ``outbox.<reason>``, at the first thing that is not a plain file or a plain folder of them.
    """
    part = into.with_name(f"{into.name}.part")
    _remove(part)
    _remove(into)
    part.mkdir(mode=0o700)
    allowance = _Allowance(limits.outbox_files, limits.outbox_bytes, limits.outbox_files, limits.outbox_bytes)
    try:
        with _opened(os.open(folder, _FOLDER_FLAGS)) as source:
            taken = sorted(_take_folder(source, "", uid, allowance, part), key=lambda item: item.name)
            _refuse_look_alikes(taken)
        part.rename(into)
    except BaseException:
        _remove(part)
        raise
    return tuple(Collected(item.name, into / item.path.relative_to(part), item.size, item.sha256) for item in taken)


def _remove(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


@contextmanager
def _opened(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _take_folder(source: int, prefix: str, uid: int, allowance: _Allowance, part: Path) -> Iterator[Collected]:
    """Take all files of an open folder; ``prefix`` is its own plain path with a closing slash, or empty."""
    with os.scandir(source) as entries:
        names = []
        for entry in entries:
            # Counted while listing: a folder of a million names must not be sorted first.
            allowance.take_entry()
            names.append(os.fsencode(entry.name))
    for raw in sorted(names):
        name = prefix + _plain(raw)
        state = os.stat(raw, dir_fd=source, follow_symlinks=False)
        _check_entry(state, name, uid)
        if not stat.S_ISDIR(state.st_mode):
            yield _take_file(source, raw, name, uid, allowance, part)
            continue
        if name.count("/") + 1 >= DEPTH:
            raise GateRefusedError("outbox.depth", name=name)
        (part / name).mkdir(mode=0o700)
        with _opened(os.open(raw, _FOLDER_FLAGS, dir_fd=source)) as folder:
            yield from _take_folder(folder, f"{name}/", uid, allowance, part)


def _plain(raw: bytes) -> str:
    """Refuse a name that is not plain; the refusal shows it escaped and short, because it may rewrite a terminal or a page."""
    if len(raw) > NAME_BYTES or not _PLAIN.fullmatch(raw):
        raise GateRefusedError("outbox.name", name=_shown(raw))
    return raw.decode("ascii")


def _shown(raw: bytes) -> str:
    """Write a hostile name with letters, digits, dots, dashes and hexadecimal escapes only, at most 40 characters."""
    text = "".join(chr(byte) if _PLAIN.fullmatch(b"x" + bytes([byte])) else f"%{byte:02x}" for byte in raw[:40])
    return text if len(text) <= 40 else text[:37] + "..."


def _check_entry(state: os.stat_result, name: str, uid: int) -> None:
    """Refuse what is neither file nor folder, has a second name, another owner, or a special mode."""
    if stat.S_ISLNK(state.st_mode):
        raise GateRefusedError("outbox.link", name=name)
    if not (stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode)):
        raise GateRefusedError("outbox.device", name=name)
    if stat.S_ISREG(state.st_mode) and state.st_nlink != 1:
        raise GateRefusedError("outbox.hard-link", name=name)
    if state.st_uid != uid or state.st_gid != uid:
        raise GateRefusedError("outbox.owner", name=name)
    if state.st_mode & _SPECIAL_MODES:
        raise GateRefusedError("outbox.mode", name=name)


def _take_file(source: int, raw: bytes, name: str, uid: int, allowance: _Allowance, part: Path) -> Collected:
    """Copy one file, counting what is read; the open descriptor is checked again, not only the name."""
    target = part / name
    with _opened(os.open(raw, _FILE_FLAGS, dir_fd=source)) as reading:
        state = os.fstat(reading)
        _check_entry(state, name, uid)
        if state.st_size > allowance.bytes:
            # A sparse file costs its writer nothing; refuse before reading a terabyte of zeros.
            raise GateRefusedError("outbox.too-large", limit=allowance.byte_limit)
        size, digest = _copy(reading, target, allowance)
    with target.open("rb") as file:
        if looks_like_archive(file):
            raise GateRefusedError("outbox.archive", name=name)
    os.utime(target, (FILE_TIME, FILE_TIME))
    return Collected(name, target, size, digest)


def _copy(reading: int, target: Path, allowance: _Allowance) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(writing, "wb") as file:
        while data := os.read(reading, _CHUNK):
            allowance.take_bytes(len(data))
            digest.update(data)
            size += file.write(data)
        os.fchmod(file.fileno(), FILE_MODE)
    return size, digest.hexdigest()


def _refuse_look_alikes(taken: list[Collected]) -> None:
    """Refuse two names that differ in case only: on many systems one would overwrite the other."""
    seen: set[str] = set()
    for item in taken:
        if item.name.casefold() in seen:
            raise GateRefusedError("outbox.same-name", name=item.name)
        seen.add(item.name.casefold())
