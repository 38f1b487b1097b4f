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
from jobs.jail.runsc_probe import PLACES
from jobs.jail.spec import Ending, Outcome


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(
        os.geteuid() != 0 or not any(place.is_file() for place in PLACES), reason="needs root and an installed runsc"
    ),
]

UID = 150_901

OWN_KERNEL: Final = "the second kernel's own, of this run alone: the host's is neither asked nor shown"
OTHERWISE: Final = {
    **dict.fromkeys(("read-load", "read-kernel-command-line", "walk-system-files", "see-host-root"), OWN_KERNEL),
    **dict.fromkeys(("see-host-devices", "open-raw-devices", "make-message-queue", "raise-priority"), OWN_KERNEL),
    **dict.fromkeys(("ask-for-lock-of-others", "take-lease-on-shared-file"), OWN_KERNEL),
    "be-spared-when-memory-is-short": "a number of the second kernel; the host sees three processes of gVisor, not this one",
    "hide-flags-in-clone3": "a namespace made inside is one of the second kernel's; OCI's filter cannot answer ENOSYS",
    "call-by-32-bit-door": "answered with an error by a kernel that has no second calling convention",
    "run-without-user-namespace": "its table of users is its own; outside, see test_no_process_of_a_run_has_rights_on_the_host",
    "follow-link-in-outbox": "resolved inside the tree of this run; the collector refuses the link",
    "read-platform-input": "the null device, handed over as an open file without a name",
    "write-to-descriptor-of-process-1": "process 1 is the program itself: there is no launcher inside",
    "take-more-memory": "the run ends: the memory of all its processes is one process's on the host",
    "start-more-processes": "threads of two kernels are counted together, so the bound is higher; it ends the run",
}
MADE_NOWHERE: Final = {
    "pipe-that-hangs-reader": "exists in the second kernel alone; nothing of it is in the outbox",
    "socket-in-outbox": "exists in the second kernel alone; nothing of it is in the outbox",
}
ALONE: Final = sorted(name for name, probe in PROBES.items() if probe.group == "limits" and name not in OTHERWISE)


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


@pytest.mark.parametrize("name", sorted(set(PROBES) - set(OTHERWISE)))
def test_the_jail_holds(results: dict[str, Result], name: str) -> None:
    result = results[name]
    assert result.held, f"{result.verdict}: {result.detail}"


@pytest.mark.parametrize("name", sorted({*MINES, *MARKS} - set(MADE_NOWHERE)))
def test_the_collector_holds(results: dict[str, Result], name: str) -> None:
    result = results[name]
    assert result.held, f"{result.verdict}: {result.detail}"


def test_no_probe_broke_by_itself(results: dict[str, Result]) -> None:
    assert [result for result in results.values() if result.verdict == "error"] == []


def test_what_is_said_by_name_exists() -> None:
    assert LOADED
    assert set(PROBES) >= set(OTHERWISE)
    assert {*MINES, *MARKS} >= set(MADE_NOWHERE)


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
