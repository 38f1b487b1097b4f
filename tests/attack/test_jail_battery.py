"""The escape battery: every attempt is stopped by the jail, and succeeds without it where the machine allows."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.jail.battery import TWO_WALLS, Result, planted, run_jailed, run_mines, run_unjailed
from jobs.jail.battery.hostile.__main__ import LOADED
from jobs.jail.battery.hostile.mines import MARKS, MINES
from jobs.jail.battery.hostile.table import PROBES
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.probe import BWRAP


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0 or not BWRAP.exists(), reason="needs root and bubblewrap"),
]

UID = 150_001
GROUPS = ("files", "network", "processes", "kernel", "limits", "channels")
LEAST = 75


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Result]]]:
    """All three runs, once: the baits lie where every user may go, so that nothing but the jail keeps them."""
    baits_folder = Path(tempfile.mkdtemp(prefix="shuzha-baits-"))
    workspace = tmp_path_factory.mktemp("battery")
    try:
        with planted(baits_folder, UID) as baits:
            jailed = run_jailed(BubblewrapJail(), baits, workspace / "run")
            mines = run_mines(BubblewrapJail(), baits, workspace / "mines")
            unjailed = run_unjailed(baits)
        yield {
            "jailed": {result.probe: result for result in jailed},
            "mines": {result.probe: result for result in mines},
            "unjailed": {result.probe: result for result in unjailed},
        }
    finally:
        shutil.rmtree(baits_folder)


@pytest.mark.parametrize("name", sorted(PROBES))
def test_the_jail_holds(results: dict[str, dict[str, Result]], name: str) -> None:
    result = results["jailed"][name]
    assert result.held, f"{result.verdict}: {result.detail}"


@pytest.mark.parametrize("name", sorted({**MINES, **MARKS}))
def test_the_collector_holds(results: dict[str, dict[str, Result]], name: str) -> None:
    result = results["mines"][name]
    assert result.held, f"{result.verdict}: {result.detail}"


@pytest.mark.parametrize("name", sorted(set(PROBES) - TWO_WALLS))
def test_the_attempt_works_without_the_jail(results: dict[str, dict[str, Result]], name: str) -> None:
    """An attempt that fails everywhere would prove nothing above."""
    result = results["unjailed"][name]
    assert result.verdict == "escaped", result.detail


def test_no_attempt_broke_by_itself(results: dict[str, dict[str, Result]]) -> None:
    broken = [result for run in results.values() for result in run.values() if result.verdict == "error"]
    assert broken == []


def test_the_battery_is_as_large_as_promised() -> None:
    """Each group has probes, and none is there twice."""
    assert {probe.group for probe in PROBES.values()} == set(GROUPS)
    assert len(LOADED) == len(GROUPS)
    assert len(PROBES) + len(MINES) + len(MARKS) >= LEAST
    assert not set(PROBES) & {*MINES, *MARKS}


def test_the_machine_is_whole() -> None:
    assert BubblewrapJail().capability().whole


def test_excuses_are_for_attempts_that_exist() -> None:
    assert set(PROBES) >= TWO_WALLS
