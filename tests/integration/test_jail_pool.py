"""The life of warm jails: kept ready, used once, thrown away, and gone with their platform."""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from jobs.jail import cgroup, late_mount, pool_names
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.outbox import _mount_points
from jobs.jail.pool import PooledJail, WarmPool
from jobs.jail.pool_settings import pooled
from jobs.jail.pool_warm import WarmKind
from jobs.jail.probe import BWRAP
from jobs.jail.runtimes import python_runtime, spark_runtime
from jobs.jail.spec import MEBIBYTE, Ending, JailSpec, Limits, Outcome
from jobs.runs import Stage as RunStage
from jobs.runs import get_run, queue
from jobs.states import RunState
from jobs.supervisor import Supervisor, read_log
from lineage.errors import MissingPartError
from tests.factories import Stage
from tests.fixtures_domain import WorldAt
from tests.fixtures_lanes import fill_tables, submit_code


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0 or not BWRAP.exists(), reason="needs root and bubblewrap"),
]

UID: Final = 151_101
REPOSITORY: Final = Path(__file__).resolve().parents[2]
RUNTIME: Final = python_runtime()
LIMITS: Final = Limits(memory_bytes=512 * MEBIBYTE, processes=64, seconds=60, outbox_bytes=2 * MEBIBYTE)
KIND: Final = WarmKind("python", RUNTIME, LIMITS)
MAIN: Final = (
    "def main(job):\n    job.log(job.sql('SELECT SUM(cost) AS c FROM visits').iloc[0, 0])\n    job.save('a.txt', 'a')\n"
)


@pytest.fixture
def spec(tmp_path: Path) -> Iterator[JailSpec]:
    with one_spec(tmp_path, KIND, MAIN) as made:
        yield made


@contextmanager
def one_spec(place: Path, kind: WarmKind, main: str) -> Iterator[JailSpec]:
    write_deltalake(place / "visits", pa.table({"district": ["a", "b", "a"], "cost": [1, 2, 3]}))
    (place / "job").mkdir()
    plan = {"runtime": kind.name, "entry": "main.py", "stage": "development", "tables": {"visits": "/in/visits"}}
    (place / "job" / "run.json").write_text(json.dumps(plan))
    (place / "job" / "main.py").write_text(main)
    mounts = {**kind.runtime.read_only, "/job": place / "job", "/in/visits": place / "visits"}
    name = f"test-{secrets.token_hex(12)}"
    made = JailSpec(name, place / name, UID, kind.runtime.run_job, kind.runtime.environment, mounts, kind.limits)
    try:
        yield made
    finally:
        BubblewrapJail().cleanup(made)


@pytest.fixture
def warm(tmp_path: Path) -> Iterator[PooledJail]:
    inner = BubblewrapJail()
    with PooledJail(inner, WarmPool(inner, [KIND], tmp_path / "warm")) as jail:
        yield jail
    assert list((tmp_path / "warm").iterdir()) == []
    assert groups_of(os.getpid()) == []


def groups_of(platform: int) -> list[str]:
    """List the control groups of warm jails that a platform made."""
    return [name for name in pool_names.groups() if name.split("-")[2] == str(platform)]


def run(jail: PooledJail, spec: JailSpec) -> Outcome:
    jail.prepare(spec)
    return jail.run(spec, lambda: False)


def test_a_run_takes_the_warm_jail_and_another_one_is_made(warm: PooledJail, spec: JailSpec, tmp_path: Path) -> None:
    assert warm.pool.wait_ready(1, 60)
    (first,) = warm.pool.waiting()
    outcome = run(warm, spec)
    assert (outcome.ending, outcome.exit_code, outcome.log.read_text()) == (Ending.DONE, 0, "6.0\n")
    assert [item.name for item in warm.collect(spec, tmp_path / "taken")] == ["a.txt"]
    assert (warm.pool.taken_in_all, first.alive) == (1, False)
    assert not any(folder.exists() for folder in first.group.folders.values())
    assert warm.pool.wait_ready(1, 60)
    (second,) = warm.pool.waiting()
    assert second.spec.uid != first.spec.uid


def test_what_it_used_before_is_not_the_runs(warm: PooledJail, spec: JailSpec) -> None:
    assert warm.pool.wait_ready(1, 60)
    (jail,) = warm.pool.waiting()
    before = jail.group.cpu_seconds()
    outcome = run(warm, spec)
    cold = BubblewrapJail()
    cold.prepare(spec)
    assert before > 0.1
    assert outcome.cpu_seconds < cold.run(spec, lambda: False).cpu_seconds


