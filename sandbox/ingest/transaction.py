"""All or nothing for the two folders an import writes: whatever ends it early, both are as they were.

Delta commits one table at a time. The import writes what it has rejected first and the table last, and notes beforehand which
files were there; every file that is new is removed when the import does not come to its end. The note is on disk, so that the next
import repairs after a crash. One import at a time in a folder: the lock is on the folder itself and dies with its holder.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineage.errors import MissingPartError


_JOURNAL = "journal.json"
_REWRITTEN = ("_last_checkpoint", "._last_checkpoint.crc")
"""The files that Delta changes in place; everything else in a table is only ever added."""


class UnsettledError(MissingPartError):
    """Something may still write after the block has ended: the journal stays, and the next import undoes once more."""


@dataclass(frozen=True)
class Work:
    """Where an import keeps what it needs on the way: beside the table, so on the same encrypted file system.

    Attributes:
        folder: readable by this account alone, removed at the end.
        repaired: whether an earlier import had crashed and was undone first.
    """

    folder: Path
    repaired: bool


@contextmanager
def all_or_nothing(table: Path, quarantine: Path) -> Iterator[Work]:
    """Hold both folders alone, and bring them back to what they were unless the block ends well.

    Raises:
        MissingPartError: a folder to hold the tables does not exist, or has a percent sign in its path.
    """
    for parent in (table.parent, quarantine.parent):
        if "%" in str(parent.resolve()):
            # deltalake 1.6 decodes escapes in a plain path, twice even, and would make the table somewhere else.
            raise MissingPartError("import.folder-percent", folder=parent.name)
        if not parent.is_dir():
            raise MissingPartError("import.folder-missing", folder=parent.name)
    with ExitStack() as locks:
        for parent in sorted({table.parent.resolve(), quarantine.parent.resolve()}):
            locks.enter_context(_locked(parent))
        folder = table.parent / f".{table.name}.import"
        repaired = _repair(folder)
        before = {str(path.resolve()): _listing(path) for path in (table, quarantine)}
        try:
            _write_journal(folder, before)
            yield Work(folder, repaired)
            (folder / _JOURNAL).unlink()  # from here on it has happened
        except BaseException as error:
            _undo(before)  # should this fail too, the journal stays and the next import repairs
            if not isinstance(error, UnsettledError):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _repair(folder: Path) -> bool:
    journal = folder / _JOURNAL
    if journal.is_file():
        _undo(json.loads(journal.read_text(encoding="utf-8")))
    # Without a journal the crash came before anything was written.
    existed = folder.exists()
    if existed:
        shutil.rmtree(folder)
    return existed


def _listing(folder: Path) -> dict[str, Any] | None:
    if not folder.is_dir():
        return None
    inside = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    kept = {}
    for name in _REWRITTEN:
        path = folder / "_delta_log" / name
        if path.is_file():
            kept[str(path.relative_to(folder))] = path.read_bytes().decode("latin-1")
    return {"inside": inside, "kept": kept}


def _write_journal(folder: Path, before: Mapping[str, dict[str, Any] | None]) -> None:
    folder.mkdir(mode=0o700)
    draft = folder / f"{_JOURNAL}.draft"
    with draft.open("w", encoding="utf-8") as handle:
        json.dump(before, handle)
        handle.flush()
        os.fsync(handle.fileno())
    draft.rename(folder / _JOURNAL)


def _undo(before: Mapping[str, dict[str, Any] | None]) -> None:
    for name, listing in before.items():
        folder = Path(name)
        if listing is None:
            if folder.exists():
                shutil.rmtree(folder)
        else:
            _remove_new(folder, listing["inside"])
            for kept, content in listing["kept"].items():
                (folder / kept).write_bytes(content.encode("latin-1"))


def _remove_new(folder: Path, inside: Sequence[str]) -> None:
    known = set(inside)
    # Deepest first, so that a new folder is empty when its turn comes.
    for path in sorted(folder.rglob("*"), key=lambda found: len(found.parts), reverse=True):
        if str(path.relative_to(folder)) not in known:
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
