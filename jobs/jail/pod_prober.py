"""What a program sees and can do in a pod, said as one line of JSON; runs there, with the standard library alone.

``python -c <this file> API DNS PROCESSES TMP_BYTES``: addresses are ``host:port``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path


def connects(address: str) -> bool:
    """Tell whether a connection is accepted."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 3):
            return True
    except OSError:
        return False


def resolves(name: str) -> bool:
    """Tell whether a name leads to an address."""
    signal.alarm(20)
    try:
        return bool(socket.getaddrinfo(name, 443))
    except OSError:
        return False
    finally:
        signal.alarm(0)


def writes(folder: str) -> bool:
    """Tell whether a file can be made in a folder."""
    try:
        Path(folder, "mark").write_text("x", encoding="ascii")
    except OSError:
        return False
    return True


def forks(count: int) -> int:
    """Start processes until one is refused; gives how many there were."""
    children: list[int] = []
    try:
        while len(children) < count:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except OSError:
        pass
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return len(children)


def fills(folder: str, size: int) -> int:
    """Write to a folder until it is full; gives how many bytes went in."""
    path, written = Path(folder, "filler"), 0
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while written < size:
            written += file.write(b"x" * 65536)
    with contextlib.suppress(OSError):
        path.unlink()
    return written


def main() -> None:
    """Look, try, and say."""
    api, resolver, processes, room = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    status = dict(
        line.split(":\t", 1)
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        if ":\t" in line
    )
    facts = {
        "api": connects(api),
        "resolver": connects(resolver),
        "name": resolves("kubernetes.default.svc.cluster.local"),
        "token": Path("/var/run/secrets/kubernetes.io").exists(),
        "service": any(name.startswith("KUBERNETES_") for name in os.environ),
        "root": writes("/"),
        "uid": os.getuid(),
        "capabilities": int(status.get("CapEff", "1"), 16) | int(status.get("CapBnd", "1"), 16),
        "privileges": status.get("NoNewPrivs", "0").strip(),
        "users": Path("/proc/self/uid_map").read_text(encoding="ascii").split(),
        "release": os.uname().release,
        "processes": forks(processes),
        "room": fills("/tmp", room),  # noqa: S108 -- the place whose bound is tried
    }
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
