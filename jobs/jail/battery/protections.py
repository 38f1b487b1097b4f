"""Every protection of the jail, what it stops, and the probe that gets out when it alone is taken away.

``docs/jail.md`` shows this table, and ``tests/attack/test_jail_protections.py`` takes each away in turn and sees its probe get out: a
protection whose absence nobody notices may be absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Protection:
    """One protection.

    Attributes:
        name: what it is.
        where: the module that makes it.
        stops: what it keeps from happening.
        probe: the probe that gets out without it.
    """

    name: str
    where: str
    stops: str
    probe: str


_BWRAP, _LAUNCHER, _FILTER, _GROUPS = "options.py", "launcher.py", "seccomp_calls.py", "cgroup.py"
_OUTBOX, _COLLECT, _BOTH = "outbox.py", "collect.py", "options.py, launcher.py"

_ROWS: Final = (
    ("user namespace, asked for by name", _BWRAP, "a run with the platform's own rights over the kernel", "run-without-user-namespace"),
    ("no capability", _BOTH, "mounting, tracing, raw network and every other right of root", "keep-capability"),
    ("process namespace", _BWRAP, "seeing and signalling processes of the host, also of the same uid", "signal-host-process"),
    ("network namespace", _BWRAP, "every network, the host's loopback and its abstract sockets", "connect-to-host-loopback"),
    ("IPC namespace", _BWRAP, "memory and queues that others share by a key", "attach-system-v-memory"),
    ("host name namespace", _BWRAP, "learning which machine this is", "learn-host-name"),
    ("control group namespace", _BWRAP, "learning the run's path among the others'", "learn-control-group"),
    ("no user namespace inside", "options.py, seccomp_calls.py", "becoming root of a namespace, near kernel holes", "make-user-namespace"),
    ("session of its own", _BWRAP, "typing into the terminal from which the platform was started", "belong-to-session-of-platform"),
    ("empty environment of process 1", _LAUNCHER, "reading the platform's variables, secrets among them", "read-platform-environment"),
    ("closed descriptors", "bubblewrap.py", "using a folder or socket that the platform had open", "use-inherited-descriptor"),
    ("session keyring of its own", _BOTH, "using keys of the platform, which no namespace hides", "read-key-of-session"),
    ("uid of its tenant", _LAUNCHER, "reading or ending what another tenant's uid may", "be-other-account-outside"),
    ("no supplementary group", _LAUNCHER, "files that a group of the platform may read", "keep-group-of-platform"),
    ("first to die when memory is short", _LAUNCHER, "the platform's being killed in the run's place", "be-spared-when-memory-is-short"),
    ("only what is named is mounted", _BOTH, "every file of the host, the domain and the neighbours", "read-host-file"),
    ("read-only root", _BWRAP, "leaving something in the tree of the run beside its three places", "write-to-root"),
    ("read-only input", _BOTH, "changing what the next run or the gate reads", "change-input-file"),
    ("no programs from the input", _BWRAP, "bringing a program in as data", "run-program-from-input"),
    ("no programs from the outbox", "options.py, outbox.py", "leaving a program that another process starts", "run-program-from-outbox"),
    ("links in the outbox are not followed", "options.py, outbox.py", "a race against the reader of the outbox", "follow-link-in-outbox"),
    ("outbox of bounded bytes", _OUTBOX, "filling the host's disk", "fill-outbox"),
    ("outbox of bounded files", _OUTBOX, "exhausting the host's inodes", "make-more-files"),
    ("masks over figures of the machine", _BWRAP, "learning what others do from the machine's load", "read-load"),
    ("masks over locks of the machine", _BWRAP, "learning which files others hold", "read-locks-of-others"),
    ("masks over counts of files", _BWRAP, "learning and signalling by the number of open files", "read-counts-of-open-files"),
    ("masks over the kernel's insides", _BWRAP, "preparing an attack on the kernel", "read-kernel-addresses"),
    ("memory of the group", _GROUPS, "exhausting the machine's memory", "take-more-memory"),
    ("processes of the group", _GROUPS, "exhausting the machine's processes", "start-more-processes"),
    ("processor share of the group", _GROUPS, "starving the neighbours", "use-more-processors"),
    ("limit of core dumps", _BWRAP, "a copy of the run's memory on the host's disk", "leave-core-dump"),
    ("limit of processes of a uid", _BWRAP, "several runs of a tenant exhausting the machine together", "have-no-bound-on-processes"),
    ("limit of open files", _BWRAP, "exhausting the kernel's table of files", "open-more-files"),
    ("limit of a file's size", _BWRAP, "files that claim more than a disk holds", "raise-limit"),
    ("limit of locked memory", _BWRAP, "memory that cannot be taken back", "lock-memory"),
    ("limit of message queues", _BWRAP, "kernel memory that the group does not count", "make-message-queue"),
    ("limit of real-time priority", _BWRAP, "a run that nobody can interrupt", "have-no-bound-on-real-time"),
    ("limit of queued signals", _BWRAP, "kernel memory that the group does not count", "queue-signals"),
    ("filter: another calling convention", "seccomp.py", "calls that the filter would read as other calls", "call-by-32-bit-door"),
    ("filter: tracing", _FILTER, "one process taking another over", "trace-at-all"),
    ("filter: memory of others", _FILTER, "reading another process without tracing it", "read-process-memory"),
    ("filter: comparing processes", _FILTER, "learning where the kernel keeps its objects", "compare-processes"),
    ("filter: handles", _FILTER, "opening a file of the disk that is not in the mount", "learn-file-handle"),
    ("filter: mount trees", _FILTER, "taking a mount along", "clone-mount-tree"),
    ("filter: io_uring", _FILTER, "calls that no filter sees", "set-up-io-uring"),
    ("filter: userfaultfd", _FILTER, "holding the kernel in the middle of a copy", "set-up-userfaultfd"),
    ("filter: bpf", _FILTER, "programs inside the kernel", "load-bpf"),
    ("filter: performance counters", _FILTER, "measuring the neighbours' work", "watch-performance"),
    ("filter: keys", _FILTER, "leaving keys for others, which ignore every namespace", "store-key-for-others"),
    ("filter: personality", _FILTER, "switching address randomisation off", "switch-randomisation-off"),
    ("filter: clone3", _FILTER, "namespace flags behind a pointer, where no filter reads", "hide-flags-in-clone3"),
    ("filter: socket families", _FILTER, "AF_VSOCK to the hypervisor, past an empty network", "open-unusual-socket"),
    ("filter: netlink protocols", "seccomp.py", "the kernel's packet filter, audit and events", "open-other-netlink"),
    ("filter: pages of nodes", _FILTER, "learning where others' memory lies", "place-memory"),
    ("filter: clocks", _FILTER, "reading and bending the machine's clock", "set-clock"),
    ("filter: watching files", _FILTER, "seeing every program that the neighbours start", "watch-shared-folder"),
    ("filter: locking shared files", _FILTER, "signs between tenants by locks on one system file", "lock-shared-file"),
    ("filter: asking for locks and leases", "seccomp.py", "signs between tenants by locks, leases and notices", "ask-for-lock-of-others"),
    ("filter: cached pages", _FILTER, "learning what the neighbours read", "ask-for-cached-pages"),
    ("filter: free space", _FILTER, "learning what the neighbours write", "measure-free-disk-space"),
    ("collector: no links", _COLLECT, "handing over another's file under one's own name", "link-to-host-file"),
    ("collector: plain files only", _COLLECT, "hanging or misleading whoever reads", "pipe-that-hangs-reader"),
    ("collector: one name a file", _COLLECT, "changing a file after it was judged", "two-names-of-one-file"),
    ("collector: no special modes", _COLLECT, "a file that runs as somebody else", "set-uid-file"),
    ("collector: plain names", _COLLECT, "names that rewrite a terminal, a page or a path", "name-that-clears-terminal"),
    ("collector: bytes", _COLLECT, "more than was granted, claimed by a hole", "sparse-file"),
    ("collector: entries", _COLLECT, "more files than people can read", "one-file-too-many"),
    ("collector: depth", _COLLECT, "trees that no reader ends", "one-folder-too-deep"),
    ("collector: no archives", _COLLECT, "content that nobody sees as it is", "zip-bomb"),
    ("collector: no names alike", _COLLECT, "one file that hides another", "names-alike-but-for-case"),
    ("collector: one time for all", _COLLECT, "signs by a file's times", "times-of-file"),
    ("collector: one mode for all", _COLLECT, "signs by a file's mode", "mode-of-file"),
)  # fmt: skip

PROTECTIONS: Final = tuple(Protection(*row) for row in _ROWS)


def table() -> str:
    """Give the table as Markdown."""
    rows = [f"| {one.name} | {one.stops} | `{one.probe}` | `{one.where}` |" for one in PROTECTIONS]
    return "\n".join(
        ["| protection | what it stops | probe that gets out without it | module |", "|---|---|---|---|", *rows]
    )
