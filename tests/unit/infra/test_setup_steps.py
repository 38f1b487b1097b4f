"""Setup keeps only what is locked, says what to type, and does nothing when nothing is to be done."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.setup import jars, python_packages, system_parts
from infra.setup.common import SetupError
from infra.setup.jars import Jar
from infra.setup.system_parts import Part


CONTENT = b"a jar"
LOCKED = Jar(hashlib.sha256(CONTENT).hexdigest(), "org.example:thing_2.13:1.0")


def lock_file(folder: Path) -> Path:
    path = folder / "jars.lock"
    path.write_text(f"# comment\n{LOCKED.sha256} {LOCKED.coordinate}\n", encoding="utf-8")
    return path


def bringing(content: bytes) -> jars.Fetch:
    def fetch(wanted: Sequence[Jar], folder: Path) -> None:
        for jar in wanted:
            (folder / jar.file_name).write_bytes(content)

    return fetch


def nothing_to_fetch(wanted: Sequence[Jar], folder: Path) -> None:
    raise AssertionError(wanted)


def test_locked_jar_is_kept_and_not_fetched_twice(tmp_path: Path) -> None:
    folder = tmp_path / "jars"
    jars.provide(folder, lock_file(tmp_path), bringing(CONTENT))
    assert [path.name for path in folder.iterdir()] == ["thing_2.13-1.0.jar"]
    jars.provide(folder, lock_file(tmp_path), nothing_to_fetch)


def test_other_bytes_are_refused_and_removed(tmp_path: Path) -> None:
    folder = tmp_path / "jars"
    with pytest.raises(SetupError, match="refused"):
        jars.provide(folder, lock_file(tmp_path), bringing(CONTENT + b"!"))
    assert list(folder.iterdir()) == []


def test_altered_jar_is_fetched_again_and_a_stray_one_removed(tmp_path: Path) -> None:
    folder = tmp_path / "jars"
    folder.mkdir()
    (folder / LOCKED.file_name).write_bytes(b"altered")
    (folder / "stray.jar").write_bytes(b"")
    jars.provide(folder, lock_file(tmp_path), bringing(CONTENT))
    assert [path.read_bytes() for path in folder.iterdir()] == [CONTENT]


@pytest.mark.parametrize(("digest", "coordinate"), [("abc", "a:b:1"), ("A" * 64, "a:b:1"), ("a" * 64, "a:b")])
def test_malformed_lock_is_refused(digest: str, coordinate: str) -> None:
    with pytest.raises(ValueError, match="not a locked jar"):
        Jar(digest, coordinate)


def test_locks_of_this_repository_are_read() -> None:
    assert [jar.file_name for jar in jars.read_lock()] == ["delta-spark_4.2_2.13-4.4.0.jar", "delta-storage-4.4.0.jar"]
    assert {part.command for part in system_parts.read_parts()} >= {
        "java",
        "bwrap",
        "gocryptfs",
        "fusermount3",
        "mkfs.ext4",
    }


def part(command: str, used_by: str = "product") -> Part:
    return Part(name="Thing", command=command, package="thing", needed_for="a test", used_by=used_by)


def refuse_to_install(packages: Sequence[str]) -> None:
    raise AssertionError(packages)


def test_part_is_found_on_the_path_or_by_pattern(tmp_path: Path) -> None:
    (tmp_path / "tool-15").touch()
    assert part("sh").is_there()
    assert part(f"{tmp_path}/tool-*").is_there()
    assert not part(f"{tmp_path}/other-*").is_there()
    assert not part("shuzha-no-such-program").is_there()


def test_nothing_is_installed_when_all_is_there() -> None:
    system_parts.provide([part("sh")], may_install=lambda: True, installer=refuse_to_install)


def test_root_installs_what_is_missing(tmp_path: Path) -> None:
    asked: list[str] = []

    def install(packages: Sequence[str]) -> None:
        asked.extend(packages)
        (tmp_path / "tool").touch()

    system_parts.provide([part("sh"), part(f"{tmp_path}/tool")], may_install=lambda: True, installer=install)
    assert asked == ["thing"]


def test_without_root_the_line_to_type_is_said() -> None:
    with pytest.raises(SetupError, match=r"Thing is missing.*\n.*sudo apt-get .* thing$"):
        system_parts.provide([part("shuzha-no-such")], may_install=lambda: False, installer=refuse_to_install)


def test_part_of_tests_alone_is_only_told(capsys: pytest.CaptureFixture[str]) -> None:
    system_parts.provide([part("shuzha-no-such", "tests")], may_install=lambda: False, installer=refuse_to_install)
    assert "sudo apt-get" in capsys.readouterr().err


def test_part_that_installing_does_not_bring_is_an_error() -> None:
    with pytest.raises(SetupError):
        system_parts.provide([part("shuzha-no-such")], may_install=lambda: True, installer=lambda _: None)


@pytest.mark.parametrize(
    ("shown", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("not java", 0),
    ],
)
def test_java_version(shown: str, major: int) -> None:
    assert system_parts.java_major(shown) == major


def test_wrong_java_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n", encoding="utf-8")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(SetupError, match="unset JAVA_HOME"):
        system_parts.check_java()


def test_stamp_follows_every_lock(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("a", encoding="utf-8")
    other.write_text("b", encoding="utf-8")
    before = python_packages.digest([one, other])
    assert python_packages.digest([one, other]) == before
    assert python_packages.digest([other, one]) != before
    other.write_text("c", encoding="utf-8")
    assert python_packages.digest([one, other]) != before
