"""The outbox of a pod comes as a tar stream, which is as hostile as the tree it was made from (E2; the second wall).

It is unpacked into a fresh folder as plain files and folders of one owner and one mode; every other kind of entry is refused here,
everything else by the one collector.
"""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import IO, Final

from jobs.jail.options import INSIDE_UID
from jobs.jail.spec import Limits
from lineage.errors import GateRefusedError, MissingPartError


_CHUNK: Final = 1024 * 1024
_BLOCK: Final = 512
_DEEPEST: Final = 4
_LONGEST: Final = 200


def keep_stream(source: IO[bytes], target: Path, limits: Limits) -> None:
    """Write a stream down, at most what an outbox within its limits can take.

    Raises:
        GateRefusedError: ``outbox.too-large``.
    """
    # A header and the rest of a block an entry, twice for long names, and the end.
    most = limits.outbox_bytes + 4 * _BLOCK * (limits.outbox_files + 1) + 64 * 1024
    with target.open("xb") as file:
        while data := source.read(_CHUNK):
            if file.tell() + len(data) > most:
                raise GateRefusedError("outbox.too-large", limit=limits.outbox_bytes)
            file.write(data)


def unpack(stream: Path, folder: Path, limits: Limits) -> None:
    """Unpack a kept stream into a folder that is made here, for the collector to look at.

    Raises:
        GateRefusedError: ``outbox.<reason>``: it holds more than files and folders, or too many of them.
        MissingPartError: it is no tar stream, or broke off.
    """
    folder.mkdir(mode=0o700)
    left = limits.outbox_files
    try:
        # No compression is tried: the stream is ours, and a bomb would be its writer's.
        with tarfile.open(stream, "r:") as archive:
            for entry in archive:
                parts = _parts(entry.name)
                if not parts:
                    continue
                left -= 1
                if left < 0:
                    raise GateRefusedError("outbox.too-many", limit=limits.outbox_files)
                _check_kind(entry)
                _put(archive, entry, folder.joinpath(*parts))
    except (tarfile.TarError, EOFError) as error:
        raise MissingPartError("jail.outbox-gone") from error


def _parts(name: str) -> tuple[str, ...]:
    """Split a name; refuse one that leads out, or that no collector would read."""
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if (
        name.startswith("/")
        or ".." in parts
        or len(parts) > _DEEPEST
        or len(os.fsencode(name)) > _LONGEST
        or "\0" in name
    ):
        raise GateRefusedError("outbox.name", name=ascii(name)[1:-1][:40].replace("\\", "%"))
    return parts


def _check_kind(entry: tarfile.TarInfo) -> None:
    name = ascii(entry.name)[1:-1][:40].replace("\\", "%")
    if entry.issym():
        raise GateRefusedError("outbox.link", name=name)
    if entry.islnk():
        raise GateRefusedError("outbox.hard-link", name=name)
    if entry.issparse() or not (entry.isreg() or entry.isdir()):
        raise GateRefusedError("outbox.device", name=name)
    if entry.uid != INSIDE_UID or entry.gid != INSIDE_UID:
        raise GateRefusedError("outbox.owner", name=name)
    if entry.mode & 0o7000:
        raise GateRefusedError("outbox.mode", name=name)


def _put(archive: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> None:
    """Write one entry; a second of the same name is refused, because which of the two counts would be its writer's choice."""
    try:
        if entry.isdir():
            target.mkdir(mode=0o700)
            return
        content = archive.extractfile(entry)
        with target.open("xb") as file:
            while content is not None and (data := content.read(_CHUNK)):
                file.write(data)
    except FileExistsError as error:
        raise GateRefusedError("outbox.same-name", name=ascii(entry.name)[1:-1][:40]) from error
    except OSError as error:
        raise GateRefusedError("outbox.name", name=ascii(entry.name)[1:-1][:40]) from error
