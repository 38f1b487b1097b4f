"""The system calls that this version knows, by number, and which of them a jailed program may not make (law 1).

Numbers: ``asm/unistd_64.h`` (x86-64) and ``asm-generic/unistd.h`` (aarch64) of Linux, up to 6.19's ``listns``. A number that is not known
here is refused whatever it means: a newer kernel must not open a door that nobody has judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Decision(StrEnum):
    """What becomes of a call."""

    ALLOW = "allow"
    REFUSE = "refuse"
    """EPERM: known, and not for a job."""
    ABSENT = "absent"
    """ENOSYS: to the program the call does not exist, so that it falls back on an older one."""
    BY_ARGUMENT = "by argument"


LAST_KNOWN: Final = 470

# name: (x86-64, aarch64); None where the family has no such call.
_REFUSED: Final[Mapping[str, tuple[int | None, int | None]]] = {
    # one process into another
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    # mounts and roots
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "listns": (470, 470),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    # namespaces
    "unshare": (272, 97),
    "setns": (308, 268),
    # kernel interfaces too large to trust
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_mark": (301, 263),
    "lookup_dcookie": (212, 18),
    "io_setup": (206, 0),
    "io_destroy": (207, 1),
    "io_submit": (209, 2),
    "io_cancel": (210, 3),
    "io_getevents": (208, 4),
    "io_pgetevents": (333, 292),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
    "lsm_get_self_attr": (459, 459),
    "lsm_set_self_attr": (460, 460),
    "lsm_list_modules": (461, 461),
    "map_shadow_stack": (453, 453),
    "uretprobe": (335, None),
    "uprobe": (336, None),
    # memory that the platform could not look into, and the attributes of files that a copy would not show
    "memfd_secret": (447, 447),
    "file_getattr": (468, 468),
    "file_setattr": (469, 469),
    # keys ignore every namespace
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    # the machine itself
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "_sysctl": (156, None),
    "vhangup": (153, 58),
    "nfsservctl": (180, 42),
    "sysfs": (139, None),
    "ustat": (136, None),
    # writes back every file system of the machine, neighbours' too
    "sync": (162, 81),
    # other personalities switch address randomisation off
    "personality": (135, 92),
    # pages of another node tell of other tenants' memory
    "mbind": (237, 235),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    # which pages of a shared library are in memory tells what the neighbours run
    "cachestat": (451, 451),
    # the system's files are one for every run: who watches or locks them hears of, or signs to, the neighbours
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "flock": (73, 32),
    # the free space of the host's disk tells what the neighbours write
    "statfs": (137, 43),
    "fstatfs": (138, 44),
}
# glibc falls back to clone, whose flags can be read; clone3 hides them behind a pointer.
_ABSENT: Final = {"clone3": (435, 435)}
_BY_ARGUMENT: Final = {"socket": (41, 198), "clone": (56, 220), "ioctl": (16, 29), "fcntl": (72, 25)}

# Numbers that belong to a call, first and last. Between them lie the numbers of other families' calls, and on x86-64 the second
# calling convention's; calls that were reserved or removed and that no kernel of today answers are left out.
_KNOWN: Final[Mapping[str, tuple[tuple[int, int], ...]]] = {
    "x86_64": (
        *((0, 173), (175, 176), (179, 180), (186, 204), (206, 210), (212, 213), (216, 235)),
        *((237, 336), (424, LAST_KNOWN)),
    ),
    "aarch64": ((0, 243), (260, 294), (424, LAST_KNOWN)),
}


@dataclass(frozen=True)
class Machine:
    """One processor family.

    Attributes:
        name: as ``uname -m`` says it.
        audit: its number in ``linux/audit.h``.
        second_abi: where a second calling convention begins; 0 = none.
        calls: name to number, of every call that is not simply allowed.
        decisions: number to decision, of the same calls.
    """

    name: str
    audit: int
    second_abi: int
    calls: Mapping[str, int]
    decisions: Mapping[int, Decision]

    def decide(self, number: int) -> Decision:
        """Decide a call by its number."""
        if number in self.decisions:
            return self.decisions[number]
        known = any(first <= number <= last for first, last in _KNOWN[self.name])
        return Decision.ALLOW if known else Decision.ABSENT


def _machine(name: str, column: int, audit: int, second_abi: int) -> Machine:
    calls: dict[str, int] = {}
    decisions: dict[int, Decision] = {}
    tables = ((_REFUSED, Decision.REFUSE), (_ABSENT, Decision.ABSENT), (_BY_ARGUMENT, Decision.BY_ARGUMENT))
    for table, decision in tables:
        for call, numbers in table.items():
            number = numbers[column]
            if number is not None:
                calls[call] = number
                decisions[number] = decision
    if len(decisions) != len(calls):
        raise ValueError("two calls have one number")
    return Machine(name, audit, second_abi, calls, decisions)


MACHINES: Final[Mapping[str, Machine]] = {
    "x86_64": _machine("x86_64", 0, 0xC000003E, 0x40000000),
    "aarch64": _machine("aarch64", 1, 0xC00000B7, 0),
}


def refused_names(machine: str) -> tuple[str, ...]:
    """Name the calls that are refused on a machine whatever their arguments, sorted."""
    family = MACHINES[machine]
    return tuple(sorted(name for name, number in family.calls.items() if family.decisions[number] is Decision.REFUSE))
