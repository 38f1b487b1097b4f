"""Where a grant's tables lie at rest: one small interface, encrypted below the file system and opened by the platform alone.

Encryption inside the files (Parquet modular encryption) would hand the key to the reader, which is the tenant's job, and leaves
the Delta log's statistics in clear. Below the file system a job needs no key, and destroying the key ends the data (law 10, D11).
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from lineage.errors import MissingPartError
from sandbox.keys_files import destroy as destroy_file


_TIMEOUT = 60


class StorageProvider(Protocol):
    """A way to keep a folder sealed under a 32-byte key."""

    @property
    def name(self) -> str:
        """What the settings call it."""

    @property
    def cipher(self) -> str:
        """What it encrypts with, in the words of an assessment, and who vouches for it where that is not us; empty where it does not."""

    def create(self, sealed: Path, key: bytes) -> None:
        """Make an empty sealed folder."""

    def close(self, sealed: Path) -> None:
        """Close it for everybody who has it open, at once; whoever reads there gets an error."""

    def destroy(self, sealed: Path) -> None:
        """Destroy it for good, what it keeps of its key first."""

    def opened(self, sealed: Path, key: bytes, mounts: Path) -> AbstractContextManager[Path]:
        """Open it for the time of a ``with`` block; gives the folder to read and write."""


class Gocryptfs:
    """gocryptfs: AES-256-GCM per block, names encrypted; FUSE, so it needs no kernel of its own kind."""

    name = "gocryptfs"
    cipher = "AES-256-GCM"

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

    def close(self, sealed: Path) -> None:
        """Unmount it and end the daemons that serve it: a jail that has it bound reads no further byte (law 10)."""
        for point in _points(sealed):
            close_mount(point)
        for pid in serving(sealed):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def destroy(self, sealed: Path) -> None:
        """Close it, overwrite the file that holds its wrapped key, and remove it."""
        self.close(sealed)
        destroy_file(sealed / "gocryptfs.conf")
        _remove(sealed)


class Unsealed:
    """No encryption at all: for unit tests, refused anywhere else."""

    name = "none"
    cipher = ""

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

    def close(self, sealed: Path) -> None:
        """Do nothing: it is never closed."""

    def destroy(self, sealed: Path) -> None:
        """Remove it."""
        _only_in_tests()
        _remove(sealed)


NAMES = ("gocryptfs", "fscrypt-aes", "fscrypt-sm4", "external", "none")


def provider(name: str, settings: Mapping[str, Any] | None = None) -> StorageProvider:
    """Give the provider that the domain's settings name.

    Raises:
        MissingPartError: nobody knows it, its settings are not whole (law 7), or it is ``none`` outside unit tests.
    """
    if name == "gocryptfs":
        return Gocryptfs()
    if name in {"fscrypt-aes", "fscrypt-sm4"}:
        from sandbox.storage_fscrypt import AES, SM4, Fscrypt

        return Fscrypt(AES if name == "fscrypt-aes" else SM4)
    if name == "external":
        from sandbox.storage_external import read_external

        return read_external(settings or {})
    if name == "none":
        _only_in_tests()
        return Unsealed()
    raise MissingPartError("storage.unknown", provider=name)


def try_out(storage: StorageProvider, place: Path, mounts: Path) -> str:
    """Seal, open, close, open wrongly and destroy a folder below ``place``; gives the cipher. For the check of a machine.

    Raises:
        MissingPartError: a step failed, or what was closed could still be read (law 7).
    """
    sealed = place / f".try-{secrets.token_hex(8)}"
    key, other, text = secrets.token_bytes(32), secrets.token_bytes(32), secrets.token_bytes(32)
    try:
        storage.create(sealed, key)
        with storage.opened(sealed, key, mounts) as folder:
            (folder / "tried").write_bytes(text)
        with storage.opened(sealed, key, mounts) as folder:
            whole = (folder / "tried").read_bytes() == text
        with suppress(MissingPartError), storage.opened(sealed, other, mounts):
            whole = whole and not storage.cipher
        if not whole or (storage.cipher and _readable(sealed, text)):
            raise MissingPartError("storage.failed", provider=storage.name)
        return storage.cipher
    finally:
        storage.destroy(sealed)


def destroy_sealed(storage: StorageProvider, folder: Path) -> None:
    """Destroy every sealed folder below a folder, then the folder itself; nothing when it is not there."""
    for sealed in sorted(folder.iterdir()) if folder.is_dir() else []:
        if sealed.is_dir():
            storage.destroy(sealed)
    _remove(folder)


def serving(folder: Path) -> list[int]:
    """Find the processes that keep a sealed folder, or one below it, open for others."""
    wanted = str(folder)
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            if Path(words[0]).name == "gocryptfs" and any(_below(word, wanted) for word in words[1:]):
                found.append(int(path.parent.name))
    return sorted(found)


def sweep(mounts: Path) -> int:
    """Close mounts, and take keys from the kernel, whose owner died; a live owner holds its lock. Gives how many were closed."""
    from sandbox.storage_fscrypt import sweep_keys

    closed = sweep_keys(mounts)
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


def _points(sealed: Path) -> list[Path]:
    """Find where a sealed folder is mounted: the source of a gocryptfs mount is its sealed folder."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        words = line.split()
        kind, source = words[words.index("-") + 1 : words.index("-") + 3]
        if kind == "fuse.gocryptfs" and _below(_spelled(source), str(sealed)):
            found.append(Path(_spelled(words[4])))
    return found


def _spelled(path: str) -> str:
    """Undo the octal escapes of mountinfo."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _readable(sealed: Path, text: bytes) -> bool:
    for path in sealed.rglob("*"):
        with suppress(OSError):
            if path.is_file() and text in path.read_bytes():
                return True
    return False


def _remove(folder: Path) -> None:
    """Remove a folder with all that is in it.

    Raises:
        MissingPartError: something stayed.
    """
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise MissingPartError("storage.not-destroyed", folder=folder.name) from error


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
