"""Which files a backup holds, and their way into encrypted parts and back.

The snapshot of the database comes first and the files after it: files are only ever added, so every file that the database names is
there. Of RAW only what the named versions consist of is taken: a running import's half-written files are nobody's. A part is a tar
inside an age file, so that a domain can be saved with ``age -d`` and ``tar`` alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from sqlalchemy import Connection, func, select

from lineage.errors import DataFileError, MissingPartError
from sandbox.backup_age import Recipient, encrypting
from sandbox.backup_manifest import File
from sandbox.schema import dataset_version


NEVER = frozenset({"ends", "keys", "run", "tokens"})
"""Keys are kept apart, mounts and work die with their run, tokens are secrets of persons."""
_SEALED = "gocryptfs.conf"
_GONE = "gone"
_PIECE = 1 << 20


@dataclass(frozen=True)
class Section:
    """What goes into one part: files by their place in the backup, and where they lie; and what is passed over, with the reason."""

    files: Mapping[str, Path]
    passed: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Packed:
    """What came of packing: the files, and of what was passed over the reason."""

    files: list[File] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def sections(home: Path, connection: Connection, *, sealed: bool) -> Iterator[Section]:
    """Give the sections of a home folder but for the database, each listed when its turn comes.

    Raises:
        MissingPartError: a version that the database names is not on the disk (law 7).
    """
    database = {f"domain.db{end}" for end in ("", "-wal", "-shm", "-journal")}
    single, folders = {}, []
    for path in sorted(home.iterdir()):
        if path.is_dir():
            # A site may have put one on another disk and linked it.
            folders.append(path)
        elif path.name not in database | {"checkpoint", "checkpoint.new", ".checkpoint.lock"}:
            single[path.name] = path
    yield Section(single)
    yield from _raw_sections(home / "raw", connection)
    for folder in folders:
        if folder.name in {"sealed", "held"}:
            yield from _sealed_sections(home, folder, sealed=sealed)
        elif folder.name not in NEVER | {"raw"}:
            yield Section(_tree(home, folder))


def pack(section: Section, part: Path, recipient: Recipient) -> Packed:
    """Write a section as one encrypted part.

    Raises:
        DataFileError: the place is full, or a file cannot be read.
    """
    packed = Packed(left_out=dict(section.passed))
    with encrypting(part, recipient) as stream, tarfile.open(fileobj=stream, mode="w|", bufsize=_PIECE) as tar:
        for name, path in section.files.items():
            _add(tar, name, path, part.name, packed)
    return packed


def unpack(stream: IO[bytes], files: Sequence[File], root: Path | None) -> list[str]:
    """Read a part, under ``root`` when it is given; gives the paths that are not what the index says, and writes nothing else.

    What the archive says of names and modes is not heard: the index decides (law 7).
    """
    wanted, bad, folders = {one.path: one for one in files}, [], []
    with suppress(tarfile.TarError), tarfile.open(fileobj=stream, mode="r|", bufsize=_PIECE) as tar:
        for member in tar:
            one = wanted.pop(member.name, None)
            content = tar.extractfile(member) if member.isreg() else None
            if one is None or (one.sha256 is None) != member.isdir() or (content is None) == member.isreg():
                bad.append(member.name)
            elif one.sha256 is None:
                folders.append(one)
                if root is not None:
                    (root / one.path).mkdir(mode=0o700, parents=True, exist_ok=True)
            elif content is None or not _take(content, one, root):
                bad.append(one.path)
    if root is not None:
        # Deepest first: writing into a folder changes its time.
        for one in reversed(folders):
            _settle(root / one.path, one)
    return [*bad, *wanted]


def _take(content: IO[bytes], one: File, root: Path | None) -> bool:
    seen, size = hashlib.sha256(), 0
    path = Path(os.devnull) if root is None else root / one.path
    if root is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("wb") as out:
        while piece := content.read(_PIECE):
            out.write(piece)
            seen.update(piece)
            size += len(piece)
        if root is not None:
            out.flush()
            os.fsync(out.fileno())
    if root is not None:
        _settle(path, one)
    return size == one.bytes and seen.hexdigest() == one.sha256


def _settle(path: Path, one: File) -> None:
    if os.geteuid() == 0:
        os.chown(path, one.uid, one.gid)
    path.chmod(one.mode)
    # Delta reads the age of a version from its file.
    os.utime(path, ns=(one.mtime * 1000, one.mtime * 1000))


def _named_versions(connection: Connection) -> list[tuple[str, int]]:
    query = select(dataset_version.c.dataset, func.max(dataset_version.c.version)).group_by(dataset_version.c.dataset)
    return sorted((str(name), int(newest)) for name, newest in connection.execute(query))


def _raw_sections(folder: Path, connection: Connection) -> Iterator[Section]:
    for dataset, newest in _named_versions(connection):
        listed = _raw(folder / dataset, newest)
        yield Section({f"raw/{dataset}/{name}".removesuffix("/."): path for name, path in listed.items()})


def _sealed_sections(home: Path, folder: Path, *, sealed: bool) -> Iterator[Section]:
    """Take what is a tenant's only as long as it is sealed: it ends with the tenant, and a copy in the clear would not (law 10)."""
    for one in sorted(folder.iterdir()):
        name = str(one.relative_to(home))
        if not sealed:
            yield Section({}, {name: "asked to leave out"})
        elif folder.name == "held":
            yield from _held_sections(home, one)
        else:
            yield Section(_tree(home, one))


