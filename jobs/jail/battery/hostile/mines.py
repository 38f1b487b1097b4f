"""What a hostile run leaves in its outbox: each mine in a folder of its own, for the host to offer to the collector one by one.

A mine must be refused whole. A mark is taken, because it looks like a file; the copy must carry nothing of what it marks.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import socket
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .table import MEBIBYTE


Plant = Callable[[Path], object]

ROWS: Final = b"district,visits\na,20\nb,30\n"
FILES, BYTES = 8, MEBIBYTE
"""The limits that the collector is given for each mine's folder."""
DEPTH: Final = 2


def _write(name: str | bytes, content: bytes = ROWS) -> Plant:
    def plant(folder: Path) -> None:
        descriptor = os.open(os.fsencode(folder) + b"/" + os.fsencode(name), os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, content)
        os.close(descriptor)

    return plant


def _link(target: str) -> Plant:
    return lambda folder: (folder / "rows.csv").symlink_to(target)


def _loop(folder: Path) -> None:
    (folder / "folder").mkdir()
    (folder / "folder" / "again").symlink_to("../folder")


def _hard_link(folder: Path) -> None:
    _write("rows.csv")(folder)
    os.link(folder / "rows.csv", folder / "copy.csv")


def _socket(folder: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("rows.csv")
    finally:
        os.fchdir(here)
        os.close(here)


def _mode(mode: int) -> Plant:
    def plant(folder: Path) -> None:
        _write("rows.csv")(folder)
        (folder / "rows.csv").chmod(mode)

    return plant


def _sticky(folder: Path) -> None:
    (folder / "folder").mkdir()
    (folder / "folder").chmod(0o1777)


def _sparse(folder: Path) -> None:
    """As large as the run's own limit of a file lets it be: more than may be taken, and no byte of it written."""
    _write("rows.csv")(folder)
    os.truncate(folder / "rows.csv", 16 * BYTES)


def _deep(levels: int) -> Plant:
    def plant(folder: Path) -> None:
        (folder / "/".join(["d"] * levels)).mkdir(parents=True)

    return plant


def _many(count: int) -> Plant:
    return lambda folder: [_write(f"{number}.csv")(folder) for number in range(count)]


def _sized(*sizes: int) -> Plant:
    return lambda folder: [_write(f"{number}.csv", b"x" * size)(folder) for number, size in enumerate(sizes)]


def _twins(folder: Path) -> None:
    _write("rows.csv")(folder)
    _write("Rows.csv")(folder)


def _zipped(content: bytes, comment: bytes = b"") -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", content)
        archive.comment = comment
    return held.getvalue()


def _tarred(kind: int) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=kind) as archive:
        entry = tarfile.TarInfo("rows.csv")
        entry.size = len(ROWS)
        archive.addfile(entry, io.BytesIO(ROWS))
    return held.getvalue()


def _old_tar() -> bytes:
    """A tar from before the format had a mark: the same header without "ustar", its checksum made to fit."""
    data = bytearray(_tarred(tarfile.USTAR_FORMAT))
    data[257:265] = bytes(8)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


