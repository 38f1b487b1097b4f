"""Attempts to see, read or change files that belong to the host, the domain, a neighbour or the run's own input."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from .table import BlockedError, call, first, libc, names, probes, reached, readable, stopped


probe = probes("files")

_EVENTS: Final = ("anon_inode:[eventpoll]", "anon_inode:[eventfd]")


@probe("read-host-file")
def _read_host_file(targets: dict[str, Any]) -> str:
    return Path(targets["host_file"]).read_text()


@probe("read-neighbour-folder")
def _read_neighbour(targets: dict[str, Any]) -> str:
    return first(names(targets["neighbour"]))


@probe("read-domain-folder")
def _read_domain(targets: dict[str, Any]) -> str:
    """The folder of the real domain: settings, keys, raw tables, tokens, and the canaries planted among them."""
    for place in targets["domain"]:
        with contextlib.suppress(OSError):
            path = Path(place)
            return f"{len(names(place)) if path.is_dir() else len(path.read_bytes())} found"
    raise BlockedError("nothing of the domain is there")


@probe("reach-host-through-process-1")
def _root_of_one(targets: dict[str, Any]) -> str:
    for pid in ("1", "self", str(os.getppid())):
        for way in ("root", "cwd", "task/1/root"):
            with contextlib.suppress(OSError):
                return Path(f"/proc/{pid}/{way}{targets['host_file']}").read_text()
    raise BlockedError("no way")


@probe("climb-out-of-root")
def _climb(targets: dict[str, Any]) -> str:
    """``..`` of the root is the root; a descriptor opened before a change of root would lead out (CWE-243)."""
    for start in ("/", "/proc/self/cwd", "/out", "/in"):
        with contextlib.suppress(OSError):
            return Path(start, *[".."] * 12, targets["host_file"].lstrip("/")).read_text()
    raise BlockedError("the root has no parent")


@probe("see-host-root")
def _see_root(_: dict[str, Any]) -> str:
    return first([name for name in names("/") if name in {"root", "home", "var", "srv", "boot", "sys"}])


@probe("see-host-settings")
def _see_settings(_: dict[str, Any]) -> str:
    return readable(["/etc/hostname", "/etc/machine-id", "/etc/resolv.conf", "/etc/shadow", "/etc/mtab", "/etc/fstab"])


@probe("see-host-devices")
def _see_devices(_: dict[str, Any]) -> str:
    known = {
        "core",
        "fd",
        "full",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
        "zero",
    }
    return first([name for name in names("/dev") if name not in known])


@probe("see-host-terminals")
def _see_terminals(targets: dict[str, Any]) -> str:
    return f"/dev/pts/{targets['terminal']}" if targets["terminal"] in names("/dev/pts") else stopped("not there")


@probe("see-host-mounts")
def _see_mounts(targets: dict[str, Any]) -> str:
    for name in ("mountinfo", "mounts", "mountstats"):
        with contextlib.suppress(OSError):
            if targets["mount"] in Path("/proc/self", name).read_text():
                return name
    raise BlockedError("not in the table of mounts")


@probe("learn-names-of-people")
def _learn_names(targets: dict[str, Any]) -> str:
    """The kernel shows a mount's path on the host: no name of a person, a company or a table may be part of it."""
    text = " ".join(
        Path("/proc", pid, name).read_text(errors="replace")
        for pid in ("self", "1")
        for name in ("mountinfo", "cgroup", "cmdline")
        if os.access(f"/proc/{pid}/{name}", os.R_OK)
    )
    return first([name for name in targets["names"] if name in text])


@probe("walk-system-files")
def _sys(_: dict[str, Any]) -> str:
    return readable(["/sys/kernel/uevent_seqnum", "/sys/class/net/lo/address", "/sys/devices/system/cpu/online"])


@probe("write-to-root")
def _write_root(_: dict[str, Any]) -> str:
    return _write_new("/")


@probe("write-to-programs")
def _write_usr(_: dict[str, Any]) -> str:
    return _write_new("/usr/bin")


@probe("write-to-settings")
def _write_etc(_: dict[str, Any]) -> str:
    for name in ("/etc/passwd", "/etc/hosts", "/etc/ld.so.cache"):
        with contextlib.suppress(OSError), Path(name).open("ab"):
            return name
    return _write_new("/etc")


@probe("write-to-devices")
def _write_dev(_: dict[str, Any]) -> str:
    return _write_new("/dev")


@probe("write-to-own-code")
def _write_job(targets: dict[str, Any]) -> str:
    return _write_new(targets["job"])


@probe("write-to-input")
def _write_input(targets: dict[str, Any]) -> str:
    return _write_new(targets["input"])


def _write_new(folder: str) -> str:
    path = Path(folder, "planted-by-a-probe")
    path.write_text("here")
    path.unlink()
    return f"wrote to {folder}"


