"""fscrypt on a real ext4, and storage that the site encrypts: closed is unreadable, missing is an error (D1, D9, law 7)."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from lineage.errors import MissingPartError
from sandbox.storage import StorageProvider, destroy_sealed, provider, serving, sweep, try_out
from sandbox.storage_external import External, read_external
from sandbox.storage_fscrypt import AES, SM4, Fscrypt
from tests.factories import refused


KEY, OTHER = b"k" * 32, b"o" * 32
TEXT = b"resident 220104199001011234 " * 200

pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount"),
    pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="e2fsprogs is not installed"),
]


def mount(image: Path, point: Path, *features: str) -> None:
    image.touch()
    os.truncate(image, 64 << 20)
    subprocess.run(["mkfs.ext4", "-q", *features, str(image)], check=True)
    point.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 with encryption on a loop device, and its image beside it."""
    point = tmp_path / "disk"
    mount(tmp_path / "disk.img", point, "-O", "encrypt")
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


@pytest.fixture
def sealed(disk: Path, tmp_path: Path) -> Path:
    folder = disk / "home" / "sealed" / "G-1" / "view"
    Fscrypt(AES).create(folder, KEY)
    with Fscrypt(AES).opened(folder, KEY, tmp_path / "mounts") as plain:
        (plain / "table").mkdir()
        (plain / "table" / "part-0").write_bytes(TEXT)
    return folder


def locked(folder: Path) -> bool:
    """Whether names are scrambled and nothing can be read or written."""
    if any("part-0" in path.name for path in folder.rglob("*")):
        return False
    try:
        (folder / "new").write_bytes(b"")
    except OSError as error:
        return error.errno == errno.ENOKEY
    return False


def test_what_was_written_is_read_again_and_closed_between(sealed: Path, tmp_path: Path) -> None:
    assert locked(sealed)
    with Fscrypt(AES).opened(sealed, KEY, tmp_path / "mounts") as plain:
        assert (plain / "table" / "part-0").read_bytes() == TEXT
    assert locked(sealed)


def test_the_disk_holds_neither_names_nor_content(sealed: Path, tmp_path: Path) -> None:
    subprocess.run(["sync", "-f", str(sealed)], check=True)
    image = (tmp_path / "disk.img").read_bytes()
    assert b"220104199001011234" not in image
    assert b"part-0" not in image
    assert b"G-1" in image  # the control: what is not sealed can be found


def test_another_key_opens_nothing(sealed: Path, tmp_path: Path) -> None:
    with refused(MissingPartError, "storage.failed"), Fscrypt(AES).opened(sealed, OTHER, tmp_path / "mounts"):
        pytest.fail("opened with another key")
    assert locked(sealed)
    for wrong in (b"", b"short", b"k" * 33):
        with refused(MissingPartError, "storage.failed"), Fscrypt(AES).opened(sealed, wrong, tmp_path / "mounts"):
            pytest.fail("opened with no key")


def test_the_last_of_several_openers_closes(sealed: Path, tmp_path: Path) -> None:
    storage, mounts = Fscrypt(AES), tmp_path / "mounts"
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(storage.opened(sealed, KEY, mounts))
        second.enter_context(storage.opened(sealed, KEY, mounts))
        first.close()
        assert (sealed / "table" / "part-0").read_bytes() == TEXT
        assert sweep(mounts) == 0
        second.close()
    assert locked(sealed)
    assert list(mounts.glob("key-*")) == []