# name: (how it is planted, the code that the collector must refuse it with)
MINES: Final[dict[str, tuple[Plant, str]]] = {
    "link-to-host-file": (_link("/etc/passwd"), "outbox.link"),
    "link-to-collector-environment": (_link("/proc/self/environ"), "outbox.link"),
    "link-to-itself": (_link("rows.csv"), "outbox.link"),
    "link-to-nothing": (_link("nowhere"), "outbox.link"),
    "link-to-folder": (_link("/"), "outbox.link"),
    "loop-of-folders": (_loop, "outbox.link"),
    "pipe-that-hangs-reader": (lambda folder: os.mkfifo(folder / "rows.csv"), "outbox.device"),
    "socket-in-outbox": (_socket, "outbox.device"),
    "two-names-of-one-file": (_hard_link, "outbox.hard-link"),
    "set-uid-file": (_mode(0o4755), "outbox.mode"),
    "set-gid-file": (_mode(0o2755), "outbox.mode"),
    "sticky-folder": (_sticky, "outbox.mode"),
    "sparse-file": (_sparse, "outbox.too-large"),
    "one-byte-too-many": (_sized(BYTES + 1), "outbox.too-large"),
    "one-byte-too-many-split": (_sized(BYTES, 1), "outbox.too-large"),
    "one-file-too-many": (_many(FILES + 1), "outbox.too-many"),
    "one-folder-too-deep": (_deep(DEPTH), "outbox.depth"),
    "forty-folders-deep": (_deep(40), "outbox.depth"),
    "zip-bomb": (_write("rows.csv", _zipped(b"0" * 10_000_000)), "outbox.archive"),
    "zip-behind-table": (_write("rows.csv", ROWS + _zipped(ROWS)), "outbox.archive"),
    "zip-behind-table-and-comment": (_write("rows.csv", ROWS + _zipped(ROWS, b"x" * 60_000)), "outbox.archive"),
    "gzip-file": (_write("rows.csv", gzip.compress(ROWS)), "outbox.archive"),
    "bzip2-file": (_write("rows.csv", bz2.compress(ROWS)), "outbox.archive"),
    "xz-file": (_write("rows.csv", lzma.compress(ROWS)), "outbox.archive"),
    "lzma-file": (_write("rows.csv", lzma.compress(ROWS, lzma.FORMAT_ALONE)), "outbox.archive"),
    "zstandard-file": (_write("rows.csv", b"\x28\xb5\x2f\xfd rest"), "outbox.archive"),
    "tar-file": (_write("rows.csv", _tarred(tarfile.PAX_FORMAT)), "outbox.archive"),
    "tar-without-mark": (_write("rows.csv", _old_tar()), "outbox.archive"),
    "cpio-file": (_write("rows.csv", b"070701" + b"0" * 104 + b"rows"), "outbox.archive"),
    "disk-image": (_write("rows.csv", b"\0" * 32769 + b"CD001"), "outbox.archive"),
    "hidden-file": (_write(".rows.csv"), "outbox.name"),
    "name-that-is-option": (_write("-rf"), "outbox.name"),
    "name-with-line-break": (_write("rows\n.csv"), "outbox.name"),
    "name-that-clears-terminal": (_write("rows\x1b[2J.csv"), "outbox.name"),
    "name-that-is-no-text": (_write(b"rows\xff.csv"), "outbox.name"),
    "name-that-climbs": (_write("..%2f..%2fetc"), "outbox.name"),
    "name-that-reads-backwards": (_write("rows\u202ecsv.exe"), "outbox.name"),
    "name-that-carries-data": (_write("x" * 101), "outbox.name"),
    "name-that-is-program": (_write("<script>"), "outbox.name"),
    "names-alike-but-for-case": (_twins, "outbox.same-name"),
}


def _times(folder: Path) -> None:
    _write("rows.csv")(folder)
    os.utime(folder / "rows.csv", ns=(1, 1_234_567_890_123_456_789))


def _attribute(folder: Path) -> None:
    _write("rows.csv")(folder)
    os.setxattr(folder / "rows.csv", "user.hidden", b"rows")


def _unordered(folder: Path) -> None:
    for name in ("c.csv", "a.csv", "b.csv"):
        _write(name)(folder)


# name: (how it is planted, what of the copy must not tell of it; the owner is looked at in the outbox itself)
MARKS: Final[dict[str, tuple[Plant, str]]] = {
    "times-of-file": (_times, "times"),
    "mode-of-file": (_mode(0o751), "mode"),
    "attribute-of-file": (_attribute, "attributes"),
    "order-of-files": (_unordered, "order"),
    "be-other-account-outside": (_write("rows.csv"), "owner"),
}


def plant_all(outbox: Path) -> None:
    """Lay every mine and every mark, each in a folder of its own."""
    for name, (plant, _) in {**MINES, **MARKS}.items():
        folder = outbox / name
        folder.mkdir()
        plant(folder)
