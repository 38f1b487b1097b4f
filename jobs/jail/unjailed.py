"""No jail at all: for unit tests of what lies above it, refused anywhere else (law 1)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from jobs.jail.collect import collect_outbox
from jobs.jail.spec import Capability, Collected, Ending, JailSpec, Outcome, check_host_path
from jobs.jail.watch import NOT_ENDED_ITSELF
from lineage.errors import MissingPartError


_PAUSE: Final = 0.01


class UnjailedJail:
    """Runs a program as an ordinary child; keeps the contract's order and endings, and none of its walls.

    Places inside are rewritten to the host's in arguments and environment, because nothing is mounted.
    """

    def capability(self) -> Capability:
        """Tell the truth."""
        check_unit_tests()
        return Capability(network=False, files=False, uid=False, limits=False, kernel=False, missing=("a jail",))

    def prepare(self, spec: JailSpec) -> None:
        """Make the run's folder and its empty outbox."""
        check_unit_tests()
        for inside, host in spec.read_only.items():
            check_host_path(inside, host)
        self.cleanup(spec)
        (_place(spec) / "outbox").mkdir(parents=True)

    def run(self, spec: JailSpec, cancelled: Callable[[], bool]) -> Outcome:
        """Run the program to its end."""
        check_unit_tests()
        place = _place(spec)
        if not (place / "outbox").is_dir():
            raise MissingPartError("jail.outbox-gone")
        places = {"/out": str(place / "outbox"), **{inside: str(host) for inside, host in spec.read_only.items()}}
        begun, log = time.monotonic(), place / "log"
        with log.open("wb") as written, _start(spec, places, written.fileno()) as process:
            forced = _wait(process, begun + spec.limits.seconds, cancelled)
        code = NOT_ENDED_ITSELF if forced else _as_shell(process.returncode)
        os.truncate(log, min(log.stat().st_size, spec.limits.log_bytes))
        ending = forced or (Ending.DONE if code == 0 else Ending.FAILED)
        return Outcome(ending, code, time.monotonic() - begun, 0.0, 0, log)

    def collect(self, spec: JailSpec, into: Path) -> tuple[Collected, ...]:
        """Copy the outbox out, whole or not at all, by the one collector."""
        check_unit_tests()
        folder = _place(spec) / "outbox"
        if not folder.is_dir():
            raise MissingPartError("jail.outbox-gone")
        return collect_outbox(folder, os.geteuid(), spec.limits, into)

    def cleanup(self, spec: JailSpec) -> None:
        """Remove everything of this run."""
        with suppress(FileNotFoundError):
            shutil.rmtree(_place(spec))


def check_unit_tests() -> None:
    """Refuse to go on outside unit tests.

    Raises:
        MissingPartError: this is no unit test; tenant code runs in a jail or not at all (law 1).
    """
    if os.environ.get("SHUZHA_UNIT_TESTS") != "1":
        raise MissingPartError("jail.none-in-tests-only")


def _place(spec: JailSpec) -> Path:
    return spec.workspace / "jail"


def _start(spec: JailSpec, places: Mapping[str, str], log: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [_outside(part, places) for part in spec.argv],
            env={name: _outside(value, places) for name, value in spec.environment.items()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=_place(spec),
            start_new_session=True,
        )
    except OSError as error:
        raise MissingPartError("jail.not-made", detail=str(error.strerror)) from error


def _outside(text: str, places: Mapping[str, str]) -> str:
    """Rewrite places inside to the host's, the longest first, whole parts of a path only."""
    parts = text.split(":")
    for inside in sorted(places, key=len, reverse=True):
        parts = [
            places[inside] + part.removeprefix(inside) if part == inside or part.startswith(f"{inside}/") else part
            for part in parts
        ]
    return ":".join(parts)


def _wait(process: subprocess.Popen[bytes], deadline: float, cancelled: Callable[[], bool]) -> Ending | None:
    """Wait for the end, or end it with its whole session."""
    forced: Ending | None = None
    try:
        while process.poll() is None and forced is None:
            if time.monotonic() >= deadline:
                forced = Ending.TIME
            elif cancelled():
                forced = Ending.CANCELLED
            else:
                time.sleep(_PAUSE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return forced


def _as_shell(code: int) -> int:
    """Write the end by a signal as 128 + its number."""
    return 128 - code if code < 0 else code
