"""Watch one started run: keep the beginning of its log, ask whether it was cancelled, end it at its time."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.jail.spec import Ending
from lineage.errors import MissingPartError


_CHUNK: Final = 64 * 1024
_ASK_EVERY: Final = 0.1
_PAUSE: Final = 0.005
"""Seconds between two readings of a log that is already cut; 64 KiB each, so a talkative program is hardly held up."""
_STATUS_BYTES: Final = 64 * 1024
_CUT: Final = b"\n[log cut here: the limit of the run is reached]\n"
NOT_ENDED_ITSELF: Final = -1


@dataclass(frozen=True)
class Started:
    """A launcher that was started, and the reading ends of the two pipes it writes to."""

    process: subprocess.Popen[bytes]
    log: int
    status: int


class CutLog:
    """A file that keeps the first ``limit`` bytes and says so when there were more; the rest is counted as read and dropped."""

    def __init__(self, path: Path, limit: int) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._left = limit
        self._cut = False

    def write(self, data: bytes) -> None:
        """Keep what still fits."""
        kept = data[: self._left]
        self._left -= len(kept)
        _write_all(self._descriptor, kept)
        if len(kept) < len(data) and not self._cut:
            self._cut = True
            _write_all(self._descriptor, _CUT)

    @property
    def is_cut(self) -> bool:
        """Whether more was written than is kept."""
        return self._cut

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def watch(started: Started, log: CutLog, seconds: int, cancelled: Callable[[], bool]) -> Ending | None:
    """Read the log until the launcher ends or must be ended.

    Returns:
        TIME or CANCELLED when it must be ended by force, None when it ended itself.
    """
    deadline = time.monotonic() + seconds
    ask_at = 0.0
    alive = os.pidfd_open(started.process.pid)
    try:
        while True:
            ready, _, _ = select.select([started.log, alive], [], [], _ASK_EVERY)
            if started.log in ready and (not _forward(started.log, log) or log.is_cut):
                # Every writer closed the pipe, or its bytes are only thrown away: a flood must not keep the platform busy.
                ready, _, _ = select.select([alive], [], [], _PAUSE if log.is_cut else _ASK_EVERY)
            if alive in ready:
                return None
            now = time.monotonic()
            if now >= deadline:
                return Ending.TIME
            if now >= ask_at:
                ask_at = now + _ASK_EVERY
                if cancelled():
                    return Ending.CANCELLED
    finally:
        os.close(alive)


def _forward(pipe: int, log: CutLog) -> bool:
    """Move one chunk from the pipe to the log; False at the end of the pipe."""
    data = os.read(pipe, _CHUNK)
    log.write(data)
    return bool(data)


def drain(pipe: int, log: CutLog) -> None:
    """Move what is left in the pipe; call only when every writer is dead."""
    while _forward(pipe, log):
        pass


def exit_code(status: int, *, killed: bool) -> int:
    """Read what launcher and bubblewrap reported after their death.

    bubblewrap writes ``exit-code`` only if the program was really started.

    Raises:
        MissingPartError: the program never started, though nobody killed it (law 7).
    """
    written = b""
    while len(written) < _STATUS_BYTES and (data := os.read(status, _CHUNK)):
        written += data
    try:
        reports = [json.loads(line) for line in written.splitlines()]
    except ValueError:
        raise MissingPartError("jail.not-made", detail="status") from None
    for report in reports:
        if "error" in report:
            raise MissingPartError("jail.not-made", detail=ascii(report["error"])[:200])
        if "exit-code" in report:
            return int(report["exit-code"])
    if not killed:
        raise MissingPartError("jail.not-made", detail="bubblewrap")
    return NOT_ENDED_ITSELF