@probe("change-input-file")
def _change_input(targets: dict[str, Any]) -> str:
    """A file that anybody may write: only the mount keeps it."""
    path = Path(targets["input"], "open-to-all")
    with path.open("ab") as file:
        file.write(b"x")
    return "changed"


@probe("change-input-times")
def _change_times(targets: dict[str, Any]) -> str:
    os.utime(Path(targets["input"], "open-to-all"))
    return "times changed"


@probe("link-input-into-outbox")
def _link_input(targets: dict[str, Any]) -> str:
    link = Path(targets["outbox"], "second-name")
    os.link(Path(targets["input"], "open-to-all"), link)
    link.unlink()
    return "linked"


@probe("run-program-from-input")
def _run_from_input(targets: dict[str, Any]) -> str:
    program = Path(targets["input"], "program")
    return f"exit {subprocess.run([program], check=False).returncode}"


@probe("follow-link-in-outbox")
def _follow_link(targets: dict[str, Any]) -> str:
    link = Path(targets["outbox"], "link")
    link.symlink_to("/usr/bin/env")
    try:
        with link.open("rb") as file:
            return f"read {len(file.read(4))} bytes"
    finally:
        link.unlink()


@probe("run-program-from-outbox")
def _run_from_outbox(targets: dict[str, Any]) -> str:
    program = Path(targets["outbox"], "program")
    shutil.copy("/usr/bin/true", program)
    program.chmod(0o700)
    try:
        return f"exit {subprocess.run([program], check=False).returncode}"
    finally:
        program.unlink()


@probe("make-device")
def _make_device(targets: dict[str, Any]) -> str:
    path = Path(targets["outbox"], "device")
    os.mknod(path, 0o20666, os.makedev(1, 1))
    path.unlink()
    return "made /dev/mem"


@probe("open-raw-devices")
def _raw_devices(_: dict[str, Any]) -> str:
    devices = ("mem", "port", "kmsg", "fuse", "kvm", "vhost-net", "net/tun", "loop-control", "userfaultfd", "autofs")
    for name in devices:
        with contextlib.suppress(OSError):
            os.close(os.open(f"/dev/{name}", os.O_RDONLY))
            return name
    raise BlockedError("none is there")


@probe("open-file-by-handle")
def _by_handle(targets: dict[str, Any]) -> str:
    """The way out of containers that is known as Shocker: a handle names a file of the file system, not of the mount."""
    return reached(targets, "open_by_handle_at", -1, 0, 0)


@probe("learn-file-handle")
def _handle(targets: dict[str, Any]) -> str:
    return reached(targets, "name_to_handle_at", -100, b"/", 0, 0, 0)


@probe("use-inherited-descriptor")
def _descriptor(targets: dict[str, Any]) -> str:
    for name in names("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found = os.open(Path(targets["host_file"]).name, os.O_RDONLY, dir_fd=int(name))
            return os.read(found, 100).decode()
    raise BlockedError("no directory is open")


@probe("hold-more-than-three-descriptors")
def _descriptors(targets: dict[str, Any]) -> str:
    """One more is open in passing, to list them; the battery's own pipe is told.

    Libraries make themselves event queues and sockets: a socket that the run's own network lists is of the run itself, one that came
    from outside is not on the list.
    """
    own = {0, 1, 2, *targets.get("own_descriptors", ())}
    listed = "".join(Path("/proc/net", name).read_text() for name in ("unix", "tcp", "tcp6", "udp", "udp6", "netlink"))
    found = []
    for name in names("/proc/self/fd"):
        with contextlib.suppress(OSError):
            where = str(Path("/proc/self/fd", name).readlink())
            made_inside = where in _EVENTS or (where.startswith("socket:[") and where[8:-1] in listed.split())
            if int(name) not in own and not made_inside:
                found.append(f"{name} {where}")
    return first(found)


@probe("read-platform-input")
def _standard_input(_: dict[str, Any]) -> str:
    """What a person types to the platform must not be there to read."""
    where = str(Path("/proc/self/fd/0").readlink())
    return where if where != "/dev/null" else stopped(where)


@probe("change-root")
def _chroot(targets: dict[str, Any]) -> str:
    return reached(targets, "chroot", b"/nowhere-at-all")


@probe("mount-file-system")
def _mount(targets: dict[str, Any]) -> str:
    libc.unshare(0x10000000 | 0x00020000)
    call(targets, "mount", b"none", b"/tmp", b"tmpfs", 0, None)
    return "mounted"


@probe("unmount-mask")
def _unmount(targets: dict[str, Any]) -> str:
    return reached(targets, "umount2", b"/proc/nothing-here", 0)


@probe("clone-mount-tree")
def _open_tree(targets: dict[str, Any]) -> str:
    return reached(targets, "open_tree", -100, b"/", 0)


@probe("ask-for-mounts")
def _statmount(targets: dict[str, Any]) -> str:
    for name in ("statmount", "listmount"):
        with contextlib.suppress(OSError, BlockedError):
            return reached(targets, name, 0, 0, 0, 0)
    raise BlockedError("none reaches the kernel")
