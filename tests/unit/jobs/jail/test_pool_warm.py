"""Warm jails, as far as no jail is needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobs.jail import cgroup, pool_names
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.pool import WarmPool
from jobs.jail.pool_warm import GO, READY, LateMountError, WarmJail, WarmKind, prepare_warm
from jobs.jail.runtimes import Runtime, python_runtime
from jobs.jail.spec import JailSpec, Limits
from jobs.sdk import warm as inside


KIND = WarmKind("python", python_runtime(), Limits())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Folders that stand for the kernel's, of version 1."""
    for controller in ("memory", "pids", "cpu", "cpuacct"):
        (tmp_path / controller).mkdir()
        (tmp_path / controller / "cgroup.procs").touch()
    return tmp_path


def warm_jail(tmp_path: Path, group: cgroup.Group) -> WarmJail:
    runtime = KIND.runtime
    spec = JailSpec(
        "warm-0123456789ab",
        tmp_path / "w",
        pool_names.UIDS[0],
        runtime.get_warm("python"),
        runtime.environment,
        late=True,
    )
    return WarmJail(KIND, spec, group)


def test_both_sides_say_the_same_words() -> None:
    """The driver is mounted into the jail and imports nothing of the platform, so the words are written down twice."""
    assert (inside.READY, inside.GO) == (READY, GO)


def test_names_tell_whose_they_are_and_uids_are_the_pools(tree: Path) -> None:
    name, uid = pool_names.new_name()
    assert name.split("-")[:3] == ["warm", str(uid), str(os.getpid())]
    assert uid in pool_names.UIDS
    assert not pool_names.is_orphan(name)
    assert pool_names.is_orphan(name.replace(f"-{os.getpid()}-", "-4194305-"))


def test_what_waits_weighs_less_on_both_versions(tree: Path, tmp_path: Path) -> None:
    one = cgroup.group("warm-x", tree)
    one.create(Limits())
    warm_jail(tmp_path, one)._weigh(50)
    assert (tree / "cpu" / "shuzha" / "warm-x" / "cpu.shares").read_text() == "512"
    two = cgroup.Group("warm-x", {"": tmp_path})
    warm_jail(tmp_path, two)._weigh(50)
    assert (tmp_path / "cpu.weight").read_text() == "50"


def test_the_peak_begins_anew_where_the_kernel_lets_it(tree: Path, tmp_path: Path) -> None:
    one = cgroup.group("warm-x", tree)
    one.create(Limits())
    peak = tree / "memory" / "shuzha" / "warm-x" / "memory.max_usage_in_bytes"
    peak.write_text("4096")
    warm_jail(tmp_path, one)._forget_peak()
    assert one.peak_bytes() == 0
    warm_jail(tmp_path, cgroup.Group("warm-x", {"": tmp_path}))._forget_peak()
    assert not (tmp_path / "memory.max_usage_in_bytes").exists()


def test_one_that_was_never_started_takes_nothing(tree: Path, tmp_path: Path) -> None:
    jail = warm_jail(tmp_path, cgroup.group("warm-x", tree))
    with pytest.raises(LateMountError):
        jail.give(jail.spec)


@pytest.mark.parametrize(("name", "count"), [("ruby", 1), ("spark", 0)])
def test_a_kind_that_nobody_knows_is_no_kind(name: str, count: int) -> None:
    with pytest.raises(ValueError, match="warm jail"):
        WarmKind(name, KIND.runtime, KIND.limits, count)


def test_a_kind_that_cannot_be_made_is_given_up_and_the_pool_lives_on(tmp_path: Path) -> None:
    base = KIND.runtime
    gone = Runtime({**base.read_only, "/opt/gone": tmp_path / "gone"}, base.environment, base.argv)
    pool = WarmPool(BubblewrapJail(), [WarmKind("python", gone, KIND.limits)], tmp_path / "warm")
    pool.open()
    assert pool.wait_given_up(20)
    assert pool.waiting() == ()
    pool.close()
    assert list((tmp_path / "warm").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="names are taken from the machine's control groups")
def test_a_warm_jail_is_named_before_anything_is_made(tmp_path: Path) -> None:
    jail = prepare_warm(KIND, tmp_path)
    assert (jail.spec.late, jail.alive, jail.spec.workspace.exists()) == (True, False, False)
    jail.end()
