"""The escape battery: every attempt is stopped by the jail, and succeeds without it where the machine allows."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.jail import bubblewrap, options
from jobs.jail.battery import Result, planted, run_jailed, run_unjailed
from jobs.jail.battery.host import UNSTOPPED_WITHOUT_JAIL
from jobs.jail.battery.hostile import reaching, seeing, taking
from jobs.jail.battery.hostile.table import ATTEMPTS
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.probe import BWRAP
from jobs.jail.spec import JailSpec


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0 or not BWRAP.exists(), reason="needs root and bubblewrap"),
]

UID = 150_001
LOADED = (seeing, reaching, taking)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Result]]]:
    """Both runs, once: the baits lie where every user may go, so that nothing but the jail keeps them."""
    baits_folder = Path(tempfile.mkdtemp(prefix="shuzha-baits-"))
    workspace = tmp_path_factory.mktemp("battery") / "run"
    try:
        with planted(baits_folder, UID) as baits:
            jailed = run_jailed(BubblewrapJail(), baits, workspace, UID)
            unjailed = run_unjailed(baits, UID)
        yield {
            "jailed": {result.attempt: result for result in jailed},
            "unjailed": {result.attempt: result for result in unjailed},
        }
    finally:
        shutil.rmtree(baits_folder)


@pytest.mark.parametrize("name", sorted(ATTEMPTS))
def test_the_jail_holds(results: dict[str, dict[str, Result]], name: str) -> None:
    result = results["jailed"][name]
    assert result.held, f"{result.verdict}: {result.detail}"


@pytest.mark.parametrize("name", sorted(set(ATTEMPTS) - UNSTOPPED_WITHOUT_JAIL))
def test_the_attempt_works_without_the_jail(results: dict[str, dict[str, Result]], name: str) -> None:
    """An attempt that fails everywhere would prove nothing above."""
    result = results["unjailed"][name]
    assert result.verdict == "escaped", result.detail


def test_no_attempt_broke_by_itself(results: dict[str, dict[str, Result]]) -> None:
    broken = [result for run in results.values() for result in run.values() if result.verdict == "error"]
    assert broken == []


def without(*names: str) -> Callable[..., list[str]]:
    """Give bubblewrap's options without some of them; ``name=1`` takes the value that follows away too."""

    def weakened(spec: JailSpec, filter_descriptor: int, status_descriptor: int) -> list[str]:
        chosen = options.bubblewrap_options(spec, filter_descriptor, status_descriptor)
        for name in names:
            flag, _, width = name.partition("=")
            place = chosen.index(flag)
            del chosen[place : place + 1 + int(width or 0)]
        return chosen

    return weakened


@pytest.mark.parametrize(
    ("removed", "escape"),
    [
        pytest.param(("--unshare-net",), "connect to a listener on the host's loopback", id="network"),
        pytest.param(("--unshare-net",), "connect to an abstract socket of the host", id="abstract sockets"),
        pytest.param(("--unshare-ipc",), "attach System V memory of the host", id="shared memory"),
        pytest.param(("--unshare-uts", "--hostname=1"), "learn the host's name", id="host name"),
        pytest.param(("--seccomp=1",), "set up userfaultfd", id="filter: kernel interfaces"),
        pytest.param(("--seccomp=1",), "trace at all", id="filter: tracing"),
        pytest.param(("--seccomp=1",), "store a key for others", id="filter: keys"),
        pytest.param(("--seccomp=1",), "switch address randomisation off", id="filter: personality"),
    ],
)
def test_each_wall_is_the_one_that_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: tuple[str, ...], escape: str
) -> None:
    """Take one wall away and its attack escapes: the battery above is not stopped by something else by accident."""
    monkeypatch.setattr(bubblewrap, "bubblewrap_options", without(*removed))
    baits_folder = Path(tempfile.mkdtemp(prefix="shuzha-baits-"))
    try:
        with planted(baits_folder, UID + 1) as baits:
            (result,) = run_jailed(BubblewrapJail(), baits, tmp_path / "run", UID + 1, only=(escape,))
    finally:
        shutil.rmtree(baits_folder)
    assert result.verdict == "escaped", result.detail


def test_the_machine_is_whole() -> None:
    assert BubblewrapJail().capability().whole


def test_excuses_are_for_attempts_that_exist() -> None:
    assert set(ATTEMPTS) >= UNSTOPPED_WITHOUT_JAIL