def _held_sections(home: Path, tenant: Path) -> Iterator[Section]:
    """Take of what runs left behind each folder that is sealed by itself."""
    try:
        inside = sorted(tenant.iterdir())
    except FileNotFoundError:
        yield Section({}, {str(tenant.relative_to(home)): _GONE})
        return
    for one in inside:
        if (one / _SEALED).is_file():
            yield Section(_tree(home, one))
        elif not one.name.endswith(".lock"):
            yield Section({}, {str(one.relative_to(home)): "in the clear"})


def _raw(folder: Path, newest: int) -> dict[str, Path]:
    """List the files of a dataset's tables; the quarantine's newest version is not named, and may be one ahead of the table's."""
    found = _delta(folder / "table", newest)
    if newest not in {version for version, _ in _commits(folder / "table")}:
        raise MissingPartError("backup.file-missing", file=f"raw/{folder.name}/table")
    if (folder / "quarantine").is_dir():
        found |= _delta(folder / "quarantine", None)
    folders = {above for path in found for above in path.parents if above.is_relative_to(folder)} - {folder}
    return {".": folder} | {str(path.relative_to(folder)): path for path in sorted(found | folders)}


def _delta(table: Path, newest: int | None) -> set[Path]:
    """List the log up to a version, with every data file that any of these versions names."""
    log, found = table / "_delta_log", set()
    last = -1
    for version, commit in _commits(table):
        named = _added(commit)
        if (newest is not None and version > newest) or named is None:
            break
        last = version
        found |= {commit, *(table / unquote(name) for name in named)}
    for path in log.iterdir():
        head = path.name.lstrip(".").partition(".")[0]
        if head.isdigit() and int(head) <= last:
            found.add(path)
    pointer = log / "_last_checkpoint"
    if pointer.is_file() and _points_to(pointer) <= last:
        found.add(pointer)
    beside = {path.with_name(f".{path.name}.crc") for path in found}
    return found | {path for path in beside if path.is_file()}


def _commits(table: Path) -> list[tuple[int, Path]]:
    log = table / "_delta_log"
    names = log.glob("[0-9]*.json") if log.is_dir() else []
    return sorted((int(path.stem), path) for path in names if path.stem.isdigit())


def _added(commit: Path) -> list[str] | None:
    """Give the data files that a commit adds, or None where it is being written just now."""
    try:
        actions = [json.loads(line) for line in commit.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return None
    return [str(action["add"]["path"]) for action in actions if "add" in action]


def _points_to(pointer: Path) -> int:
    try:
        found: Any = json.loads(pointer.read_text(encoding="utf-8"))
        return int(found["version"])
    except (OSError, ValueError, TypeError, KeyError):
        # Half written: the table opens without it.
        return 1 << 62


def _tree(home: Path, folder: Path) -> dict[str, Path]:
    found = {str(folder.relative_to(home)): folder.resolve()}
    for current, folders, files in os.walk(folder):
        folders.sort()
        here = Path(current)
        found |= {str((here / name).relative_to(home)): here / name for name in (*folders, *sorted(files))}
    return found


def _add(tar: tarfile.TarFile, name: str, path: Path, part: str, packed: Packed) -> None:
    try:
        about = path.lstat()
        if stat.S_ISDIR(about.st_mode):
            packed.files.append(_put(tar, name, about, part, None))
        elif stat.S_ISREG(about.st_mode):
            with path.open("rb") as content:
                packed.files.append(_put(tar, name, os.fstat(content.fileno()), part, content))
        else:
            packed.left_out[name] = "neither a file nor a folder"
    except FileNotFoundError:
        # Taken away since it was listed: by the end of an agreement, or an import undone; the database names neither.
        packed.left_out[name] = _GONE
    except PermissionError as error:
        raise DataFileError("backup.cannot-read", file=name) from error


def _put(tar: tarfile.TarFile, name: str, about: os.stat_result, part: str, content: IO[bytes] | None) -> File:
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = stat.S_IMODE(about.st_mode) & 0o777, int(about.st_mtime)
    digest = None
    if content is None:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    else:
        info.size = about.st_size
        reader = _Exactly(content, about.st_size)
        tar.addfile(info, reader)
        digest = reader.digest.hexdigest()
    when = about.st_mtime_ns // 1000
    return File(part, name, info.size, digest, info.mode, about.st_uid, about.st_gid, when)


class _Exactly:
    """Exactly the bytes that an archive's header announced: a file that somebody still writes may grow or shrink meanwhile."""

    def __init__(self, content: IO[bytes], size: int) -> None:
        self._content, self._left = content, size
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        piece = self._content.read(wanted)
        # Nothing the database names ever shrinks: what does is not yet anybody's, and is filled up with zeros.
        piece += b"\0" * (wanted - len(piece))
        self._left -= wanted
        self.digest.update(piece)
        return piece
