"""All or nothing over two folders: whatever ends the block, and even when the process dies in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lineage.errors import MissingPartError
from sandbox.ingest.transaction import UnsettledError, all_or_nothing


def snapshot(folder: Path) -> Mapping[str, bytes | None]:
    """Everything below a folder: names, and the bytes of files."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A table of one version, and no quarantine yet."""
    log = tmp_path / "table" / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("{}")
    (log / "_last_checkpoint").write_text("old")
    (tmp_path / "table" / "part-0.parquet").write_bytes(b"rows")
    return tmp_path


def change(home: Path) -> None:
    """What an import does: adds files and folders, rewrites the pointer to the checkpoint, makes the quarantine."""
    log = home / "table" / "_delta_log"
    (log / "00000000000000000001.json").write_text("{}")
    (log / "_last_checkpoint").write_text("new")
    (log / "_staged_commits").mkdir()
    (home / "table" / "part-1.parquet").write_bytes(b"more")
    (home / "quarantine").mkdir()
    (home / "quarantine" / "part-0.parquet").write_bytes(b"bad")


def change_and_fail(home: Path, error: type[BaseException]) -> None:
    change(home)
    raise error


def test_a_good_end_keeps_the_change_and_no_trace_of_the_way(home: Path) -> None:
    with all_or_nothing(home / "table", home / "quarantine") as work:
        assert work.folder.stat().st_mode & 0o777 == 0o700
        change(home)
    assert sorted(path.name for path in home.iterdir()) == ["quarantine", "table"]
    assert (home / "table" / "_delta_log" / "_last_checkpoint").read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_any_other_end_undoes_it(home: Path, error: type[BaseException]) -> None:
    before = snapshot(home)
    with pytest.raises(error), all_or_nothing(home / "table", home / "quarantine"):
        change_and_fail(home, error)
    assert snapshot(home) == before


def test_what_is_written_after_the_end_is_undone_by_the_next_import(home: Path) -> None:
    before = snapshot(home)
    with pytest.raises(UnsettledError), all_or_nothing(home / "table", home / "quarantine"):
        raise UnsettledError("import.engine-failed", reason="test")
    change(home)
    with all_or_nothing(home / "table", home / "quarantine") as work:
        assert work.repaired
    assert snapshot(home) == before


CRASH = """
import os, sys
from pathlib import Path
from sandbox.ingest.transaction import all_or_nothing
home = Path(sys.argv[1])
with all_or_nothing(home / "table", home / "quarantine") as work:
    (work.folder / "staged.parquet").write_bytes(b"raw")
    (home / "table" / "part-1.parquet").write_bytes(b"more")
    (home / "table" / "_delta_log" / "_last_checkpoint").write_text("new")
    (home / "quarantine").mkdir()
    os._exit(9)
"""


def test_the_next_import_repairs_after_a_crash(home: Path) -> None:
    before = snapshot(home)
    died = subprocess.run([sys.executable, "-c", CRASH, str(home)], check=False, env={**os.environ, "PYTHONPATH": "."})
    assert died.returncode == 9
    assert snapshot(home) != before
    with all_or_nothing(home / "table", home / "quarantine") as work:
        assert work.repaired
        assert {name: data for name, data in snapshot(home).items() if ".import" not in name} == before
    assert snapshot(home) == before


def test_a_crash_before_the_journal_was_whole_has_changed_nothing(home: Path) -> None:
    before = snapshot(home)
    (home / ".table.import").mkdir()
    (home / ".table.import" / "journal.json.draft").write_text('{"cut off')
    with all_or_nothing(home / "table", home / "quarantine") as work:
        assert work.repaired
    assert snapshot(home) == before


def test_imports_of_one_folder_follow_each_other(home: Path) -> None:
    with all_or_nothing(home / "table", home / "quarantine"):
        script = CRASH.replace("with all", "print('waits', flush=True)\nwith all")
        other = subprocess.Popen(
            [sys.executable, "-c", script, str(home)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "."}
        )
        assert other.stdout is not None
        assert other.stdout.readline() == b"waits\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.3)
        assert not (home / "quarantine").exists()
    assert other.wait(30) == 9
    assert (home / "quarantine").exists()
    other.stdout.close()


@pytest.mark.parametrize("place", ["table", "quarantine"])
def test_a_store_that_is_not_there_is_not_made(tmp_path: Path, place: str) -> None:
    places = {"table": tmp_path / "table", "quarantine": tmp_path / "quarantine"}
    places[place] = tmp_path / "closed" / "x"
    with pytest.raises(MissingPartError, match=r"import\.folder-missing"), all_or_nothing(**places):
        pass
    assert not list(tmp_path.iterdir())


def test_a_path_that_a_reader_would_unescape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a%20b").mkdir()
    place = tmp_path / "a%20b" / "table"
    with (
        pytest.raises(MissingPartError, match=r"import\.folder-percent"),
        all_or_nothing(place, tmp_path / "quarantine"),
    ):
        pass
