"""The host's side of the mines: a run lays them in its outbox, and each is offered to the collector (E2; the second wall)."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from jobs.jail.battery.baits import Planted
from jobs.jail.battery.host import Result, hostile_spec
from jobs.jail.battery.hostile.mines import BYTES, FILES, MARKS, MINES
from jobs.jail.collect import FILE_MODE, FILE_TIME, Collected, collect_outbox
from jobs.jail.spec import MEBIBYTE, Ending, Jail, Limits
from lineage.errors import GateRefusedError, MissingPartError


_FIELD: Final = Limits(
    memory_bytes=160 * MEBIBYTE, processes=16, seconds=60, outbox_bytes=24 * MEBIBYTE, outbox_files=400
)
_OFFERED: Final = Limits(outbox_bytes=BYTES, outbox_files=FILES)
OUTBOX: Final = ("jail", "outbox")
"""Where a prepared run's outbox is mounted, below its workspace."""


def run_mines(jail: Jail, baits: Planted, workspace: Path) -> tuple[Result, ...]:
    """Let a run lay every mine and every mark, and say of each what the collector did with it.

    Raises:
        MissingPartError: the run did not come to its end, so nothing was proved.
    """
    spec = hostile_spec(baits, workspace, {"lay_mines": True}, limits=_FIELD)
    try:
        jail.prepare(spec)
        outcome = jail.run(spec, lambda: False)
        if outcome.ending is not Ending.DONE:
            said = outcome.log.read_text(encoding="utf-8", errors="replace")
            raise MissingPartError("jail.not-made", detail=ascii(said[-200:]))
        field, into = workspace.joinpath(*OUTBOX), workspace / "taken"
        mines = [judge_mine(name, field / name, baits.uid, into) for name in MINES]
        marks = [judge_mark(name, field / name, baits.uid, into) for name in MARKS]
        return (*mines, *marks)
    finally:
        jail.cleanup(spec)


def judge_mine(name: str, folder: Path, uid: int, into: Path) -> Result:
    """Offer a mine to the collector: it must refuse the whole folder, for the reason that the mine is one."""
    wanted = MINES[name][1]
    try:
        collect_outbox(folder, uid, _OFFERED, into)
    except GateRefusedError as error:
        verdict = "blocked" if error.code == wanted and not into.exists() else "escaped"
        return Result(name, verdict, error.code)
    except OSError as error:
        return Result(name, "error", f"the collector broke: {error.strerror}")
    return Result(name, "escaped", "taken")


def judge_mark(name: str, folder: Path, uid: int, into: Path) -> Result:
    """Offer a marked file to the collector: the copy must not tell of the mark, and its writer was the tenant's own account."""
    told = MARKS[name][1]
    if told == "owner":
        found = (folder / "rows.csv").stat().st_uid
        return Result(name, "blocked" if found == uid else "escaped", f"uid {found}" if found != uid else "its own uid")
    try:
        taken = collect_outbox(folder, uid, _OFFERED, into)
    except GateRefusedError as error:
        return Result(name, "error", error.code)
    kept = _TELLING[told](taken)
    return Result(name, "escaped" if kept else "blocked", f"{told}: {kept or 'not told'}")


def _times(taken: tuple[Collected, ...]) -> str:
    found = [item.path.stat() for item in taken]
    return next((str(one.st_mtime_ns) for one in found if one.st_mtime_ns != FILE_TIME * 10**9), "")


def _mode(taken: tuple[Collected, ...]) -> str:
    found = [stat.S_IMODE(item.path.stat().st_mode) for item in taken]
    return next((oct(mode) for mode in found if mode != FILE_MODE), "")


def _attributes(taken: tuple[Collected, ...]) -> str:
    return next((name for item in taken for name in os.listxattr(item.path) if name.startswith("user.")), "")


def _order(taken: tuple[Collected, ...]) -> str:
    names = [item.name for item in taken]
    return "" if names == sorted(names) else ", ".join(names)


_TELLING: Final = {"times": _times, "mode": _mode, "attributes": _attributes, "order": _order}
