"""Where a grant's tables lie at rest: one small interface, encrypted below the file system and opened by the platform alone.

Encryption inside the files (Parquet modular encryption) would hand the key to the reader, which is the tenant's job, and leaves
the Delta log's statistics in clear. Below the file system a job needs no key, and destroying the key ends the data (law 10, D11).
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from lineage.errors import MissingPartError


_TIMEOUT = 60


class StorageProvider(Protocol):
    """A way to keep a folder sealed under a 32-byte key."""

    name: str

    def create(self, sealed: Path, key: bytes) -> None:
        """Make an empty sealed folder."""

    def opened(self, sealed: Path, key: bytes, mounts: Path) -> AbstractContextManager[Path]:
        """Open it for the time of a ``with`` block; gives the folder to read and write."""


class Gocryptfs:
    """gocryptfs: AES-256-GCM per block, names encrypted; FUSE, so it needs no kernel of its own kind."""

    name = "gocryptfs"

    def create(self, sealed: Path, key: bytes) -> None:
        """Make an empty sealed folder.

        Raises:
            MissingPartError: gocryptfs is not installed or failed.
        """
        sealed.mkdir(mode=0o700, parents=True)
        # The password is a random key, not a person's word: a costly scrypt would only slow every run.
        _run(["gocryptfs", "-init", "-q", "-scryptn", "10", str(sealed)], key)

    @contextmanager
    def opened(self, sealed: Path, key: bytes, mounts: Path) -> Iterator[Path]:
        """Mount it under ``mounts``; unmounted at the end of the block.

        The mount point is root-only through ``mounts`` (0700); ``allow_other`` lets a jail's own uid read what is bound into it.

        Raises:
            MissingPartError: gocryptfs is not installed, the key is wrong, or FUSE is missing.
        """
        mounts.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"mnt-{secrets.token_hex(8)}"
        with (mounts / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            point = mounts / name
            point.mkdir(mode=0o755)
            try:
                _run(["gocryptfs", "-q", "-nosyslog", "-allow_other", str(sealed), str(point)], key)
                yield point
            finally:
                close_mount(point)
        (mounts / f"{name}.lock").unlink(missing_ok=True)


class Unsealed:
    """No encryption at all: for unit tests, refused anywhere else."""

    name = "none"

    def create(self, sealed: Path, key: bytes) -> None:
        """Make an empty folder."""
        _only_in_tests()
        if len(key) != 32:
            raise MissingPartError("storage.failed", provider=self.name)
        sealed.mkdir(mode=0o700, parents=True)

    @contextmanager
    def opened(self, sealed: Path, key: bytes, mounts: Path) -> Iterator[Path]:
        """Give the folder itself."""
        _only_in_tests()
        if len(key) != 32 or not sealed.is_dir():
            raise MissingPartError("storage.failed", provider=self.name)
        mounts.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield sealed


PROVIDERS: Mapping[str, type[StorageProvider]] = {"gocryptfs": Gocryptfs, "none": Unsealed}


def provider(name: str) -> StorageProvider:
    """Give the provider that the domain's settings name.

    Raises:
        MissingPartError: nobody knows it (law 7), or it is ``none`` outside unit tests.
    """
    if name not in PROVIDERS:
        raise MissingPartError("storage.unknown", provider=name)
    if name == "none":
        _only_in_tests()
    return PROVIDERS[name]()


def sweep(mounts: Path) -> int:
    """Close mounts whose owner died; a live owner holds its lock. Gives how many were closed."""
    closed = 0
    for lock_path in mounts.glob("mnt-*.lock"):
        with lock_path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            close_mount(lock_path.with_suffix(""))
            lock_path.unlink(missing_ok=True)
            closed += 1
    return closed


def close_mount(point: Path) -> None:
    """Unmount and remove a mount point; lazily when something still looks at it, so that ending never waits (law 10)."""
    if os.path.ismount(point):
        done = subprocess.run(["umount", str(point)], capture_output=True, check=False, timeout=_TIMEOUT)
        if done.returncode != 0:
            subprocess.run(["umount", "-l", str(point)], capture_output=True, check=False, timeout=_TIMEOUT)
    if point.is_dir() and not os.path.ismount(point):
        shutil.rmtree(point, ignore_errors=True)


def _run(command: list[str], key: bytes) -> None:
    # A mount stays behind as a daemon that would keep a pipe open for ever, so its output goes nowhere.
    quiet = subprocess.DEVNULL
    try:
        done = subprocess.run(
            command, input=key.hex().encode() + b"\n", stdout=quiet, stderr=quiet, check=False, timeout=_TIMEOUT
        )
    except FileNotFoundError as error:
        raise MissingPartError("storage.not-installed", program=command[0]) from error
    if done.returncode != 0:
        raise MissingPartError("storage.failed", provider=command[0])


def _only_in_tests() -> None:
    if os.environ.get("SHUZHA_UNIT_TESTS") != "1":
        raise MissingPartError("storage.none-refused")
