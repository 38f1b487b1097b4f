"""Watching a run: the log that is cut, and what launcher and bubblewrap reported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobs.jail.watch import NOT_ENDED_ITSELF, CutLog, exit_code
from lineage.errors import MissingPartError


def reported(text: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    return reading


def test_a_log_keeps_its_beginning_and_says_that_it_was_cut(tmp_path: Path) -> None:
    log = CutLog(tmp_path / "log", 10)
    for part in (b"12345", b"67890", b"more", b"and more"):
        log.write(part)
    log.close()
    kept = (tmp_path / "log").read_bytes()
    assert kept.startswith(b"1234567890\n[log cut here")
    assert kept.count(b"cut here") == 1


def test_a_log_that_fits_is_whole(tmp_path: Path) -> None:
    log = CutLog(tmp_path / "log", 10)
    log.write(b"1234567890")
    log.close()
    assert (tmp_path / "log").read_bytes() == b"1234567890"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "log").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        CutLog(tmp_path / "log", 10)


@pytest.mark.parametrize("code", [0, 1, 137])
def test_exit_code_of_the_program(code: int) -> None:
    assert exit_code(reported(b'{"child-pid": 7}\n{"exit-code": %d}\n' % code), killed=False) == code


def test_a_program_that_never_started_is_an_error() -> None:
    with pytest.raises(MissingPartError) as caught:
        exit_code(reported(b'{"child-pid": 7}\n'), killed=False)
    assert caught.value.code == "jail.not-made"


def test_a_program_that_was_killed_has_no_exit_code() -> None:
    assert exit_code(reported(b'{"child-pid": 7}\n'), killed=True) == NOT_ENDED_ITSELF


def test_the_launchers_reason_is_told_even_if_it_was_killed() -> None:
    with pytest.raises(MissingPartError) as caught:
        exit_code(reported(b'{"error": "keyring: Disk quota exceeded"}\n'), killed=True)
    assert "keyring" in str(caught.value.params["detail"])


def test_a_garbled_report_is_no_exit_code() -> None:
    with pytest.raises(MissingPartError):
        exit_code(reported(b'{"exit-code": 0'), killed=False)
