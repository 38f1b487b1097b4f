"""Key files: written once, for their owner alone, and destroyed by overwriting before unlinking."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from lineage.errors import MissingPartError


def read(path: Path) -> bytes:
    """Read a key file.

    Raises:
        MissingPartError: it is not there (law 7).
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingPartError("key.missing", key=path.stem) from error


def write_new(path: Path, data: bytes) -> None:
    """Write a key file that is not there yet, and have it on the disk before going on.

    Raises:
        FileExistsError: it is there: no key is made over another.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def destroy(path: Path) -> bool:
    """Overwrite, then unlink; whether it was there.

    On a journalling or copy-on-write disk only the second is sure; a token or a KMS is for sites to which that matters.
    """
    if not path.exists():
        return False
    with path.open("r+b") as stream:
        stream.write(secrets.token_bytes(path.stat().st_size))
        stream.flush()
        os.fsync(stream.fileno())
    path.unlink()
    sync_folder(path.parent)
    return True


def destroy_folder(folder: Path) -> bool:
    """Destroy every file of a folder, then the folder; whether it was there."""
    if not folder.exists():
        return False
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        else:
            destroy(path)
    folder.rmdir()
    sync_folder(folder.parent)
    return True


def sync_folder(folder: Path) -> None:
    """Have the names of a folder on the disk before going on."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
