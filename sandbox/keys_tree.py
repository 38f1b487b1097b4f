"""The folder of wrapped keys as one tree that changes in one step: a rotation builds the next tree beside it and moves one file.

A rotation that is killed anywhere leaves exactly one tree that ``CURRENT`` names, whole; whatever else lies about is destroyed
before anybody writes again.
"""

from __future__ import annotations

import fcntl
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lineage.errors import MissingPartError
from sandbox.keys_files import destroy_folder, sync_folder, write_new


_CURRENT = "CURRENT"
_TREE = re.compile(r"tree-([1-9][0-9]{0,8})\n?")


@dataclass(frozen=True)
class Tree:
    """The current tree of a key folder, opened under a lock that a dead process lets go."""

    folder: Path

    def plant(self, fill: Callable[[Path], None]) -> None:
        """Make the first tree of a new key folder.

        Raises:
            FileExistsError: there is a tree.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (self.folder / _CURRENT).exists():
            raise FileExistsError(self.folder)
        _make_lock(self.folder)
        with self._locked(fcntl.LOCK_EX):
            self._grow(1, fill)

    @contextmanager
    def reading(self) -> Iterator[Path]:
        """Give the current tree to read; it stays the current one for the time of the block.

        Raises:
            MissingPartError: there is none, or it is not of a form that this program knows (law 7).
        """
        with self._locked(fcntl.LOCK_SH):
            yield self._current()

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """Give the current tree to add to or take from, alone; what a killed rotation left is destroyed first.

        Raises:
            MissingPartError: there is none.
        """
        with self._locked(fcntl.LOCK_EX):
            current = self._current()
            self._clear(current)
            yield current

    def replace(self, current: Path, fill: Callable[[Path], None]) -> None:
        """Put a further tree in the place of ``current``, which is destroyed; only inside ``writing``."""
        number = int(current.name.partition("-")[2])
        self._clear(self._grow(number + 1, fill))

    def copy_to(self, target: Path) -> None:
        """Copy the current tree as it stands at one moment: wrapped keys only, none that opens anything by itself."""
        with self.reading() as current:
            target.mkdir(mode=0o700, parents=True)
            shutil.copytree(current, target / current.name)
            write_new(target / _CURRENT, f"{current.name}\n".encode())
            _make_lock(target)

    def _grow(self, number: int, fill: Callable[[Path], None]) -> Path:
        tree = self.folder / f"tree-{number}"
        destroy_folder(tree)
        tree.mkdir(mode=0o700)
        fill(tree)
        for folder in (tree, *(path for path in tree.rglob("*") if path.is_dir())):
            sync_folder(folder)
        fresh = self.folder / f"{_CURRENT}.new"
        fresh.unlink(missing_ok=True)
        write_new(fresh, f"{tree.name}\n".encode())
        fresh.replace(self.folder / _CURRENT)
        sync_folder(self.folder)
        return tree

    def _current(self) -> Path:
        try:
            name = (self.folder / _CURRENT).read_text(encoding="ascii")
        except (FileNotFoundError, UnicodeDecodeError) as error:
            raise MissingPartError("key.no-tree", folder=str(self.folder)) from error
        tree = self.folder / name.strip()
        if _TREE.fullmatch(name) is None or not tree.is_dir():
            raise MissingPartError("key.no-tree", folder=str(self.folder))
        return tree

    def _clear(self, current: Path) -> None:
        for path in self.folder.glob("tree-*"):
            if path != current:
                destroy_folder(path)

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        try:
            lock = (self.folder / "lock").open("rb")
        except FileNotFoundError as error:
            raise MissingPartError("key.no-tree", folder=str(self.folder)) from error
        with lock:
            fcntl.flock(lock, how)
            yield


def _make_lock(folder: Path) -> None:
    # Not empty, so that whoever looks whether a file's content got out somewhere does not find it everywhere.
    if not (folder / "lock").exists():
        write_new(folder / "lock", b"locked while keys are read or changed\n")
