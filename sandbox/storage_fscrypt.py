"""fscrypt: folders that the kernel's own file system encrypts, with AES or, where the kernel has it, SM4 (D9).

The key is in the kernel only while somebody has the folder open; then its files can be listed by scrambled names and not be read
(ENOKEY). Through the kernel's documented ioctls, because no program of the distribution speaks version 2 policies with raw keys:
https://docs.kernel.org/filesystems/fscrypt.html . Needs ext4 or f2fs made with the feature ``encrypt``.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lineage.errors import MissingPartError


_SET_POLICY = 0x800C6613
_GET_POLICY_EX = 0xC0096616
_ADD_KEY = 0xC0506617
_REMOVE_KEY = 0xC0406618
_PAD_32 = 3
_IDENTIFIER = 2
_POLICY = struct.Struct("<BBBBB3x16s")
_SPEC = struct.Struct("<II16s16x")
_ADD = struct.Struct("<40sII32x32s")
_REMOVE = struct.Struct("<40sI20x")
_FILES_BUSY = 1


@dataclass(frozen=True)
class Cipher:
    """The pair of modes for contents and names, by the numbers of the kernel's interface."""

    name: str
    words: str
    contents: int
    names: int


AES = Cipher("fscrypt-aes", "AES-256-XTS", 1, 4)
SM4 = Cipher("fscrypt-sm4", "SM4-XTS", 7, 8)


class Fscrypt:
    """Folders under a policy of their own, opened by giving the kernel the key."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        self.name = cipher.name
        self.cipher = cipher.words

    def create(self, sealed: Path, key: bytes) -> None:
        """Make an empty sealed folder, and write in it once: a cipher that the kernel lacks shows only then.

        Raises:
            MissingPartError: the file system cannot encrypt, or the kernel lacks the cipher (law 7).
        """
        sealed.mkdir(mode=0o700, parents=True)
        identifier = b""
        try:
            identifier = _add_key(sealed, key, self.name)
            policy = _POLICY.pack(2, self._cipher.contents, self._cipher.names, _PAD_32, 0, identifier)
            _ioctl(sealed, _SET_POLICY, bytearray(policy), self.name)
            self._try(sealed)
        except MissingPartError:
            shutil.rmtree(sealed)
            raise
        finally:
            if identifier:
                _remove_key(sealed, identifier)

    @contextmanager
    def opened(self, sealed: Path, key: bytes, mounts: Path) -> Iterator[Path]:
        """Give the kernel the key for the time of a block; the last of several who have it open takes it back.

        Raises:
            MissingPartError: the key is another, or this is no folder of this cipher.
        """
        identifier = self._identifier(sealed)
        mounts.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = _hold(sealed, key, identifier, mounts, self.name)
        try:
            yield sealed
        finally:
            _let_go(held, sealed, identifier, mounts)

    def close(self, sealed: Path) -> None:
        """Take the key from the kernel whoever has it open; files that are open at this moment stay readable until they are closed."""
        if sealed.is_dir():
            _remove_key(sealed, self._identifier(sealed))

    def destroy(self, sealed: Path) -> None:
        """Take the key from the kernel and remove the folder; its files can be unlinked without the key."""
        if not sealed.is_dir():
            return
        with suppress(MissingPartError):
            # A half-made folder has no policy, and then nothing in it.
            self.close(sealed)
        try:
            shutil.rmtree(sealed)
        except OSError as error:
            raise MissingPartError("storage.not-destroyed", folder=sealed.name) from error

    def _identifier(self, sealed: Path) -> bytes:
        """Read which key a folder lies under.

        Raises:
            MissingPartError: it lies under none, or under another cipher.
        """
        answer = bytearray(struct.pack("<Q", _POLICY.size) + bytes(_POLICY.size))
        _ioctl(sealed, _GET_POLICY_EX, answer, self.name)
        version, contents, names, _, _, identifier = _POLICY.unpack(answer[8:])
        if (version, contents, names) != (2, self._cipher.contents, self._cipher.names):
            raise MissingPartError("storage.failed", provider=self.name)
        return bytes(identifier)

    def _try(self, sealed: Path) -> None:
        tried = sealed / ".tried"
        try:
            tried.write_bytes(b"tried")
            tried.unlink()
        except OSError as error:
            if error.errno == errno.ENOPKG:
                raise MissingPartError("storage.no-cipher", cipher=self.cipher) from error
            raise MissingPartError("storage.failed", provider=self.name) from error


def sweep_keys(mounts: Path) -> int:
    """Take from the kernel the keys whose owners died; gives how many."""
    swept = 0
    if not any(mounts.glob("key-*.lock")):
        return 0
    with _one_at_a_time(mounts):
        for path in mounts.glob("key-*.lock"):
            with path.open("r+", encoding="utf-8") as lock:
                if not _alone(lock):
                    continue
                folder = Path(lock.read().strip())
                if folder.is_dir() and not _remove_key(folder, bytes.fromhex(path.stem.partition("-")[2])):
                    continue
                path.unlink(missing_ok=True)
                swept += 1
    return swept


def _hold(sealed: Path, key: bytes, identifier: bytes, mounts: Path, name: str) -> IO[str]:
    with _one_at_a_time(mounts), ExitStack() as undo:
        lock = undo.enter_context((mounts / f"key-{identifier.hex()}.lock").open("a+", encoding="utf-8"))
        fcntl.flock(lock, fcntl.LOCK_SH)
        lock.truncate(0)
        lock.write(str(sealed))
        lock.flush()
        found = _add_key(sealed, key, name)
        _check_same(sealed, found, identifier, name)
        undo.pop_all()
        return lock


def _check_same(sealed: Path, found: bytes, identifier: bytes, name: str) -> None:
    """Take back a key that is not this folder's: it would lie in the kernel and open nothing here."""
    if found != identifier:
        _remove_key(sealed, found)
        raise MissingPartError("storage.failed", provider=name)


