"""The escape battery: every attempt is stopped by the jail, and succeeds without it where the machine allows."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.jail.battery import Result, planted, run_jailed, run_unjailed
from jobs.jail.battery.host import UNSTOPPED_WITHOUT_JAIL
from jobs.jail.battery.hostile import reaching, seeing, taking
from jobs.jail.battery.hostile.table import ATTEMPTS
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.probe import BWRAP


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


def test_the_machine_is_whole() -> None:
    assert BubblewrapJail().capability().whole


def test_excuses_are_for_attempts_that_exist() -> None:
    assert set(ATTEMPTS) >= UNSTOPPED_WITHOUT_JAIL
