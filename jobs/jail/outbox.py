"""The outbox: a small file system of its own, so that the kernel itself bounds bytes and files exactly (E2; law 1).

An ext4 image in a sparse file costs what is written to it, and its quota is its size. Where the machine has no loop devices, a sized
tmpfs does the same in memory. Both are mounted without set-uid files, devices, programs and links that are followed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from jobs.jail.spec import Limits
from lineage.errors import MissingPartError


_TOOLS: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_OPTIONS: Final = "nosuid,nodev,noexec,nosymfollow,noatime"
# ext4's own tables, without journal: superblock, descriptors and root folder once; bitmaps and spare superblocks a group.
_FIXED_BLOCKS: Final = 16
_GROUP_BLOCKS: Final = 4
_BLOCKS_A_GROUP: Final = 32768
_INODE_BYTES: Final = 256
_BLOCK_BYTES: Final = 4096
_RESERVED_INODES: Final = 12


def make(image: Path, folder: Path, uid: int, limits: Limits) -> None:
    """Make an empty outbox at ``folder``, an existing empty folder, owned by the tenant and closed to everyone else.

    Raises:
        MissingPartError: neither kind of file system can be mounted.
    """
    try:
        _make_image(image, uid, limits)
        _mount("-o", f"loop,{_OPTIONS}", "-t", "ext4", str(image), str(folder))
        (folder / "lost+found").rmdir()
    except (subprocess.CalledProcessError, FileNotFoundError):
        unmount_below(folder)
        image.unlink(missing_ok=True)
        _mount_memory(folder, uid, limits)
    os.chown(folder, uid, uid)
    folder.chmod(0o700)


def _make_image(image: Path, uid: int, limits: Limits) -> None:
    inodes = limits.outbox_files + _RESERVED_INODES
    size = _image_bytes(limits.outbox_bytes, inodes)
    with image.open("xb") as file:
        os.truncate(file.fileno(), size)
    settings = [
        "-O",
        "^has_journal,^resize_inode",
        "-m",
        "0",
        "-b",
        str(_BLOCK_BYTES),
        "-N",
        str(inodes),
        "-I",
        str(_INODE_BYTES),
    ]
    owner = ["-E", f"root_owner={uid}:{uid},nodiscard"]
    _tool("mkfs.ext4", "-q", "-F", *settings, *owner, str(image))


def _image_bytes(data: int, inodes: int) -> int:
    """Size the image so that ``data`` bytes fit, and hardly more: each entry may waste most of a block."""
    blocks = data // _BLOCK_BYTES + 1 + inodes + inodes * _INODE_BYTES // _BLOCK_BYTES + 1 + _FIXED_BLOCKS
    blocks += (blocks // _BLOCKS_A_GROUP + 1) * _GROUP_BLOCKS
    # The kernel keeps two in a hundred blocks, at most 4096, for its own late allocations.
    return (blocks + min(blocks // 49 + 1, 4096)) * _BLOCK_BYTES


def _mount_memory(folder: Path, uid: int, limits: Limits) -> None:
    inodes = limits.outbox_files + 1
    options = f"{_OPTIONS},size={limits.outbox_bytes},nr_inodes={inodes},mode=0700,uid={uid},gid={uid}"
    try:
        _mount("-o", options, "-t", "tmpfs", "shuzha-outbox", str(folder))
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        raise MissingPartError("jail.no-outbox") from error


def _mount(*arguments: str) -> None:
    _tool("mount", *arguments)


def _tool(*argv: str) -> None:
    """Run a program of the host with a fixed environment and search path.

    Raises:
        CalledProcessError: it failed.
        FileNotFoundError: it is not installed.
    """
    subprocess.run(argv, env=_TOOLS, stdin=subprocess.DEVNULL, capture_output=True, check=True)


def is_full(folder: Path) -> bool:
    """Tell whether no further block or file fits."""
    state = os.statvfs(folder)
    return state.f_bavail == 0 or state.f_favail == 0


def is_mounted(folder: Path) -> bool:
    """Tell whether a file system is mounted exactly here."""
    return str(folder) in _mount_points()


def _mount_points() -> list[str]:
    """List the mount points this process sees, oldest first; proc(5) writes blanks and backslashes in octal."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    points = [line.split(" ")[4] for line in lines]
    for written, meant in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        points = [point.replace(written, meant) for point in points]
    return points


def unmount_below(folder: Path) -> None:
    """Unmount everything mounted at ``folder`` or below, newest first; a folder without mounts is no error.

    Raises:
        MissingPartError: something stays mounted.
    """
    prefix = f"{folder}/"
    for point in reversed(_mount_points()):
        if point == str(folder) or point.startswith(prefix):
            subprocess.run(["umount", point], env=_TOOLS, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if any(point == str(folder) or point.startswith(prefix) for point in _mount_points()):
        raise MissingPartError("jail.still-mounted")


def remove_tree(folder: Path) -> None:
    """Unmount below ``folder``, then delete it; the order keeps the deletion out of mounted folders."""
    unmount_below(folder)
    if folder.exists():
        shutil.rmtree(folder)
