"""What a jail is told and what it answers, and the contract every jail keeps (D1, D2, P1; laws 1 and 7).

A jail is one run of code that nobody on this side trusts. The specification *is* the policy: a path that it does not name does not
exist inside, so no rule about SQL, file readers or libraries is needed anywhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Final, Protocol

from lineage.errors import DefinitionError, MissingPartError


MEBIBYTE: Final = 1024 * 1024
LOWEST_UID: Final = 100_000
"""Uids below belong to the host's own people and services."""
HIGHEST_UID: Final = 2**31 - 2

# The run id becomes a cgroup folder and part of a mount path; 12 characters are the least that cannot be guessed.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{11,62}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# No component begins with a dot, and the path with one slash only: "//proc" is another path to a check and the same to the kernel.
_INSIDE: Final = re.compile(r"(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)+")
# The jail makes these itself; a mount there would undo a protection.
_OWN_FOLDERS: Final = ("/proc", "/dev", "/sys", "/tmp", "/out", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/run")  # noqa: S108
_OWN_FILES: Final = ("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ld.so.cache")


@dataclass(frozen=True)
class Limits:
    """What one run may use.

    Attributes:
        memory_bytes: memory of all its processes together, files in ``/tmp`` and page cache included.
        processes: processes and threads at one time; a Spark application needs about 200.
        seconds: wall seconds until it is killed.
        cores: processor cores, as a share of time.
        outbox_bytes: bytes it may leave in ``/out``.
        outbox_files: files and folders it may leave in ``/out``.
        log_bytes: bytes of its log that are kept; the rest is read and thrown away.
    """

    memory_bytes: int = 2048 * MEBIBYTE
    processes: int = 512
    seconds: int = 20 * 60
    cores: int = 1
    outbox_bytes: int = 64 * MEBIBYTE
    outbox_files: int = 100
    log_bytes: int = 1 * MEBIBYTE

    def __post_init__(self) -> None:
        """Refuse limits that would not limit, or that no process could start under."""
        bounds = {
            "memory_bytes": (32 * MEBIBYTE, 1 << 44),
            "processes": (8, 1 << 16),
            "seconds": (1, 7 * 24 * 3600),
            "cores": (1, 1024),
            "outbox_bytes": (MEBIBYTE, 1 << 40),
            "outbox_files": (1, 1 << 20),
            "log_bytes": (1024, 1 << 32),
        }
        for name, (lowest, highest) in bounds.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not lowest <= value <= highest:
                raise DefinitionError("jail.bad-limit", limit=name, lowest=lowest, highest=highest)


@dataclass(frozen=True)
class JailSpec:
    """One run: who, what, with what, and how much.

    Attributes:
        name: an unguessable run id, 12 to 63 of ``a-z 0-9 -``.
        workspace: folder of this run alone, owned by root with mode 0700; the jail keeps its own things in ``workspace/jail``.
        uid: the uid of the tenant *on the host*, at least 100000 and never shared between tenants; inside everyone is 1000.
        argv: the program and its arguments as the jail sees them.
        environment: the whole environment of the program; nothing of the platform's own is inherited.
        read_only: absolute path inside -> file or folder of the host. Files must be readable by others than their owner; the folders
            above them need not be.
        limits: what it may use.
        late: the job's folder, its tables and its outbox are mounted after the start, by the platform (``pool``); until then the places
            are empty.

    Raises:
        DefinitionError: a value is malformed.
        MissingPartError: a host path does not exist.
    """

    name: str
    workspace: Path
    uid: int
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    read_only: Mapping[str, Path] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    late: bool = False

    def __post_init__(self) -> None:
        """Refuse what would weaken the jail, and freeze the two mappings."""
        if not _NAME.fullmatch(self.name):
            raise DefinitionError("jail.bad-name")
        if not LOWEST_UID <= self.uid <= HIGHEST_UID:
            raise DefinitionError("jail.bad-uid", uid=self.uid, lowest=LOWEST_UID)
        if not self.workspace.is_absolute() or ".." in self.workspace.parts or len(self.workspace.parts) < 3:
            raise DefinitionError("jail.bad-workspace")
        _check_program(self.argv, self.environment)
        for inside, host in self.read_only.items():
            check_inside_path(inside)
            check_host_path(inside, host)
        _check_no_overlap(self.read_only)
        object.__setattr__(self, "environment", MappingProxyType(dict(self.environment)))
        object.__setattr__(self, "read_only", MappingProxyType(dict(self.read_only)))


def _check_program(argv: tuple[str, ...], environment: Mapping[str, str]) -> None:
    """Refuse an empty program, malformed variable names, and zero bytes, which would end an argument early."""
    if not argv or not argv[0]:
        raise DefinitionError("jail.bad-program")
    if any("\0" in text for text in (*argv, *environment.values())):
        raise DefinitionError("jail.bad-program")
    if not all(_VARIABLE.fullmatch(name) for name in environment):
        raise DefinitionError("jail.bad-program")


def check_inside_path(inside: str) -> None:
    """Refuse a path inside that is not plain and absolute, or that covers what the jail makes itself.

    Raises:
        DefinitionError: ``jail.bad-mount``.
    """
    path = PurePosixPath(inside)
    plain = _INSIDE.fullmatch(inside) is not None
    reserved = inside in {"/", "/etc", "/opt", "/in"} or inside in _OWN_FILES
    if not plain or reserved or any(path.is_relative_to(folder) for folder in _OWN_FOLDERS):
        raise DefinitionError("jail.bad-mount", path=ascii(inside)[:80])


def check_host_path(inside: str, host: Path) -> None:
    """Refuse a host path that is relative, a link, the whole host, or neither file nor folder.

    Raises:
        DefinitionError: ``jail.bad-source``.
        MissingPartError: ``jail.input-missing``.
    """
    if not host.is_absolute() or ".." in host.parts or host == Path("/") or host.is_symlink():
        raise DefinitionError("jail.bad-source", path=ascii(inside)[:80])
    if not host.exists():
        raise MissingPartError("jail.input-missing", path=ascii(inside)[:80])
    if not (host.is_dir() or host.is_file()):
        raise DefinitionError("jail.bad-source", path=ascii(inside)[:80])


def _check_no_overlap(read_only: Mapping[str, Path]) -> None:
    """Refuse one mount inside another: what lies below would depend on the order of mounting."""
    for inside in read_only:
        if any(str(parent) in read_only for parent in PurePosixPath(inside).parents):
            raise DefinitionError("jail.bad-mount", path=ascii(inside)[:80])


class Ending(StrEnum):
    """How a run ended; the only thing about a production run that its tenant hears (law 8)."""

    DONE = "done"
    FAILED = "failed"
    TIME = "time"
    MEMORY = "memory"
    OUTPUT = "output"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Outcome:
    """What is known of a run that is over.

    Attributes:
        ending: how it ended.
        exit_code: exit code of the program; 128 + n after signal n; -1 when it was killed from outside.
        wall_seconds: seconds from start to the death of the last process.
        cpu_seconds: processor seconds of all processes together.
        peak_bytes: the most memory ever used at one time.
        log: the beginning of what the program wrote to stdout and stderr, at most ``limits.log_bytes`` and one closing line; bytes as
            written, so whoever shows it must escape control characters. Lies in the workspace until cleanup.
    """

    ending: Ending
    exit_code: int
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    log: Path


@dataclass(frozen=True)
class Collected:
    """One file taken out of the outbox: a fresh copy that the run can no longer reach.

    Attributes:
        name: its path in the outbox, plain characters only, ``/`` between folder and file.
        path: the copy.
        size: bytes.
        sha256: hexadecimal digest of the copy's bytes.
    """

    name: str
    path: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class Capability:
    """What this jail really isolates on this machine; policy refuses a grade by it, never by the jail's name.

    Attributes:
        network: the run has a network of its own with nothing in it.
        files: the run sees only what its specification names.
        uid: every tenant has a uid of its own on the host.
        limits: memory, processes, processor share and outbox are bounded by the kernel.
        kernel: the run has a kernel of its own (gVisor, a virtual machine); never true for namespaces.
        missing: names of the parts this machine lacks, for the maintainer.
    """

    network: bool
    files: bool
    uid: bool
    limits: bool
    kernel: bool
    missing: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether everything but a kernel of its own is there; less is refused (law 7)."""
        return self.network and self.files and self.uid and self.limits


class Jail(Protocol):
    """The contract of every jail.

    The order is ``prepare``, ``run``, ``collect``, ``cleanup``. The platform may be killed at any point, and the next process may call
    the step it finds unfinished again: each method is safe to repeat. A run is never resumed: when the platform dies, everything in
    the jail dies with it, and ``prepare`` starts over.

    One specification is handled by one thread at a time; different specifications may be handled at once.
    """

    def capability(self) -> Capability:
        """Tell what this jail isolates on this machine; found out once, by trying."""
        ...

    def prepare(self, spec: JailSpec) -> None:
        """Make the run's folder and its empty outbox.

        Called again, or after a crash, it ends whatever still lives under this name, throws away the old outbox and log, and starts
        from a clean folder. Only ``workspace/jail`` is touched.

        Raises:
            MissingPartError: something that the jail needs is not there; nothing was left mounted.
        """
        ...

    def run(self, spec: JailSpec, cancelled: Callable[[], bool]) -> Outcome:
        """Run the program to its end and return when its last process is dead.

        Must follow ``prepare``. Called for a name that still has live processes, it kills those first; called again after an ending,
        the program runs again with the outbox as it was left (so prefer ``prepare`` again). ``cancelled`` is asked several times a
        second, from the calling thread; an exception from it ends the run and is passed on. The kernel ties the run's life to the
        calling thread, not only to the process.

        Raises:
            MissingPartError: the jail could not be made; the program did not start (law 7).
        """
        ...

    def collect(self, spec: JailSpec, into: Path) -> tuple[Collected, ...]:
        """Copy the outbox out, whole or not at all, in the order of names.

        ``into`` is made anew, so a repeated call gives the same files again. Its parent must exist and be closed to tenants.

        Raises:
            GateRefusedError: ``outbox.<reason>``; ``into`` does not exist afterwards.
            MissingPartError: the outbox is gone, or the run still lives.
        """
        ...

    def cleanup(self, spec: JailSpec) -> None:
        """End what lives, unmount and remove everything of this run, log included; nothing to do is no error."""
        ...
