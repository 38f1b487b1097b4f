"""What gVisor is told: the bundle of the run (OCI runtime specification 1.0, ``config.json``) and the launcher's plan (law 1).

The same mounts, limits and small files as in the jail of namespaces. The tree is put together by the launcher, outside; the bundle
names again only what needs mount options that the second kernel itself must know.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from jobs.jail.options import INSIDE_UID, INTERPRETER, launcher_plan
from jobs.jail.seccomp import NAMESPACE_FLAGS, SOCKET_FAMILIES, TERMINAL_REQUESTS
from jobs.jail.seccomp_calls import refused_names
from jobs.jail.spec import JailSpec


RUN: Final = "/run"
"""Where bundle and state lie in the tree that the launcher builds; the program inside never sees it."""
ROOT: Final = "/rootfs"
PROGRAM: Final = "/runsc"

# Tenants' uids end below this, so the file server's uid is nobody else's on the host.
_SERVER: Final = 2**31
_KEPT_LIMITS: Final = ("RLIMIT_CORE", "RLIMIT_MSGQUEUE", "RLIMIT_RTPRIO")
_NAMESPACES: Final = ("pid", "network", "ipc", "uts", "mount", "user")
_REFUSE: Final = "SCMP_ACT_ERRNO"
# Beyond every family of today.
_FAMILIES: Final = 64


def plan_of(
    spec: JailSpec, root: Path, outbox: Path, run: Path, program: Path, doors: Iterable[Path]
) -> dict[str, Any]:
    """Say what the launcher binds into its root, and the limits it sets.

    The limits of one process other than these are set inside: outside they would bind gVisor's own files and threads.
    """
    plan = launcher_plan(spec, root, outbox, doors)
    places = {f"stage/{number}": inside.lstrip("/") for number, inside in enumerate(sorted(spec.read_only))}
    places["stage/out"] = "out"
    read_only = 1 | 2 | 4
    plan["binds"] = [
        *((source, f"rootfs/{places.get(place, place)}", bits) for source, place, bits in plan["binds"]),
        (str(program), PROGRAM.lstrip("/"), read_only),
        (str(run), RUN.lstrip("/"), 2 | 4 | 8),
        # The working folder must exist below the file system in memory that covers it.
        (str(run / "empty"), "rootfs/tmp", read_only),
    ]
    plan["links"] = [(f"rootfs/{place}", target) for place, target in plan["links"]]
    plan["files"] = [(f"rootfs/{place}", content) for place, content in plan["files"]]
    plan["rlimits"] = {name: plan["rlimits"][name] for name in _KEPT_LIMITS}
    return plan


def config_of(spec: JailSpec, *, read_only_root: bool = True) -> dict[str, Any]:
    """Write the run down as an OCI bundle's ``config.json``.

    ``read_only_root`` is what gVisor is told; the root is bound read-only by the launcher whatever it is told.
    """
    limits = launcher_plan(spec, Path("/"), Path("/"), ())["rlimits"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": INSIDE_UID, "gid": INSIDE_UID, "umask": 0o077},
            "args": list(spec.argv),
            "env": [f"{name}={value}" for name, value in sorted(spec.environment.items())],
            "cwd": "/tmp",  # noqa: S108 -- inside, a tmpfs of this run alone
            "capabilities": {},
            "noNewPrivileges": True,
            "rlimits": [{"type": name, "hard": value, "soft": value} for name, value in limits.items()],
        },
        "root": {"path": ROOT, "readonly": read_only_root},
        "hostname": "jail",
        "mounts": list(_mounts(spec)),
        "linux": {
            "namespaces": [{"type": name} for name in _NAMESPACES],
            "uidMappings": _mapping(spec.uid),
            "gidMappings": _mapping(spec.uid),
            "seccomp": filter_of(),
        },
    }


def _mapping(uid: int) -> list[dict[str, int]]:
    """Map the one uid inside to the tenant's, and the file server's own root to a uid that owns nothing."""
    return [
        {"containerID": 0, "hostID": _SERVER + uid, "size": 1},
        {"containerID": INSIDE_UID, "hostID": uid, "size": 1},
    ]


def _mounts(spec: JailSpec) -> Iterable[Mapping[str, Any]]:
    memory = spec.limits.memory_bytes
    yield {"destination": "/proc", "type": "proc", "source": "proc"}
    yield _memory("/dev/shm", memory // 4, "mode=1777")  # noqa: S108
    yield _memory("/tmp", memory // 2, "mode=1777")  # noqa: S108
    yield _memory("/usr/local", 4096, "ro")
    if host := spec.read_only.get(INTERPRETER):
        for folder in sorted(host.glob("lib/python3.*/site-packages")):
            yield _memory(f"{INTERPRETER}/{folder.relative_to(host)}", 4096, "ro")
    for inside in sorted(spec.read_only):
        if inside.startswith("/in/"):
            yield _bind(inside, "ro")
    yield _bind("/out", "rw")


def _memory(place: str, size: int, option: str) -> Mapping[str, Any]:
    options = ["nosuid", "nodev", f"size={size}", option]
    return {"destination": place, "type": "tmpfs", "source": "tmpfs", "options": options}


def _bind(inside: str, option: str) -> Mapping[str, Any]:
    """Name a place that the launcher has bound already, for the options that hold inside."""
    options = ["bind", option, "nosuid", "nodev", "noexec"]
    return {"destination": inside, "type": "bind", "source": f"{ROOT}{inside}", "options": options}


def filter_of() -> Mapping[str, Any]:
    """Write the filter over system calls in OCI's form, for the second kernel to hold the program to.

    clone3 is left to it: OCI's form can only answer EPERM there (``runc`` set the custom), at which the C library gives up instead
    of calling clone; a namespace made inside is one of the second kernel's and reaches nothing of the host.
    """
    # Several conditions on one argument mean "any of them" (the form's own rule, taken over from libseccomp's oldest user).
    families = [
        *(
            {"index": 0, "value": family, "op": "SCMP_CMP_EQ"}
            for family in range(_FAMILIES)
            if family not in SOCKET_FAMILIES
        ),
        {"index": 0, "value": _FAMILIES, "op": "SCMP_CMP_GE"},
    ]
    flags = [
        {"index": 0, "value": 1 << bit, "valueTwo": 1 << bit, "op": "SCMP_CMP_MASKED_EQ"}
        for bit in range(32)
        if NAMESPACE_FLAGS >> bit & 1
    ]
    requests = [{"index": 1, "value": request, "op": "SCMP_CMP_EQ"} for request in TERMINAL_REQUESTS]
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": list(refused_names(platform.machine())), "action": _REFUSE},
            {"names": ["socket"], "action": _REFUSE, "args": families},
            {"names": ["clone"], "action": _REFUSE, "args": flags},
            {"names": ["ioctl"], "action": _REFUSE, "args": requests},
        ],
    }
