"""A real selftest's result for tests: production is refused without one, so worlds that come that far hold this machine's own.

Tried once for a start of the machine and a jail, as the product itself takes it, and kept beside the machine's temporary files.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from jobs.jail.battery import Surroundings
from jobs.selftest import file_result, try_jail
from jobs.selftest_machine import boot, profile
from jobs.selftest_result import LEAST_PROBES, Control, ProbeResult, SelftestResult, State, read_result
from sandbox.domain import Domain


_TRIES = 3


@cache
def real_result() -> SelftestResult:
    """Give this machine's result; skips where no jail can be made at all."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("bwrap", "gocryptfs"))):
        pytest.skip("production needs a jail that was tried: root, bubblewrap and gocryptfs")
    for _ in range(_TRIES):
        # Read anew: a jail that was changed since this process began is another one.
        profile.cache_clear()
        # Both halves of a test run ask at their start; the second waits for what the first finds.
        with _place().with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            result = _kept() or _tried()
        profile.cache_clear()
        if result.profile == profile():
            return result
    pytest.fail("the jail's sources changed each time it was tried")


def _place() -> Path:
    return Path(tempfile.gettempdir(), f"shuzha-tests-{boot()}-{profile()[:24]}.json")


def _kept() -> SelftestResult | None:
    kept = _place()
    if not kept.is_file() or kept.stat().st_uid != os.geteuid():
        return None
    return read_result(json.loads(kept.read_text(encoding="utf-8")))


def _tried() -> SelftestResult:
    kept = _place()
    result = try_jail("gocryptfs", Surroundings())
    fresh = kept.with_suffix(f".{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(result.json()), encoding="utf-8")
    fresh.rename(kept)
    return result


def made_up(count: int = LEAST_PROBES, **changed: object) -> SelftestResult:
    """Make a result of no machine at all up, for what is asked of results and not of jails."""
    one = ProbeResult("read-host-file", "files", State.HELD, Control.ESCAPED, "ENOENT")
    values: dict[str, object] = {
        "machine": {"architecture": "none", "boot": "another-start", "kernel": "0", "bubblewrap": "0"},
        "profile": "0" * 64,
        "begun": "2026-11-01T00:00:00.000Z",
        "seconds": 9,
        "runs": ("development", "production"),
        "tenants": 2,
        "probes": tuple(replace(one, probe=f"read-host-file-{number}") for number in range(count)),
    }
    return SelftestResult(**{**values, **changed})  # type: ignore[arg-type]


def file_real(domain: Domain) -> None:
    """File this machine's result in a test's domain, as its platform does at its start."""
    file_result(domain, real_result())
