"""Attempts to reach the network, another process by a socket, or the kernel through unusual kinds of socket."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any, Final

from .table import BlockedError, first, names, probes, stopped


probe = probes("network")

_USUAL: Final = frozenset({1, 2, 10, 16})
_SOCK_DIAG, _CONNECTOR, _GENERIC, _AUDIT, _NETFILTER = 4, 11, 16, 9, 12


@probe("connect-to-host-loopback")
def _loopback(targets: dict[str, Any]) -> str:
    with socket.create_connection(("127.0.0.1", targets["port"]), 2):
        return "connected"


@probe("connect-to-host-loopback-v6")
def _loopback_v6(targets: dict[str, Any]) -> str:
    with socket.create_connection(("::1", targets["port_v6"]), 2):
        return "connected"


@probe("see-host-sockets")
def _see_sockets(targets: dict[str, Any]) -> str:
    wanted = f":{targets['port']:04X} "
    return first([line for line in Path("/proc/net/tcp").read_text().splitlines() if wanted in line])


@probe("see-abstract-sockets")
def _see_unix(targets: dict[str, Any]) -> str:
    return first([line for line in Path("/proc/net/unix").read_text().splitlines() if targets["abstract"] in line])


@probe("list-sockets-by-netlink")
def _sock_diag(targets: dict[str, Any]) -> str:
    """Ask the kernel for every listening TCP socket (sock_diag(7)); the host's listener must not be among them."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as asked:
        asked.settimeout(2)
        body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + bytes(48)
        asked.send(struct.pack("=IHHII", 16 + len(body), 20, 0x301, 1, 0) + body)
        answer = asked.recv(1 << 20)
    return "found" if struct.pack(">H", targets["port"]) in answer else stopped("not among them")


@probe("open-other-netlink")
def _netlink(_: dict[str, Any]) -> str:
    for protocol in (_CONNECTOR, _GENERIC, _AUDIT, _NETFILTER):
        try:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol):
                return f"protocol {protocol}"
        except OSError:
            continue
    raise BlockedError("none opens")


@probe("see-interface")
def _interfaces(_: dict[str, Any]) -> str:
    return first([name for _, name in socket.if_nameindex() if name != "lo"])


@probe("see-route")
def _routes(_: dict[str, Any]) -> str:
    return first(Path("/proc/net/route").read_text().splitlines()[1:])


@probe("send-packet")
def _packet(_: dict[str, Any]) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("192.0.2.1", 9))
    return "sent"


@probe("send-broadcast")
def _broadcast(_: dict[str, Any]) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.sendto(b"x", ("255.255.255.255", 9))
    return "sent"


@probe("resolve-name")
def _resolve(_: dict[str, Any]) -> str:
    """Asking for a name is sending it: tunnels through DNS carry data (RFC 1035 labels)."""
    return str(socket.getaddrinfo("rows.example.com", 80)[0][4])


@probe("connect-to-abstract-socket")
def _abstract(targets: dict[str, Any]) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\0" + targets["abstract"])
    return "connected"


@probe("connect-to-socket-file")
def _socket_file(targets: dict[str, Any]) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(targets["socket_file"])
    return "connected"


@probe("open-hypervisor-socket")
def _vsock(_: dict[str, Any]) -> str:
    with socket.socket(40, socket.SOCK_STREAM):
        return "AF_VSOCK is open"


@probe("open-crypto-socket")
def _crypto_socket(_: dict[str, Any]) -> str:
    with socket.socket(38, socket.SOCK_SEQPACKET):
        return "AF_ALG is open"


@probe("open-packet-socket")
def _packet_socket(_: dict[str, Any]) -> str:
    with socket.socket(17, socket.SOCK_RAW):
        return "AF_PACKET is open"


@probe("open-raw-socket")
def _raw_socket(_: dict[str, Any]) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP):
        return "SOCK_RAW is open"


@probe("open-unusual-socket")
def _families(_: dict[str, Any]) -> str:
    for family in set(range(3, 46)) - _USUAL:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                with socket.socket(family, kind):
                    return f"family {family}"
            except OSError:
                continue
    raise BlockedError("none opens")


@probe("learn-host-name")
def _host_name(targets: dict[str, Any]) -> str:
    import os

    return os.uname().nodename if os.uname().nodename == targets["host_name"] else stopped("another name")


@probe("learn-control-group")
def _control_group(targets: dict[str, Any]) -> str:
    """The path of the run's control group names the run; a namespace of its own shows ``/``."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return first([line for line in lines if targets["group"] in line or line.rpartition(":")[2] not in {"/", ""}])


@probe("see-control-groups")
def _see_groups(_: dict[str, Any]) -> str:
    return first(names("/sys/fs/cgroup"))
