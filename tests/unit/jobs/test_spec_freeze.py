"""Freezing fixes exactly the bytes that were read, and the difference shows a reviewer what is there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from jobs.spec import diff, digest_of, freeze
from lineage.errors import DefinitionError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    (folder / "steps").mkdir(parents=True)
    (folder / "job.toml").write_text("[job]\n")
    (folder / "steps" / "a.sql").write_text("SELECT a\nFROM t\n")
    (folder / "data.bin").write_bytes(b"\xff\x00")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    store.mkdir()
    return store


def test_digest_is_over_sorted_paths_and_contents(folder: Path) -> None:
    contents = {"data.bin": b"\xff\x00", "job.toml": b"[job]\n", "steps/a.sql": b"SELECT a\nFROM t\n"}
    lines = "".join(f"{path}\0{hashlib.sha256(content).hexdigest()}\n" for path, content in sorted(contents.items()))
    assert digest_of(folder) == hashlib.sha256(lines.encode()).hexdigest()


def test_freeze_copies_and_is_idempotent(folder: Path, store: Path) -> None:
    digest = freeze(folder, store)
    assert freeze(folder, store) == digest == digest_of(store / digest) == digest_of(folder)
    assert sorted(path.name for path in store.iterdir()) == [digest]
    assert (store / digest / "steps" / "a.sql").stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("name", ["steps/a.sql", "new.txt"])
def test_any_change_gives_another_digest(folder: Path, name: str) -> None:
    before = digest_of(folder)
    (folder / name).write_text("changed")
    assert digest_of(folder) != before


def test_moving_bytes_between_files_gives_another_digest(folder: Path) -> None:
    before = digest_of(folder)
    (folder / "steps" / "a.sql").rename(folder / "steps" / "b.sql")
    assert digest_of(folder) != before


def test_a_changed_copy_is_noticed(folder: Path, store: Path) -> None:
    digest = freeze(folder, store)
    copy = store / digest / "steps" / "a.sql"
    copy.chmod(0o644)
    copy.write_text("SELECT secret")
    with pytest.raises(DefinitionError) as refusal:
        freeze(folder, store)
    assert refusal.value.code == "job.frozen-changed"


def test_links_are_not_followed(folder: Path, store: Path) -> None:
    (folder / "x.txt").symlink_to("/etc/passwd")
    with pytest.raises(DefinitionError) as refusal:
        freeze(folder, store)
    assert refusal.value.code == "job.not-plain"
    assert not list(store.iterdir())


@pytest.mark.parametrize("name", ["a\nb.txt", "a\u202eb.txt", "a\x1b[31m.txt", "back\\slash"])
def test_names_that_deceive_are_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("x")
    with pytest.raises(DefinitionError) as refusal:
        digest_of(folder)
    assert refusal.value.code in {"job.bad-file-name", "job.path-escapes"}
    assert str(refusal.value.params["path"]).isprintable()


@pytest.mark.parametrize(("files", "size"), [(201, 1), (6, 2 * 1024 * 1024)], ids=["many", "large"])
def test_folders_that_nobody_can_review(folder: Path, files: int, size: int) -> None:
    for number in range(files):
        (folder / f"{number}.txt").write_bytes(b"x" * size)
    with pytest.raises(DefinitionError) as refusal:
        digest_of(folder)
    assert refusal.value.code == "job.folder-large"


def test_a_folder_too_deep(folder: Path) -> None:
    deep = folder.joinpath(*("d" * 12))
    deep.mkdir(parents=True)
    (deep / "x").write_text("x")
    with pytest.raises(DefinitionError) as refusal:
        digest_of(folder)
    assert refusal.value.code == "job.bad-file-name"


def test_a_pipe_does_not_hold_the_reader(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(DefinitionError) as refusal:
        digest_of(folder)
    assert refusal.value.code == "job.not-plain"


def test_no_job_file(folder: Path) -> None:
    (folder / "job.toml").unlink()
    with pytest.raises(DefinitionError) as refusal:
        digest_of(folder)
    assert refusal.value.code == "job.file-missing"


def test_diff(folder: Path, store: Path) -> None:
    old = store / freeze(folder, store)
    assert diff(old, folder) == ""
    (folder / "steps" / "a.sql").write_text("SELECT b\nFROM t\n")
    (folder / "data.bin").write_bytes(b"\xff\x01")
    (folder / "new.md").write_text("hello")
    digests = [hashlib.sha256(content).hexdigest() for content in (b"\xff\x00", b"\xff\x01")]
    assert diff(old, folder) == (
        f"--- a/data.bin\n+++ b/data.bin\n@@ -1 +1 @@\n-sha256:{digests[0]}\n+sha256:{digests[1]}\n"
        "--- /dev/null\n+++ b/new.md\n@@ -0,0 +1 @@\n+hello\n"
        "--- a/steps/a.sql\n+++ b/steps/a.sql\n@@ -1,2 +1,2 @@\n-SELECT a\n+SELECT b\n FROM t\n"
    )


def test_first_diff_shows_everything(folder: Path) -> None:
    shown = diff(None, folder)
    assert "+[job]" in shown
    assert "+SELECT a" in shown


def test_diff_cannot_paint_over_the_page(folder: Path, store: Path) -> None:
    old = store / freeze(folder, store)
    (folder / "steps" / "a.sql").write_text("SELECT a \x1b[2K\rFROM \u202et\n")
    shown = diff(old, folder)
    assert "\\u001b[2K\\u000dFROM \\u202et" in shown
    assert all(character == "\n" or character.isprintable() for character in shown)
