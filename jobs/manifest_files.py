"""The files of a job folder, taken as untrusted: plain files only, no link followed, everything within limits."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lineage.errors import DefinitionError


MOST_FILES = 200
MOST_ENTRIES = 1000
"""Files and folders together."""
MOST_BYTES = 10 * 1024 * 1024
DEEPEST = 8
LONGEST_TEXT = 64 * 1024


def read_plain(folder: Path, relative: str, limit: int = MOST_BYTES) -> bytes:
    """Read one file of a folder without following any link.

    Args:
        folder: the job's folder.
        relative: path inside it, with ``/``.
        limit: most bytes.

    Raises:
        DefinitionError: ``job.path-escapes``, ``job.file-missing``, ``job.not-plain`` or ``job.file-large``.
    """
    parts = relative.split("/")
    if not relative or any(part in {"", ".", ".."} for part in parts) or "\\" in relative or not _printable(relative):
        raise DefinitionError("job.path-escapes", path=visible(relative)[:200])
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            handle = _descend(handle, part, relative)
        return _read_at(handle, parts[-1], relative, limit)
    finally:
        os.close(handle)


def _descend(handle: int, part: str, relative: str) -> int:
    try:
        below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
    except FileNotFoundError as error:
        raise DefinitionError("job.file-missing", path=visible(relative)) from error
    except OSError as error:
        raise DefinitionError("job.not-plain", path=visible(relative)) from error
    os.dup2(below, handle)
    os.close(below)
    return handle


def _read_at(handle: int, name: str, relative: str, limit: int) -> bytes:
    """Read a file relative to an open directory; O_NONBLOCK so that a FIFO cannot hold the reader."""
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handle)
    except FileNotFoundError as error:
        raise DefinitionError("job.file-missing", path=visible(relative)) from error
    except OSError as error:
        raise DefinitionError("job.not-plain", path=visible(relative)) from error
    facts = os.fstat(opened)
    # A second name (hard link) could still be written through after the job was read.
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
        os.close(opened)
        raise DefinitionError("job.not-plain", path=visible(relative))
    with os.fdopen(opened, "rb") as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise DefinitionError("job.file-large", path=visible(relative), limit=limit)
    return content


def read_text(folder: Path, relative: str, limit: int = LONGEST_TEXT) -> str:
    """Read one UTF-8 text; invisible characters that change what a reviewer sees are refused.

    Raises:
        DefinitionError: as :func:`read_plain`, and ``job.not-text`` or ``job.hidden-characters``.
    """
    content = read_plain(folder, relative, limit)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DefinitionError("job.not-text", path=visible(relative)) from error
    refuse_hidden(text, relative)
    return text


def refuse_hidden(text: str, relative: str) -> None:
    """Refuse bidirectional controls and zero-width characters (CVE-2021-42574): code must read as it runs."""
    for number, line in enumerate(text.split("\n"), start=1):
        if any(character != "\t" and _deceives(character) for character in line.removesuffix("\r")):
            raise DefinitionError("job.hidden-characters", path=visible(relative), line=number)


def plain_files(folder: Path) -> tuple[tuple[str, bytes], ...]:
    """Read every file of a folder, as (path, content) sorted by path.

    Raises:
        DefinitionError: a link or special file, a name with control characters or not in Unicode's composed form, more than 200
            files, 1000 files and folders, or 10 MiB.
    """
    found: list[tuple[str, bytes]] = []
    total = 0
    for relative in _names(folder, "", 0, [MOST_ENTRIES]):
        content = read_plain(folder, relative)
        total += len(content)
        found.append((relative, content))
        if len(found) > MOST_FILES or total > MOST_BYTES:
            raise _too_large()
    return tuple(sorted(found, key=lambda item: item[0].encode()))


def _names(folder: Path, prefix: str, depth: int, left: list[int]) -> Iterator[str]:
    """List the files below a folder; ``left`` holds how many entries may still come, counted while listing."""
    with os.scandir(folder / prefix) as entries:
        found = list(islice(entries, left[0] + 1))
    left[0] -= len(found)
    if left[0] < 0:
        raise _too_large()
    for entry in sorted(found, key=lambda item: item.name):
        relative = prefix + entry.name
        # Two spellings of one letter look the same in a review and are two files.
        if not _printable(relative) or not unicodedata.is_normalized("NFC", relative) or depth > DEEPEST:
            raise DefinitionError("job.bad-file-name", path=visible(relative)[:200])
        if entry.is_dir(follow_symlinks=False):
            yield from _names(folder, relative + "/", depth + 1, left)
        elif entry.is_file(follow_symlinks=False):
            yield relative
        else:
            raise DefinitionError("job.not-plain", path=visible(relative))


def _too_large() -> DefinitionError:
    return DefinitionError("job.folder-large", files=MOST_FILES, mebibytes=MOST_BYTES // 1024 // 1024)


def _deceives(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _printable(name: str) -> bool:
    return not any(_deceives(character) for character in name)


def visible(text: str) -> str:
    """Write control and invisible characters as escapes, so that a terminal or a page shows what is there."""
    return "".join(
        character if character == "\t" or not _deceives(character) else f"\\u{ord(character):04x}" for character in text
    )
