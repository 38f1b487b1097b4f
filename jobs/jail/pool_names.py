"""Names and uids of warm jails, and the sweep of what a dead platform left of them."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Final

from jobs.jail import cgroup, outbox


UIDS: Final = range(2_000_000_000, 2_000_000_000 + (1 << 26))
"""Uids for warm jails alone; tenants count up from 200000 and never come here."""
PREFIX: Final = "warm"
_NAME: Final = re.compile(rf"{PREFIX}-([0-9]+)-([0-9]+)-([0-9]+)-([0-9a-f]+)")


def new_name() -> tuple[str, int]:
    """Choose a name and a uid that no warm jail of this machine has; the name tells whose it is, so that a sweep can judge."""
    taken = {_uid(name) for name in groups()}
    uid = next(uid for uid in iter(lambda: UIDS[secrets.randbelow(len(UIDS))], None) if uid not in taken)
    pid = os.getpid()
    return f"{PREFIX}-{uid}-{pid}-{_born(pid)}-{secrets.token_hex(6)}", uid


def _uid(name: str) -> int:
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else -1


def groups() -> list[str]:
    """List the names of warm jails that have a control group."""
    folders = {folder.parent for folder in cgroup.group(PREFIX).folders.values()}
    return sorted(
        {path.name for folder in folders for path in folder.glob(f"{PREFIX}-*") if _NAME.fullmatch(path.name)}
    )


def _born(pid: int) -> int:
    """Give the start of a process in clock ticks since boot, 0 when there is none: a number may be used again, this pair is not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The program's name stands in brackets and may hold anything; the start is the twentieth word behind it (proc(5)).
    return int(text.rpartition(")")[2].split()[19])


def is_orphan(name: str) -> bool:
    """Whether a name is a warm jail's whose platform is dead."""
    found = _NAME.fullmatch(name)
    return found is not None and _born(int(found[2])) != int(found[3])


def sweep(folder: Path) -> int:
    """End and remove warm jails of dead platforms, their groups on the whole machine and their folders here; gives how many."""
    names = {name for name in groups() if is_orphan(name)}
    for name in names:
        cgroup.group(name).remove()
    left = {path.name for path in folder.iterdir() if is_orphan(path.name)} if folder.is_dir() else set()
    for name in left:
        outbox.remove_tree(folder / name)
    return len(names | left)


def end_group(name: str) -> None:
    """Kill and remove the group of a warm jail by its name; any other text is ignored."""
    if _NAME.fullmatch(name):
        cgroup.group(name).remove()


def members(name: str) -> frozenset[int]:
    """Give the processes of a warm jail by its name; none for any other text."""
    return cgroup.group(name).members() if _NAME.fullmatch(name) else frozenset()
