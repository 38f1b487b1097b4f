"""What a hostile run may leave in the outbox: every mine is refused whole, and its innocent twin is taken."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import socket
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.jail.collect import DEPTH, FILE_TIME, collect_outbox
from jobs.jail.spec import MEBIBYTE, Limits
from lineage.errors import GateRefusedError
from sandbox.messages import Language, explain


LIMITS = Limits(outbox_bytes=MEBIBYTE, outbox_files=8)
UID = os.getuid()
CANARY = b"another tenant's rows"
CSV = b"district,visits\na,20\nb,30\n"

Mine = Callable[[Path], object]


def zipped(content: bytes, *, comment: bytes = b"") -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", content)
        archive.comment = comment
    return held.getvalue()


def tarred(kind: int) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=kind) as archive:
        entry = tarfile.TarInfo("rows.csv")
        entry.size = len(CSV)
        archive.addfile(entry, io.BytesIO(CSV))
    return held.getvalue()


def old_tar() -> bytes:
    """A tar from before the format had a mark: the same header without "ustar", its checksum made to fit."""
    data = bytearray(tarred(tarfile.USTAR_FORMAT))
    data[257:265] = bytes(8)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


def canary(outbox: Path) -> Path:
    """A file of someone else, outside."""
    path = outbox.parent / "canary"
    path.write_bytes(CANARY)
    return path


def write(name: str | bytes, content: bytes = CSV) -> Mine:
    def plant(outbox: Path) -> None:
        descriptor = os.open(os.fsencode(outbox) + b"/" + os.fsencode(name), os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, content)
        os.close(descriptor)

    return plant


def link(target: str) -> Mine:
    return lambda outbox: (outbox / "rows.csv").symlink_to(target)


def folder_link(outbox: Path) -> None:
    (outbox.parent / "neighbour").mkdir()
    (outbox.parent / "neighbour" / "rows.csv").write_bytes(CANARY)
    (outbox / "folder").symlink_to(outbox.parent / "neighbour")


def loop(outbox: Path) -> None:
    (outbox / "folder").mkdir()
    (outbox / "folder" / "again").symlink_to("../folder")


def hard_link(outbox: Path) -> None:
    write("rows.csv")(outbox)
    os.link(outbox / "rows.csv", outbox / "copy.csv")


def unix_socket(outbox: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(outbox / "rows.csv"))


def set_uid(outbox: Path) -> None:
    write("rows.csv")(outbox)
    (outbox / "rows.csv").chmod(0o4755)


def sticky_folder(outbox: Path) -> None:
    (outbox / "folder").mkdir()
    (outbox / "folder").chmod(0o1777)


def sparse(outbox: Path) -> None:
    write("rows.csv")(outbox)
    os.truncate(outbox / "rows.csv", 1 << 40)


def deep(levels: int) -> Mine:
    def plant(outbox: Path) -> None:
        descriptor = os.open(outbox, os.O_RDONLY)
        for _ in range(levels):
            os.mkdir("d", dir_fd=descriptor)
            below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        os.close(descriptor)

    return plant


def many(count: int) -> Mine:
    def plant(outbox: Path) -> None:
        for number in range(count):
            write(f"{number}.csv")(outbox)

    return plant


def sized(*sizes: int) -> Mine:
    def plant(outbox: Path) -> None:
        for number, size in enumerate(sizes):
            write(f"{number}.csv", b"x" * size)(outbox)

    return plant


def twins_in_case(outbox: Path) -> None:
    write("rows.csv")(outbox)
    write("Rows.csv")(outbox)


MINES = [
    pytest.param(lambda outbox: link(str(canary(outbox)))(outbox), "outbox.link", id="link to another tenant's file"),
    pytest.param(link("/proc/self/environ"), "outbox.link", id="link to the collector's environment"),
    pytest.param(link("rows.csv"), "outbox.link", id="link to itself"),
    pytest.param(link("nowhere"), "outbox.link", id="link to nothing"),
    pytest.param(folder_link, "outbox.link", id="link to another tenant's folder"),
    pytest.param(loop, "outbox.link", id="loop of folders"),
    pytest.param(lambda outbox: os.mkfifo(outbox / "rows.csv"), "outbox.device", id="FIFO that hangs a reader"),
    pytest.param(unix_socket, "outbox.device", id="socket"),
    pytest.param(hard_link, "outbox.hard-link", id="two names of one file"),
    pytest.param(set_uid, "outbox.mode", id="set-uid file"),
    pytest.param(sticky_folder, "outbox.mode", id="folder with a special mode"),
    pytest.param(sparse, "outbox.too-large", id="sparse terabyte"),
    pytest.param(sized(MEBIBYTE + 1), "outbox.too-large", id="one byte too many"),
    pytest.param(sized(MEBIBYTE, 1), "outbox.too-large", id="one byte too many, split"),
    pytest.param(many(9), "outbox.too-many", id="one file too many"),
    pytest.param(deep(DEPTH), "outbox.depth", id="one folder too deep"),
    pytest.param(deep(600), "outbox.depth", id="600 folders deep"),
    pytest.param(write("rows.csv", zipped(b"0" * 10_000_000)), "outbox.archive", id="zip bomb called csv"),
    pytest.param(write("rows.csv", CSV + zipped(CSV)), "outbox.archive", id="zip behind a csv"),
    pytest.param(
        write("rows.csv", CSV + zipped(CSV, comment=b"x" * 60_000)),
        "outbox.archive",
        id="zip behind a csv before a comment",
    ),
    pytest.param(write("rows.csv", gzip.compress(CSV)), "outbox.archive", id="gzip"),
    pytest.param(write("rows.csv", bz2.compress(CSV)), "outbox.archive", id="bzip2"),
    pytest.param(write("rows.csv", lzma.compress(CSV)), "outbox.archive", id="xz"),
    pytest.param(write("rows.csv", lzma.compress(CSV, lzma.FORMAT_ALONE)), "outbox.archive", id="lzma"),
    pytest.param(write("rows.csv", b"\x28\xb5\x2f\xfd rest"), "outbox.archive", id="zstandard"),
    pytest.param(write("rows.csv", tarred(tarfile.PAX_FORMAT)), "outbox.archive", id="tar"),
    pytest.param(write("rows.csv", b"070701" + b"0" * 104 + b"rows"), "outbox.archive", id="cpio"),
    pytest.param(write("rows.csv", old_tar()), "outbox.archive", id="tar without a mark"),
    pytest.param(write("rows.csv", b"\0" * 32769 + b"CD001"), "outbox.archive", id="disk image"),
    pytest.param(write(".rows.csv"), "outbox.name", id="hidden file"),
    pytest.param(write("-rf"), "outbox.name", id="name that is an option"),
    pytest.param(write("rows\n.csv"), "outbox.name", id="name with a line break"),
    pytest.param(write("rows\x1b[2J.csv"), "outbox.name", id="name that clears a terminal"),
    pytest.param(write(b"rows\xff.csv"), "outbox.name", id="name that is no text"),
    pytest.param(write("..%2f..%2fetc"), "outbox.name", id="name that climbs when decoded"),
    pytest.param(write("rows\u202ecsv.exe"), "outbox.name", id="name that reads backwards"),
    pytest.param(write("x" * 101), "outbox.name", id="name that carries data"),
    pytest.param(write("<script>"), "outbox.name", id="name that is a program to a page"),
    pytest.param(twins_in_case, "outbox.same-name", id="two names on one disk, one on another"),
]


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    folder = tmp_path / "outbox"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(("plant", "code"), MINES)
def test_a_mine_is_refused_whole(outbox: Path, tmp_path: Path, plant: Mine, code: str) -> None:
    write("a-good-file-first", b"")(outbox)
    plant(outbox)
    with pytest.raises(GateRefusedError) as caught:
        collect_outbox(outbox, UID, LIMITS, tmp_path / "taken")
    assert caught.value.code == code
    assert not (tmp_path / "taken").exists()
    assert not (tmp_path / "taken.part").exists()
    told = " ".join(str(value) for value in caught.value.params.values())
    assert told.isascii()
    assert told.isprintable()
    assert not set(told) & set("<>&'\"\\")
    assert max(len(str(value)) for value in caught.value.params.values()) <= 100
    assert explain(caught.value, Language.ZH).fix


TWINS = [
    pytest.param(write("rows.csv"), {"rows.csv"}, id="a file"),
    pytest.param(
        lambda outbox: ((outbox / "folder").mkdir(), write("folder/rows.csv")(outbox)),
        {"folder/rows.csv"},
        id="a folder",
    ),
    pytest.param(deep(DEPTH - 1), set(), id="as deep as allowed"),
    pytest.param(many(8), {f"{number}.csv" for number in range(8)}, id="as many as allowed"),
    pytest.param(sized(MEBIBYTE - 1, 1), {"0.csv", "1.csv"}, id="as large as allowed"),
    pytest.param(write("x" * 100), {"x" * 100}, id="as long a name as allowed"),
    pytest.param(
        write("rows..v1.2_final-copy.csv"), {"rows..v1.2_final-copy.csv"}, id="dots and hyphens inside a name"
    ),
    pytest.param(write("empty", b""), {"empty"}, id="an empty file"),
    pytest.param(write("rows.parquet", b"PAR1" + bytes(64) + b"PAR1"), {"rows.parquet"}, id="a Parquet file"),
    pytest.param(
        write("notes.md", b"PK is not PK\x05\x06 an archive"), {"notes.md"}, id="text that names a zip's mark"
    ),
    pytest.param(
        write("codes.csv", b"070701,20\n070702,30\n" * 20), {"codes.csv"}, id="a table that begins like a cpio"
    ),
    pytest.param(write("names.csv", b"BZhang,20\n"), {"names.csv"}, id="a table that begins like a bzip2"),
    pytest.param(write("zeros.bin", bytes(40_000)), {"zeros.bin"}, id="zeros"),
]


@pytest.mark.parametrize(("plant", "names"), TWINS)
def test_the_innocent_twin_is_taken(outbox: Path, tmp_path: Path, plant: Mine, names: set[str]) -> None:
    plant(outbox)
    taken = collect_outbox(outbox, UID, LIMITS, tmp_path / "taken")
    assert {item.name for item in taken} == names
    assert [item.name for item in taken] == sorted(names)
    for item in taken:
        assert item.path.read_bytes() == (outbox / item.name).read_bytes()


def test_copies_carry_nothing_but_bytes(outbox: Path, tmp_path: Path) -> None:
    """Mode, time to the nanosecond, extended attributes and owner are channels."""
    write("rows.csv")(outbox)
    os.setxattr(outbox / "rows.csv", "user.hidden", b"rows")
    os.utime(outbox / "rows.csv", ns=(1, 1_234_567_890_123_456_789))
    (outbox / "rows.csv").chmod(0o751)
    (item,) = collect_outbox(outbox, UID, LIMITS, tmp_path / "taken")
    state = item.path.stat()
    assert stat.S_IMODE(state.st_mode) == 0o400
    assert state.st_mtime_ns == FILE_TIME * 10**9
    assert os.listxattr(item.path) == []
    assert state.st_ino != (outbox / "rows.csv").stat().st_ino


def test_collecting_again_gives_the_same(outbox: Path, tmp_path: Path) -> None:
    write("rows.csv")(outbox)
    first = collect_outbox(outbox, UID, LIMITS, tmp_path / "taken")
    assert collect_outbox(outbox, UID, LIMITS, tmp_path / "taken") == first


def test_a_refusal_takes_an_earlier_copy_away(outbox: Path, tmp_path: Path) -> None:
    write("rows.csv")(outbox)
    collect_outbox(outbox, UID, LIMITS, tmp_path / "taken")
    (outbox / "link").symlink_to("nowhere")
    with pytest.raises(GateRefusedError):
        collect_outbox(outbox, UID, LIMITS, tmp_path / "taken")
    assert not (tmp_path / "taken").exists()


@pytest.mark.jail
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file to someone else")
@pytest.mark.parametrize(("owner", "group"), [(0, 150_001), (150_001, 0), (150_002, 150_002)])
def test_a_file_of_someone_else_is_refused(outbox: Path, tmp_path: Path, owner: int, group: int) -> None:
    write("rows.csv")(outbox)
    os.chown(outbox / "rows.csv", owner, group)
    with pytest.raises(GateRefusedError) as caught:
        collect_outbox(outbox, 150_001, LIMITS, tmp_path / "taken")
    assert caught.value.code == "outbox.owner"


@pytest.mark.jail
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a device")
def test_a_device_is_refused(outbox: Path, tmp_path: Path) -> None:
    os.mknod(outbox / "rows.csv", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    with pytest.raises(GateRefusedError) as caught:
        collect_outbox(outbox, UID, LIMITS, tmp_path / "taken")
    assert caught.value.code == "outbox.device"
