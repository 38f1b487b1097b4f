"""The escape battery on a second kernel: what holds in the jail of namespaces holds here, and what is answered otherwise is said by name.

The probes of limits run one by one: where the jail of namespaces kills one process, this one may end with its whole run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from jobs.jail.battery import Result, planted, run_jailed, run_mines
from jobs.jail.battery.host import hostile_spec
from jobs.jail.battery.hostile.__main__ import LOADED
from jobs.jail.battery.hostile.mines import MARKS, MINES
from jobs.jail.battery.hostile.table import PROBES
from jobs.jail.runsc import RunscJail
from jobs.jail.runsc_answers import ENDS_THE_RUN, LEFT_NOWHERE, OTHERWISE
from jobs.jail.runsc_probe import PLACES
from jobs.jail.spec import Ending, Outcome


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(
        os.geteuid() != 0 or not any(place.is_file() for place in PLACES), reason="needs root and an installed runsc"
    ),
]

UID = 150_901

EXCUSED: Final = {**OTHERWISE, **ENDS_THE_RUN}
ALONE: Final = sorted(name for name, probe in PROBES.items() if probe.group == "limits" and name not in EXCUSED)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Result]]:
    baits_folder = Path(tempfile.mkdtemp(prefix="shuzha-baits-"))
    workspace = tmp_path_factory.mktemp("battery")
    jail = RunscJail()
    together = tuple(name for name, probe in PROBES.items() if probe.group != "limits")
    try:
        with planted(baits_folder, UID) as baits:
            found = [*run_jailed(jail, baits, workspace / "run", together)]
            for name in ALONE:
                found += run_jailed(jail, baits, workspace / "run", (name,))
            found += run_mines(jail, baits, workspace / "mines")
        yield {result.probe: result for result in found}
    finally:
        shutil.rmtree(baits_folder)


@pytest.mark.parametrize("name", sorted(set(PROBES) - set(EXCUSED)))
def test_the_jail_holds(results: dict[str, Result], name: str) -> None:
    result = results[name]
    assert result.held, f"{result.verdict}: {result.detail}"


@pytest.mark.parametrize("name", sorted({*MINES, *MARKS} - set(LEFT_NOWHERE)))
def test_the_collector_holds(results: dict[str, Result], name: str) -> None:
    result = results[name]
    assert result.held, f"{result.verdict}: {result.detail}"


def test_no_probe_broke_by_itself(results: dict[str, Result]) -> None:
    assert [result for result in results.values() if result.verdict == "error"] == []


def test_what_is_said_by_name_exists() -> None:
    assert LOADED
    assert set(PROBES) >= set(EXCUSED)
    assert {*MINES, *MARKS} >= set(LEFT_NOWHERE)


def ended(tmp_path: Path, name: str) -> Outcome:
    baits_folder = Path(tempfile.mkdtemp(prefix="shuzha-baits-"))
    jail = RunscJail()
    try:
        with planted(baits_folder, UID + 1) as baits:
            spec = hostile_spec(baits, tmp_path / "run", {"only": (name,)})
            try:
                jail.prepare(spec)
                return jail.run(spec, lambda: False)
            finally:
                jail.cleanup(spec)
    finally:
        shutil.rmtree(baits_folder)


def test_more_memory_than_granted_ends_the_run(tmp_path: Path) -> None:
    assert ended(tmp_path, "take-more-memory").ending is Ending.MEMORY


def test_the_second_kernel_shows_nothing_of_the_host(results: dict[str, Result]) -> None:
    """What is answered otherwise is answered from another kernel: none of the host's own words are in it."""
    told = " ".join(result.detail for name, result in results.items() if name in OTHERWISE)
    for word in (os.uname().nodename, os.uname().release, Path("/proc/cmdline").read_text().strip()):
        assert word not in told or word in {"", "localhost"}