def test_without_a_warm_one_it_starts_cold(warm: PooledJail, spec: JailSpec) -> None:
    assert warm.pool.wait_ready(1, 60)
    warm.pool.close()
    assert run(warm, spec).ending is Ending.DONE
    assert warm.pool.taken_in_all == 0


def test_one_that_died_is_not_given_away(warm: PooledJail, spec: JailSpec) -> None:
    assert warm.pool.wait_ready(1, 60)
    (jail,) = warm.pool.waiting()
    jail.started.process.kill()
    jail.started.process.wait()
    assert run(warm, spec).ending is Ending.DONE
    assert not jail.alive


def test_one_that_is_too_old_is_not_given_away(tmp_path: Path, spec: JailSpec) -> None:
    inner = BubblewrapJail()
    with PooledJail(inner, WarmPool(inner, [KIND], tmp_path / "warm", max_age=0.0)) as jail:
        assert run(jail, spec).ending is Ending.DONE
        assert jail.pool.taken_in_all == 0


def test_when_the_late_mount_fails_the_run_starts_cold_and_soon_nobody_tries_again(
    warm: PooledJail, spec: JailSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "late_mount.py"
    broken.write_text("raise SystemExit(97)")
    monkeypatch.setattr(late_mount, "__file__", str(broken))
    for _ in range(3):
        assert warm.pool.wait_ready(1, 60)
        outcome = run(warm, spec)
        assert (outcome.ending, outcome.log.read_text()) == (Ending.DONE, "6.0\n")
    assert warm.pool.taken_in_all == 3
    assert not warm.pool.wait_ready(1, 1)


def test_what_was_never_prepared_does_not_run(warm: PooledJail, spec: JailSpec) -> None:
    assert warm.pool.wait_ready(1, 60)
    with pytest.raises(MissingPartError, match=r"jail\.outbox-gone"):
        warm.run(spec, lambda: False)


def test_two_threads_never_get_the_same(warm: PooledJail, spec: JailSpec) -> None:
    assert warm.pool.wait_ready(1, 60)
    together = threading.Barrier(8)
    taken = []

    def take() -> None:
        together.wait(10)
        taken.append(warm.pool.take(spec))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    (one,) = [jail for jail in taken if jail is not None]
    warm.pool.give_back(one)


def test_an_exception_while_asking_ends_the_run(warm: PooledJail, spec: JailSpec) -> None:
    assert warm.pool.wait_ready(1, 60)
    (jail,) = warm.pool.waiting()

    def fail() -> bool:
        raise KeyError("asking")

    warm.prepare(spec)
    with pytest.raises(KeyError):
        warm.run(spec, fail)
    assert jail.group.members() == frozenset()


PLATFORM: Final = """
import json, sys
from pathlib import Path
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.pool import PooledJail, WarmPool
from jobs.jail.pool_warm import WarmJail, WarmKind
from jobs.jail.runtimes import python_runtime
from jobs.jail.spec import JailSpec, Limits
given = json.load(sys.stdin)
runtime, limits = python_runtime(), Limits(**given["limits"])
inner = BubblewrapJail()
pool = WarmPool(inner, [WarmKind("python", runtime, limits)], Path(given["warm"]))
def stop_here(*_):
    print("there", flush=True)
    sys.stdin.close()
    while True:
        __import__("signal").pause()
if given["point"] == "warming":
    begin = WarmJail.begin
    def begin_and_stop(warm, jail):
        begin(warm, jail)
        while len(warm.group.members()) < 3:
            pass
        stop_here()
    WarmJail.begin = begin_and_stop
with PooledJail(inner, pool) as jail:
    if given["point"] == "warming":
        import threading
        threading.Event().wait()
    assert pool.wait_ready(1, 60)
    if given["point"] == "ready":
        stop_here()
    mounts = {**runtime.read_only, "/job": Path(given["job"]), "/in/visits": Path(given["table"])}
    spec = JailSpec(given["name"], Path(given["workspace"]), given["uid"], runtime.run_job, runtime.environment, mounts, limits)
    jail.prepare(spec)
    log = spec.workspace / "jail" / "log"
    def look():
        if b"on" in log.read_bytes():
            stop_here()
        return False
    jail.run(spec, look)
"""
ENDLESS: Final = (
    "import os, time\ndef main(job):\n    os.fork() or os.setsid()\n    job.log('on')\n    time.sleep(1000)\n"
)


@pytest.mark.parametrize("point", ["warming", "ready", "running"])
def test_when_the_platform_is_killed_nothing_is_left(tmp_path: Path, spec: JailSpec, point: str) -> None:
    (tmp_path / "job" / "main.py").write_text(ENDLESS)
    limits = {"memory_bytes": 512 * MEBIBYTE, "processes": 64, "seconds": 60, "outbox_bytes": 2 * MEBIBYTE}
    given = {
        "point": point,
        "warm": str(tmp_path / "warm"),
        "job": str(tmp_path / "job"),
        "limits": limits,
        "name": spec.name,
        "workspace": str(spec.workspace),
        "uid": UID,
        "table": str(tmp_path / "visits"),
    }
    platform = subprocess.Popen(
        [sys.executable, "-c", PLATFORM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        start_new_session=True,
    )
    assert platform.stdin is not None
    assert platform.stdout is not None
    platform.stdin.write(json.dumps(given).encode())
    platform.stdin.close()
    assert platform.stdout.readline() == b"there\n"
    platform.stdout.close()
    names = groups_of(platform.pid)
    assert names
    members = [os.pidfd_open(pid) for name in names for pid in cgroup.group(name).members()]
    assert members
    platform.send_signal(signal.SIGKILL)
    platform.wait()
    for descriptor in members:
        assert select.select([descriptor], [], [], 20)[0], "a process of a warm jail outlived the platform"
        os.close(descriptor)
    inner = BubblewrapJail()
    jail = PooledJail(inner, WarmPool(inner, [KIND], tmp_path / "warm"))
    # Only the run's own cleanup, as the next platform does it, then the next platform's pool.
    jail.cleanup(spec)
    with jail:
        assert groups_of(platform.pid) == []
    assert list((tmp_path / "warm").iterdir()) == []
    assert [point for point in _mount_points() if str(tmp_path) in point] == []


def test_a_platform_that_lives_is_not_swept(warm: PooledJail, tmp_path: Path) -> None:
    assert warm.pool.wait_ready(1, 60)
    (jail,) = warm.pool.waiting()
    assert pool_names.sweep(tmp_path / "warm") == 0
    assert jail.alive
    assert not pool_names.is_orphan("warm-and-something-else")
    assert pool_names.is_orphan(f"warm-{pool_names.UIDS[0]}-{os.getpid()}-1-00")


def test_names_that_are_no_warm_jails_end_nothing() -> None:
    for name in ("", "..", "../shuzha", "test-0123456789ab", "warm-1"):
        pool_names.end_group(name)
        assert pool_names.members(name) == frozenset()


def test_a_warm_spark_starts_at_once(tmp_path: Path) -> None:
    limits = Limits(memory_bytes=2048 * MEBIBYTE, cores=2, seconds=300, outbox_bytes=4 * MEBIBYTE)
    kind = WarmKind("spark", spark_runtime(2, limits.memory_bytes, REPOSITORY / ".jars"), limits)
    inner = BubblewrapJail()
    main = MAIN.replace(".iloc[0, 0]", ".collect()[0][0]")
    pool = WarmPool(inner, [kind], tmp_path / "warm")
    with one_spec(tmp_path, kind, main) as made, PooledJail(inner, pool) as jail:
        assert pool.wait_ready(1, 300)
        outcome = run(jail, made)
        assert (outcome.ending, outcome.log.read_text()) == (Ending.DONE, "6\n")
        assert [item.name for item in jail.collect(made, tmp_path / "taken")] == ["a.txt"]
        assert pool.taken_in_all == 1


def test_the_supervisor_needs_to_know_nothing(world_at: WorldAt, tmp_path: Path) -> None:
    """A submitted job of a real tenant runs in a warm jail, by nothing but the domain's settings."""
    world = world_at(Stage.PROVISIONED)
    fill_tables(world)
    code = "def main(job):\n    job.log(len(job.table('visits')))\n    job.save('a.txt', 'a')\n"
    job = submit_code(world, "processor", "scenario", "quick", code)
    run_id = queue(world.domain, world.session("processor"), job, 0, RunStage.DEVELOPMENT)
    settings = {"warm": [{"runtime": "python", "memory": "512m"}]}
    with pooled(BubblewrapJail(), settings, tmp_path / "warm", REPOSITORY / ".jars") as jail:
        assert isinstance(jail, PooledJail)
        assert jail.pool.wait_ready(1, 120)
        assert Supervisor(world.domain, jail, REPOSITORY / ".jars").drain() == 1
        assert jail.pool.taken_in_all == 1
    with world.domain.read() as connection:
        found = get_run(connection, run_id)
    assert (found.state, found.reason) == (RunState.SUCCEEDED, "reason.ended.done")
    assert read_log(world.domain, found) == "100\n"