def _let_go(held: IO[str], sealed: Path, identifier: bytes, mounts: Path) -> None:
    path = mounts / f"key-{identifier.hex()}.lock"
    with _one_at_a_time(mounts):
        held.close()
        with path.open("r+", encoding="utf-8") as lock:
            if not _alone(lock):
                return
            gone = not sealed.is_dir() or _remove_key(sealed, identifier)
            if gone:
                # What is still open keeps the file for the next sweep to try once more.
                path.unlink(missing_ok=True)


def _alone(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _one_at_a_time(mounts: Path) -> Iterator[None]:
    """Whoever opens and whoever closes wait for each other, so that no key is taken from under a new opener."""
    with (mounts / "keys.mutex").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _add_key(folder: Path, key: bytes, name: str) -> bytes:
    """Give the kernel a key; gives the identifier by which it knows it."""
    if len(key) != 32:
        raise MissingPartError("storage.failed", provider=name)
    told = bytearray(_ADD.pack(_SPEC.pack(_IDENTIFIER, 0, bytes(16)), len(key), 0, key))
    try:
        _ioctl(folder, _ADD_KEY, told, name)
        return bytes(_SPEC.unpack(told[: _SPEC.size])[2])
    finally:
        told[:] = bytes(len(told))


def _remove_key(folder: Path, identifier: bytes) -> bool:
    """Take a folder's key from the kernel; false when something below it is still open, which then keeps it."""
    told = bytearray(_REMOVE.pack(_SPEC.pack(_IDENTIFIER, 0, identifier), 0))
    try:
        # Asked by the folder above: the folder itself, open for the asking, would be what keeps the key.
        _ioctl(folder.parent, _REMOVE_KEY, told, "fscrypt")
    except MissingPartError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOKEY:
            return True
        raise
    return not _REMOVE.unpack(told)[1] & _FILES_BUSY


def _ioctl(folder: Path, request: int, told: bytearray, name: str) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, request, told, True)
        finally:
            os.close(descriptor)
    except OSError as error:
        code = "storage.no-encryption" if error.errno in {errno.ENOTTY, errno.EOPNOTSUPP} else "storage.failed"
        raise MissingPartError(code, provider=name) from error
