"""Which attempts of the escape battery a second kernel answers otherwise than namespaces do, and why that lets nothing out.

The battery asks the kernel that a program sees. Where that kernel is the run's own, some questions that must fail against the host's
succeed, and some limits end the run instead of one process. Whoever reads a result of this jail reads it together with this table; a test
tries every other probe, and a domain's self-test must hold to it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


_OWN: Final = "the second kernel's own, of this run alone: the host's is neither asked nor shown"
_NOWHERE: Final = "exists in the second kernel alone; nothing of it is in the outbox"

OTHERWISE: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("read-load", "read-kernel-command-line", "walk-system-files", "see-host-root"), _OWN),
        **dict.fromkeys(("see-host-devices", "open-raw-devices", "make-message-queue", "raise-priority"), _OWN),
        **dict.fromkeys(("ask-for-lock-of-others", "take-lease-on-shared-file"), _OWN),
        "be-spared-when-memory-is-short": "a number of the second kernel; the host sees gVisor's processes, not this one",
        "hide-flags-in-clone3": "a namespace made inside is one of the second kernel's; OCI's filter cannot answer ENOSYS",
        "call-by-32-bit-door": "answered with an error by a kernel that has no second calling convention",
        "run-without-user-namespace": "its table of users is its own; on the host the run's processes have users of their own",
        "follow-link-in-outbox": "resolved inside the tree of this run; the collector refuses the link",
        "read-platform-input": "the null device, handed over as an open file without a name",
        "write-to-descriptor-of-process-1": "process 1 is the program itself: there is no launcher inside",
    }
)
"""Probes that may succeed, with the reason."""

ENDS_THE_RUN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "take-more-memory": "the memory of all its processes is one process's on the host, and that one is ended",
        "start-more-processes": "threads of two kernels are counted together, so the bound is higher; passing it ends the run",
    }
)
"""Probes that are to be tried in a run of their own."""

LEFT_NOWHERE: Final[Mapping[str, str]] = MappingProxyType(
    dict.fromkeys(("pipe-that-hangs-reader", "socket-in-outbox"), _NOWHERE)
)
"""Mines that cannot be laid."""
