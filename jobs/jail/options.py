"""The arguments that are the jail: what bubblewrap is told, and the launcher before it (law 1)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from jobs.jail.probe import unshare_options
from jobs.jail.spec import MEBIBYTE, JailSpec, Limits


INSIDE_UID: Final = 1000
"""Everyone inside is this uid; outside, tenants keep apart. One uid because the JVM refuses to start for a uid without a name."""

INTERPRETER: Final = "/opt/py"
"""Where the interpreter of the platform is mounted, when it is not the system's."""

_READ_ONLY, _NO_SETUID, _NO_DEVICES, _NO_PROGRAMS, _NO_LINKS = 1, 2, 4, 8, 256
OUTBOX_BITS: Final = _NO_SETUID | _NO_DEVICES | _NO_PROGRAMS | _NO_LINKS
_ROOT_FOLDERS: Final = ("bin", "sbin", "lib", "lib64")
_ETC: Final = {
    "passwd": f"job:x:{INSIDE_UID}:{INSIDE_UID}:job:/tmp:/usr/sbin/nologin\n",
    "group": f"job:x:{INSIDE_UID}:\n",
    "hosts": "127.0.0.1 localhost jail\n::1 localhost jail\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
# Files of the whole machine that no namespace narrows: they tell of other tenants' work, or of the kernel.
_MASKED_FILES: Final = (
    *(
        "buddyinfo",
        "cmdline",
        "config.gz",
        "consoles",
        "crypto",
        "diskstats",
        "execdomains",
        "interrupts",
        "iomem",
        "ioports",
    ),
    *(
        "kallsyms",
        "kcore",
        "key-users",
        "keys",
        "kmsg",
        "kpagecgroup",
        "kpagecount",
        "kpageflags",
        "loadavg",
        "locks",
        "modules",
    ),
    *(
        "pagetypeinfo",
        "partitions",
        "sched_debug",
        "schedstat",
        "slabinfo",
        "softirqs",
        "stat",
        "swaps",
        "sysrq-trigger",
    ),
    *("timer_list", "vmallocinfo", "vmstat", "zoneinfo"),
)
_MASKED_FOLDERS: Final = ("acpi", "asound", "bus", "driver", "fs", "irq", "pressure", "scsi", "sys/fs")
_SMALLEST_FILE_LIMIT: Final = 64 * MEBIBYTE


def bubblewrap_options(spec: JailSpec, filter_descriptor: int, status_descriptor: int) -> list[str]:
    """Give bubblewrap's options in their order; sources are paths in the launcher's root, not on the host."""
    limits = spec.limits
    return [
        *unshare_options(),
        "--disable-userns",
        *("--uid", str(INSIDE_UID), "--gid", str(INSIDE_UID), "--cap-drop", "ALL"),
        *("--die-with-parent", "--new-session", "--hostname", "jail", "--clearenv"),
        *("--seccomp", str(filter_descriptor), "--json-status-fd", str(status_descriptor)),
        *_system_options(),
        *(part for place, inside in _staged(spec) for part in ("--ro-bind", place, inside)),
        *_hidden_options(spec),
        *(("--dir", "/in", "--dir", "/job", "--dir", "/out") if spec.late else ("--bind", "/stage/out", "/out")),
        *("--size", str(limits.memory_bytes // 2), "--tmpfs", "/tmp"),  # noqa: S108
        *("--proc", "/proc", *_mask_options()),
        *("--dev", "/dev", "--size", str(limits.memory_bytes // 4), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"),  # noqa: S108
        *("--remount-ro", "/", "--chdir", "/tmp"),  # noqa: S108
        *(part for name, value in sorted(spec.environment.items()) for part in ("--setenv", name, value)),
    ]


def _system_options() -> Iterable[str]:
    """Mount the programs and libraries of the system, without what the site put into /usr/local, and the four small files."""
    yield from ("--ro-bind", "/usr", "/usr", "--size", "4096", "--tmpfs", "/usr/local", "--remount-ro", "/usr/local")
    for name in _ROOT_FOLDERS:
        host = Path("/", name)
        if host.is_symlink():
            yield from ("--symlink", str(host.readlink()), f"/{name}")
        elif host.is_dir():
            yield from ("--ro-bind", f"/{name}", f"/{name}")
    for name in (*_ETC, "ld.so.cache"):
        yield from ("--ro-bind", f"/etc/{name}", f"/etc/{name}")


def _hidden_options(spec: JailSpec) -> Iterable[str]:
    """Cover the libraries installed into the mounted interpreter: they are the host's, and may run code at each start."""
    if host := spec.read_only.get(INTERPRETER):
        for folder in sorted(host.glob("lib/python3.*/site-packages")):
            place = f"{INTERPRETER}/{folder.relative_to(host)}"
            yield from ("--size", "4096", "--tmpfs", place, "--remount-ro", place)


def _mask_options() -> Iterable[str]:
    """Cover files with a device that may not be opened, and folders with emptiness."""
    for name in _MASKED_FILES:
        if Path("/proc", name).is_file():
            yield from ("--ro-bind", "/dev/null", f"/proc/{name}")
    for name in _MASKED_FOLDERS:
        if Path("/proc", name).is_dir():
            yield from ("--size", "4096", "--tmpfs", f"/proc/{name}", "--remount-ro", f"/proc/{name}")


def _staged(spec: JailSpec) -> Iterable[tuple[str, str]]:
    """Number the sources: the launcher binds the n-th to ``/stage/n``."""
    return ((f"/stage/{number}", inside) for number, inside in enumerate(sorted(spec.read_only)))


def mount_bits(inside: str) -> int:
    """Give the flags of mount(2) for a source: all are read-only and bare, and no program starts from a table."""
    safe = _READ_ONLY | _NO_SETUID | _NO_DEVICES
    return safe | _NO_PROGRAMS if inside.startswith("/in/") else safe


def launcher_plan(spec: JailSpec, root: Path, outbox: Path, doors: Iterable[Path]) -> dict[str, Any]:
    """Say what the launcher binds into its root, and the limits it sets."""
    safe = _READ_ONLY | _NO_SETUID | _NO_DEVICES
    binds = [("/usr", "usr", safe), ("/etc/ld.so.cache", "etc/ld.so.cache", safe)]
    links = []
    for name in _ROOT_FOLDERS:
        host = Path("/", name)
        if host.is_symlink():
            links.append((name, str(host.readlink())))
        elif host.is_dir():
            binds.append((str(host), name, safe))
    for place, inside in _staged(spec):
        binds.append((str(spec.read_only[inside]), place.lstrip("/"), mount_bits(inside)))
    if not spec.late:
        binds.append((str(outbox), "stage/out", OUTBOX_BITS))
    return {
        "root": str(root),
        "uid": spec.uid,
        "doors": [str(door) for door in doors],
        "binds": binds,
        "links": links,
        "files": [(f"etc/{name}", content) for name, content in _ETC.items()],
        "rlimits": process_limits(spec.limits),
    }


def process_limits(limits: Limits) -> dict[str, int]:
    """Limits of each process; the groups limit them together, exactly.

    The number of processes is counted per uid on the host, and one tenant may have several runs, so this second wall is four times
    the exact one.
    """
    return {
        "RLIMIT_CORE": 0,
        "RLIMIT_NPROC": 4 * limits.processes,
        "RLIMIT_NOFILE": 8192,
        "RLIMIT_FSIZE": max(limits.outbox_bytes, limits.memory_bytes // 2, _SMALLEST_FILE_LIMIT),
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_RTPRIO": 0,
        "RLIMIT_SIGPENDING": 8192,
    }
