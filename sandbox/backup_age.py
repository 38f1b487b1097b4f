"""Encryption to the recovery key: streams through ``age``, Debian's program for the format age-encryption.org/v1.

X25519 to the recipient, ChaCha20-Poly1305 in chunks whose order and end are authenticated: a design of our own over the same parts
would be another one to review. Who encrypts holds the public key alone, so a domain cannot open the backups that it makes.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lineage.errors import DataFileError, DefinitionError, GateRefusedError, MissingPartError


_RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}")
_HEADERS = (b"age-encryption.org/v1", b"-----BEGIN AGE ENCRYPTED FILE-----")


@dataclass(frozen=True)
class Recipient:
    """The public half of a recovery key.

    Raises:
        DefinitionError: the text is no age X25519 recipient, or its checksum is wrong.
        MissingPartError: age is not installed.
    """

    text: str

    def __post_init__(self) -> None:
        if _RECIPIENT.fullmatch(self.text) is None:
            raise DefinitionError("backup.bad-recovery-key")
        with _started(["age", "-r", self.text], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            if process.wait() != 0:
                raise DefinitionError("backup.bad-recovery-key")


@dataclass(frozen=True, repr=False)
class Identity:
    """The private half of a recovery key, held in memory for as long as it is needed; its repr shows nothing (law 9)."""

    text: bytes

    @classmethod
    def load(cls, path: Path) -> Identity:
        """Read the file that ``age-keygen`` made; one sealed by a passphrase is opened once, age asks on the terminal.

        Raises:
            MissingPartError: the file cannot be read, or age is not installed.
            GateRefusedError: the passphrase is wrong.
        """
        try:
            found = path.read_bytes()
        except OSError as error:
            raise MissingPartError("backup.no-recovery-key", file=str(path)) from error
        if not found.startswith(_HEADERS):
            return cls(found)
        with _started(["age", "-d"], stdin=path, stdout=subprocess.PIPE) as process:
            opened, _ = process.communicate()
        if process.returncode != 0:
            raise GateRefusedError("backup.wrong-recovery-key", part=path.name)
        return cls(opened)


def program_version() -> str:
    """Give the version of age.

    Raises:
        MissingPartError: it is not installed.
    """
    with _started(["age", "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        return process.communicate()[0].decode(errors="replace").strip()


@contextmanager
def encrypting(target: Path, recipient: Recipient) -> Iterator[IO[bytes]]:
    """Open a new file for writing; what is written is encrypted on its way and lies on the disk at the end of the block.

    Raises:
        DataFileError: the place is full or cannot be written.
        MissingPartError: age is not installed.
    """
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with (
        os.fdopen(descriptor, "wb") as out,
        _started(["age", "-r", recipient.text], stdin=subprocess.PIPE, stdout=out) as process,
    ):
        assert process.stdin is not None  # noqa: S101 - asked for as a pipe
        with suppress(BrokenPipeError), process.stdin as stream:
            yield stream
        told = process.stderr.read() if process.stderr is not None else b""
        if process.wait() != 0:
            code = "backup.disk-full" if b"no space left" in told else "backup.cannot-write"
            raise DataFileError(code, place=str(target.parent))
        os.fsync(out.fileno())


@contextmanager
def decrypting(source: Path, identity: Identity) -> Iterator[IO[bytes]]:
    """Open an encrypted file for reading; what is read is not to be used before the block has ended well.

    Raises:
        GateRefusedError: it was damaged, cut, or encrypted to another key.
        MissingPartError: age is not installed.
    """
    secret = os.memfd_create("recovery-key", os.MFD_CLOEXEC)
    try:
        os.write(secret, identity.text)
        # Neither the command line nor the environment nor a disk shows the key (law 9).
        command = ["age", "-d", "-i", f"/proc/self/fd/{secret}"]
        with _started(command, stdin=source, stdout=subprocess.PIPE, pass_fds=(secret,)) as process:
            yield from _read(process, source.name)
    finally:
        os.close(secret)


def _read(process: subprocess.Popen[bytes], part: str) -> Iterator[IO[bytes]]:
    assert process.stdout is not None  # noqa: S101 - asked for as a pipe
    assert process.stderr is not None  # noqa: S101 - asked for as a pipe
    try:
        yield process.stdout
        while process.stdout.read(1 << 20):
            pass
    except Exception as error:
        process.stdout.close()
        # Killed by the pipe that we close is a negative code: then what the reader found is the reason.
        if process.wait() > 0:
            raise _refusal(process.stderr.read(), part) from error
        raise
    if process.wait() != 0:
        raise _refusal(process.stderr.read(), part)


def _refusal(told: bytes, part: str) -> GateRefusedError:
    wrong = (
        b"no identity matched" in told or b"no identities" in told or b'reading "/proc' in told or b"malformed" in told
    )
    return GateRefusedError("backup.wrong-recovery-key" if wrong else "backup.does-not-open", part=part)


@contextmanager
def _started(
    command: list[str],
    *,
    stdin: int | Path,
    stdout: int | IO[bytes],
    pass_fds: tuple[int, ...] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Start age and never leave it behind."""
    given = stdin if isinstance(stdin, int) else os.open(stdin, os.O_RDONLY)
    try:
        process = subprocess.Popen(command, stdin=given, stdout=stdout, stderr=subprocess.PIPE, pass_fds=pass_fds)
    except FileNotFoundError as error:
        raise MissingPartError("backup.no-age") from error
    finally:
        if not isinstance(stdin, int):
            os.close(given)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