def test_nothing_stays_open_when_the_block_fails(sealed: Path, tmp_path: Path) -> None:
    def fail() -> None:
        with Fscrypt(AES).opened(sealed, KEY, tmp_path / "mounts"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert locked(sealed)


def test_a_dead_openers_key_is_swept(sealed: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from sandbox.storage_fscrypt import AES, Fscrypt\n"
        f"held = Fscrypt(AES).opened(Path({str(sealed)!r}), {KEY!r}, Path({str(tmp_path / 'mounts')!r}))\nheld.__enter__()\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert (sealed / "table" / "part-0").read_bytes() == TEXT
    assert sweep(tmp_path / "mounts") == 1
    assert locked(sealed)
    assert sweep(tmp_path / "mounts") == 0


def test_closing_takes_the_key_from_whoever_has_it_open(sealed: Path, tmp_path: Path) -> None:
    with Fscrypt(AES).opened(sealed, KEY, tmp_path / "mounts"):
        Fscrypt(AES).close(sealed)
        assert locked(sealed)


def test_a_destroyed_folder_is_gone_open_or_not(sealed: Path, tmp_path: Path) -> None:
    with Fscrypt(AES).opened(sealed, KEY, tmp_path / "mounts"):
        destroy_sealed(Fscrypt(AES), sealed.parent)
        assert not sealed.parent.exists()
    destroy_sealed(Fscrypt(AES), sealed.parent)


def test_the_key_is_in_no_argument_environment_or_file(sealed: Path, tmp_path: Path) -> None:
    with Fscrypt(AES).opened(sealed, KEY, tmp_path / "mounts"):
        for spelled in (KEY, KEY.hex().encode()):
            for name in ("cmdline", "environ"):
                assert not any(spelled in data for data in processes(name))
            assert not any(spelled in path.read_bytes() for path in (tmp_path / "mounts").iterdir())
            assert spelled not in Path("/proc/mounts").read_bytes()
            assert spelled not in Path("/proc/keys").read_bytes()


def processes(name: str) -> Iterator[bytes]:
    for path in Path("/proc").glob(f"[0-9]*/{name}"):
        try:
            yield path.read_bytes()
        except OSError:
            continue


def test_sm4_works_where_the_kernel_has_it_and_is_refused_where_not(disk: Path, tmp_path: Path) -> None:
    """The file system takes the policy on any kernel; only writing tells the truth."""
    folder = disk / "sealed"
    if "sm4" not in Path("/proc/crypto").read_text():
        with refused(MissingPartError, "storage.no-cipher") as caught:
            Fscrypt(SM4).create(folder, KEY)
        assert caught.value.params == {"cipher": "SM4-XTS"}
        assert not folder.exists()
        return
    Fscrypt(SM4).create(folder, KEY)
    with Fscrypt(SM4).opened(folder, KEY, tmp_path / "mounts") as plain:
        (plain / "x").write_bytes(TEXT)
    assert locked(folder)


def test_a_folder_of_another_cipher_does_not_open(sealed: Path, tmp_path: Path) -> None:
    with refused(MissingPartError, "storage.failed"), Fscrypt(SM4).opened(sealed, KEY, tmp_path / "mounts"):
        pytest.fail("opened as another cipher")


def test_a_file_system_without_encryption_is_refused(tmp_path: Path) -> None:
    point = tmp_path / "plain"
    mount(tmp_path / "plain.img", point)
    try:
        with refused(MissingPartError, "storage.no-encryption"):
            Fscrypt(AES).create(point / "sealed", KEY)
        assert not (point / "sealed").exists()
    finally:
        subprocess.run(["umount", str(point)], check=True)


@pytest.mark.skipif(shutil.which("gocryptfs") is None, reason="gocryptfs is not installed")
@pytest.mark.parametrize("name", ["gocryptfs", "fscrypt-aes"])
def test_a_provider_is_tried_out_for_the_check_of_the_machine(name: str, disk: Path, tmp_path: Path) -> None:
    storage = provider(name)
    assert (
        try_out(storage, disk, tmp_path / "mounts") == {"gocryptfs": "AES-256-GCM", "fscrypt-aes": "AES-256-XTS"}[name]
    )
    assert [path.name for path in disk.iterdir()] == ["lost+found"]


@pytest.mark.skipif(shutil.which("gocryptfs") is None, reason="gocryptfs is not installed")
def test_gocryptfs_is_closed_under_a_reader_at_once(tmp_path: Path) -> None:
    """Law 10: a jail that has the folder bound reads no further byte, and nobody serves it any more."""
    storage: StorageProvider = provider("gocryptfs")
    sealed = tmp_path / "sealed" / "G-1" / "view"
    storage.create(sealed, KEY)
    with storage.opened(sealed, KEY, tmp_path / "mounts") as plain:
        (plain / "part-0").write_bytes(TEXT)
        assert len(serving(sealed)) == 1
        assert serving(sealed.parent) == serving(sealed)
        assert serving(tmp_path / "sealed" / "G-2") == []
        reader = (plain / "part-0").open("rb", buffering=0)
        assert reader.read(10) == TEXT[:10]
        destroy_sealed(storage, sealed.parent)
        os.posix_fadvise(reader.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with pytest.raises(OSError, match=r"endpoint is not connected|connection abort"):
            os.pread(reader.fileno(), 4096, 0)
        with suppress(OSError):
            reader.close()
    assert serving(tmp_path) == []
    assert not sealed.parent.exists()
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


class TestExternal:
    @pytest.fixture
    def zone(self, disk: Path, tmp_path: Path) -> External:
        """A mount of the site's: our own command notes what it was asked to destroy."""
        command = tmp_path / "destroy-key"
        command.write_text(f'#!/bin/sh\n[ -e {tmp_path}/refuse ] && exit 3\necho "$@" >> {tmp_path}/destroyed\n')
        command.chmod(0o755)
        told = {"folder": str(disk), "cipher": "SM4/CTR", "attested_by": "Office", "destroy": [str(command), "--zone"]}
        return read_external({"external": told})

    def test_it_says_what_it_is_and_who_vouches(self, zone: External) -> None:
        assert zone.cipher == "SM4/CTR (Office)"

    def test_it_lies_on_the_mount_or_nowhere(self, zone: External, disk: Path, tmp_path: Path) -> None:
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "sealed").symlink_to(disk)
        zone.create(tmp_path / "home" / "sealed" / "G-1" / "view", KEY)
        with zone.opened(tmp_path / "home" / "sealed" / "G-1" / "view", KEY, tmp_path / "mounts") as plain:
            (plain / "x").write_bytes(TEXT)
        with refused(MissingPartError, "storage.not-mounted"):
            zone.create(tmp_path / "home" / "beside" / "view", KEY)
        subprocess.run(["umount", str(disk)], check=True)
        with refused(MissingPartError, "storage.failed"), zone.opened(disk / "G-1" / "view", KEY, tmp_path / "mounts"):
            pytest.fail("opened without its mount")
        with refused(MissingPartError, "storage.not-mounted"):
            zone.create(disk / "G-2" / "view", KEY)
        subprocess.run(["mount", "-o", "loop", str(tmp_path / "disk.img"), str(disk)], check=True)

    def test_the_sites_command_destroys_first(self, zone: External, disk: Path, tmp_path: Path) -> None:
        zone.create(disk / "G-1" / "view", KEY)
        (tmp_path / "refuse").touch()
        with refused(MissingPartError, "storage.not-destroyed"):
            destroy_sealed(zone, disk / "G-1")
        assert (disk / "G-1" / "view").is_dir()
        (tmp_path / "refuse").unlink()
        destroy_sealed(zone, disk / "G-1")
        assert (tmp_path / "destroyed").read_text() == "--zone G-1/view\n"
        assert not (disk / "G-1").exists()

    def test_a_command_that_is_not_there_destroys_nothing(self, zone: External, disk: Path) -> None:
        broken = External(zone.folder, zone.cipher, ("/none/such",))
        broken.create(disk / "G-1" / "view", KEY)
        with refused(MissingPartError, "storage.not-destroyed"):
            broken.destroy(disk / "G-1" / "view")

    @pytest.mark.parametrize(
        "changed",
        [{"folder": "here"}, {"cipher": " "}, {"attested_by": ""}, {"destroy": []}, {"destroy": "rm"}, {"more": "x"}],
    )
    def test_settings_that_are_not_whole_are_refused(self, changed: dict[str, object]) -> None:
        told = {"folder": "/x", "cipher": "SM4", "attested_by": "Office", "destroy": ["/bin/true"], **changed}
        with refused(MissingPartError, "storage.external-settings"):
            read_external({"external": told})
        with refused(MissingPartError, "storage.external-settings"):
            read_external({})
