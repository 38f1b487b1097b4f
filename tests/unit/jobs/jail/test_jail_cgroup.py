"""Control groups of both versions, on folders that stand for the kernel's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.jail import cgroup
from jobs.jail.spec import MEBIBYTE, Limits
from lineage.errors import MissingPartError


LIMITS = Limits(memory_bytes=64 * MEBIBYTE, processes=32, cores=2)


def version_one(root: Path, *controllers: str) -> None:
    for controller in controllers:
        (root / controller).mkdir()
        (root / controller / "cgroup.procs").touch()


def version_two(root: Path, controllers: str) -> None:
    (root / "cgroup.controllers").write_text(controllers)
    (root / "cgroup.subtree_control").touch()


def test_version_one_sets_every_limit(tmp_path: Path) -> None:
    version_one(tmp_path, "memory", "pids", "cpu", "cpuacct", "freezer")
    group = cgroup.group("run-1", tmp_path)
    group.create(LIMITS)
    folder = "shuzha/run-1"
    assert (tmp_path / "memory" / folder / "memory.limit_in_bytes").read_text() == str(64 * MEBIBYTE)
    assert (tmp_path / "pids" / folder / "pids.max").read_text() == "32"
    assert (tmp_path / "cpu" / folder / "cpu.cfs_quota_us").read_text() == "200000"
    assert {door.parent.parent.parent.name for door in group.doors} == {"memory", "pids", "cpu", "cpuacct", "freezer"}


def test_version_two_sets_every_limit(tmp_path: Path) -> None:
    version_two(tmp_path, "cpuset cpu io memory pids")
    group = cgroup.group("run-1", tmp_path)
    group.create(LIMITS)
    folder = tmp_path / "shuzha" / "run-1"
    assert group.unified
    assert (folder / "memory.max").read_text() == str(64 * MEBIBYTE)
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "pids.max").read_text() == "32"
    assert (folder / "cpu.max").read_text() == "200000 100000"
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"


def test_version_two_tells_use_and_kills(tmp_path: Path) -> None:
    version_two(tmp_path, "cpu memory pids")
    group = cgroup.group("run-1", tmp_path)
    group.create(LIMITS)
    folder = tmp_path / "shuzha" / "run-1"
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (folder / "memory.peak").write_text("4096\n")
    (folder / "memory.events").write_text("oom 0\noom_kill 1\n")
    assert (group.cpu_seconds(), group.peak_bytes(), group.killed_for_memory()) == (1.5, 4096, True)


@pytest.mark.parametrize("absent", ["memory", "pids", "cpu", "cpuacct"])
def test_without_a_controller_there_is_no_jail(tmp_path: Path, absent: str) -> None:
    version_one(tmp_path, *({"memory", "pids", "cpu", "cpuacct"} - {absent}))
    with pytest.raises(MissingPartError) as caught:
        cgroup.group("run-1", tmp_path)
    assert caught.value.params["detail"] == absent


def test_version_two_without_controllers_is_not_used(tmp_path: Path) -> None:
    version_two(tmp_path, "cpu")
    with pytest.raises(MissingPartError):
        cgroup.group("run-1", tmp_path)


def test_a_kernel_that_does_not_tell_is_not_believed(tmp_path: Path) -> None:
    version_one(tmp_path, "memory", "pids", "cpu", "cpuacct")
    group = cgroup.group("run-1", tmp_path)
    group.create(LIMITS)
    (group.folders["memory"] / "memory.oom_control").write_text("oom_kill_disable 0\n")
    with pytest.raises(MissingPartError):
        group.killed_for_memory()


def test_a_limit_that_cannot_be_set_is_a_missing_part(tmp_path: Path) -> None:
    version_one(tmp_path, "memory", "pids", "cpu", "cpuacct")
    group = cgroup.group("run-1", tmp_path)
    (tmp_path / "memory" / "shuzha" / "run-1" / "memory.limit_in_bytes").mkdir(parents=True)
    with pytest.raises(MissingPartError):
        group.create(LIMITS)


@dataclass(frozen=True)
class Dying(cgroup.Group):
    """A group of version 2 whose processes die when the kernel's own file is written."""

    def members(self) -> frozenset[int]:
        told = (self.folders[""] / "cgroup.kill").read_text()
        return frozenset() if told == "1" else frozenset({2**22 + 1})


def test_version_two_kills_by_the_kernels_own_file(tmp_path: Path) -> None:
    (tmp_path / "cgroup.kill").touch()
    Dying("run-1", {"": tmp_path}).kill()
    assert (tmp_path / "cgroup.kill").read_text() == "1"


@pytest.mark.parametrize("absent", ["cpu", "memory", "pids"])
def test_version_two_needs_every_controller(tmp_path: Path, absent: str) -> None:
    version_two(tmp_path, " ".join({"cpu", "memory", "pids", "io"} - {absent}))
    with pytest.raises(MissingPartError) as caught:
        cgroup.group("run-1", tmp_path)
    assert caught.value.code == "jail.no-limits"


def test_version_two_of_a_kernel_that_does_not_tell_the_peak(tmp_path: Path) -> None:
    version_two(tmp_path, "cpu memory pids")
    group = cgroup.group("run-1", tmp_path)
    group.create(LIMITS)
    assert group.peak_bytes() == 0


def test_a_second_run_of_one_name_lifts_the_swap_before_the_memory(tmp_path: Path) -> None:
    """Memory plus swap may never be below memory: the kernel refuses the other order."""
    version_one(tmp_path, "memory", "pids", "cpu", "cpuacct")
    group = cgroup.group("run-1", tmp_path)
    folder = group.folders["memory"]
    folder.mkdir(parents=True)
    (folder / "memory.memsw.limit_in_bytes").touch()
    group.create(LIMITS)
    order = [path.name for path, _ in group._settings(LIMITS)]
    assert order[:3] == ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
    assert (folder / "memory.memsw.limit_in_bytes").read_text() == str(64 * MEBIBYTE)
