"""Warm jails under attack: the battery in one, and what only a pool could get wrong."""

from __future__ import annotations

import ast
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from jobs.jail import cgroup, late_mount
from jobs.jail.battery import planted, run_jailed
from jobs.jail.battery.host import LIMITS, bounds
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.pool import PooledJail, WarmPool
from jobs.jail.pool_names import UIDS
from jobs.jail.pool_warm import WarmKind
from jobs.jail.probe import BWRAP
from jobs.jail.runtimes import Runtime, python_runtime
from jobs.jail.spec import MEBIBYTE, Ending, JailSpec, Limits, Outcome
from lineage.errors import GateRefusedError, MissingPartError


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0 or not BWRAP.exists(), reason="needs root and bubblewrap"),
]

UID: Final = 151_001
RUNTIME: Final = python_runtime()
SMALL: Final = Limits(memory_bytes=512 * MEBIBYTE, processes=64, seconds=60, outbox_bytes=2 * MEBIBYTE, outbox_files=8)
# A warm interpreter holds more than the battery's own, and would be what the kernel kills for the memory that a probe takes.
ROOMY: Final = replace(LIMITS, memory_bytes=384 * MEBIBYTE)
HOSTILE_MAIN: Final = """
import runpy, sys
def main(job):
    sys.argv = ["hostile", "/job/targets.json"]
    runpy.run_module("hostile", run_name="__main__")
"""
Run = Callable[..., tuple[Outcome, JailSpec]]


class OnlyWarm(PooledJail):
    """A pooled jail that must not fall back: a cold jail would prove nothing here."""

    def run(self, spec: JailSpec, cancelled: Callable[[], bool]) -> Outcome:
        """Wait for a warm jail and see that the run took it."""
        assert self.pool.wait_ready(1, 60)
        before = self.pool.taken_in_all
        outcome = super().run(spec, cancelled)
        assert self.pool.taken_in_all == before + 1
        return outcome


class AsJob(OnlyWarm):
    """Runs the battery's program as an ordinary job, because a warm jail takes nothing else."""

    def run(self, spec: JailSpec, cancelled: Callable[[], bool]) -> Outcome:
        """Put an entry beside the hostile program that calls it."""
        folder = spec.read_only["/job"]
        write_job(folder, HOSTILE_MAIN, {})
        targets = json.loads((folder / "targets.json").read_text(encoding="utf-8"))
        (folder / "targets.json").write_text(json.dumps({**targets, **bounds(ROOMY)}), encoding="utf-8")
        return super().run(
            replace(spec, argv=RUNTIME.run_job, environment=RUNTIME.environment, limits=ROOMY), cancelled
        )


def write_job(folder: Path, main: str, tables: dict[str, str]) -> None:
    plan = {"runtime": "python", "entry": "main.py", "stage": "production", "tables": tables, "steps": []}
    (folder / "run.json").write_text(json.dumps(plan), encoding="utf-8")
    (folder / "main.py").write_text(main, encoding="utf-8")
    folder.chmod(0o755)


def pooled(kind: type[OnlyWarm], folder: Path, runtime: Runtime, limits: Limits, count: int = 1) -> OnlyWarm:
    inner = BubblewrapJail()
    return kind(inner, WarmPool(inner, [WarmKind("python", runtime, limits, count)], folder / "warm"))


def test_a_warm_jail_holds_like_a_cold_one(tmp_path: Path) -> None:
    """The whole battery, in both: the warm one stops what the cold one stops, and tries as much."""
    baits_folder = Path(tempfile.mkdtemp(prefix="shuzha-baits-"))
    try:
        with planted(baits_folder, UID) as baits, pooled(AsJob, tmp_path, RUNTIME, ROOMY) as jail:
            warm = run_jailed(jail, baits, tmp_path / "run")
            cold = run_jailed(BubblewrapJail(), baits, tmp_path / "run")
    finally:
        shutil.rmtree(baits_folder)
    assert [result for result in warm if not result.held] == []
    assert {result.probe for result in warm} == {result.probe for result in cold}
    assert len(warm) > 50


@pytest.fixture
def jail(tmp_path: Path) -> Iterator[OnlyWarm]:
    with pooled(OnlyWarm, tmp_path, RUNTIME, SMALL) as opened:
        yield opened


@pytest.fixture
def run(jail: OnlyWarm, tmp_path: Path) -> Iterator[Run]:
    """Run a job of one ``main`` in a warm jail; cleaned up at the end."""
    made: list[JailSpec] = []

    def go(
        main: str,
        cancelled: Callable[[], bool] = lambda: False,
        uid: int = UID,
        ready: Callable[[Path], None] = lambda _: None,
        **changes: int,
    ) -> tuple[Outcome, JailSpec]:
        name = f"test-{secrets.token_hex(12)}"
        folder, table = tmp_path / f"job-{name}", tmp_path / f"table-{name}"
        folder.mkdir()
        table.mkdir()
        ready(table)
        code = main if "\n" in main else f"import os, time\ndef main(job):\n    {main}\n"
        write_job(folder, code, {})
        mounts = {**RUNTIME.read_only, "/job": folder, "/in/t": table}
        spec = JailSpec(
            name, tmp_path / name, uid, RUNTIME.run_job, RUNTIME.environment, mounts, replace(SMALL, **changes)
        )
        made.append(spec)
        jail.prepare(spec)
        return jail.run(spec, cancelled), spec

    yield go
    for item in made:
        jail.cleanup(item)
        assert not (item.workspace / "jail").exists()


def test_nothing_of_anybody_is_in_a_jail_that_waits(jail: OnlyWarm) -> None:
    """What it holds before it is given away: our own runtime, empty folders, three ends of pipes."""
    assert jail.pool.wait_ready(1, 60)
    (warm,) = jail.pool.waiting()
    (driver,) = [Path(f"/proc/{pid}") for pid in warm.group.members() if _is_driver(Path(f"/proc/{pid}"))]
    assert [list((driver / "root" / name).iterdir()) for name in ("in", "job", "out")] == [[], [], []]
    ends = {end.name: str(end.readlink()) for end in (driver / "fd").iterdir()}
    assert set(ends) == {"0", "1", "2"}
    assert all(end.startswith("pipe:") for end in ends.values())
    assert f"\nUid:\t{warm.spec.uid}\t" in (driver / "status").read_text()
    assert warm.spec.uid in UIDS


def _is_driver(process: Path) -> bool:
    """The interpreter, not bubblewrap, whose command line names it too."""
    return "python" in (process / "exe").readlink().name


def test_the_pipe_is_gone_before_the_first_line(run: Run) -> None:
    outcome, _ = run("job.log([os.readlink(f'/proc/self/fd/{n}') for n in (0, 1, 2)]); job.log(os.read(0, 1))")
    first, second = outcome.log.read_text().splitlines()
    assert first.startswith("['/dev/null', 'pipe:")
    assert second == "b''"


def test_no_jail_is_used_twice(run: Run) -> None:
    """Whatever the first leaves everywhere it can write, the second finds nothing."""
    main = (
        "job.log([sorted(os.listdir(p)) for p in ('/tmp', '/dev/shm', '/out', '/in', '/in/t')]);"
        "[open(p + '/left', 'w').close() for p in ('/tmp', '/dev/shm', '/out')]; import duckdb; duckdb.left = 1"
    )
    told = [
        run(f"import duckdb; job.log(hasattr(duckdb, 'left')); {main}", uid=UID + n)[0].log.read_text() for n in (0, 1)
    ]
    assert told[0] == told[1] == "False\n[[], [], [], ['t'], []]\n"


def test_what_it_writes_belongs_to_the_tenant(run: Run, jail: OnlyWarm, tmp_path: Path) -> None:
    outcome, spec = run(
        "job.save('a.txt', 'a'); job.log((os.getuid(), os.stat('/out').st_uid, os.stat('/out/a.txt').st_uid))"
    )
    assert (outcome.ending, outcome.log.read_text()) == (Ending.DONE, "(1000, 1000, 1000)\n")
    state = (spec.workspace / "jail" / "outbox" / "a.txt").stat()
    assert (state.st_uid, state.st_gid) == (UID, UID)
    assert [item.name for item in jail.collect(spec, tmp_path / "taken")] == ["a.txt"]


@pytest.mark.parametrize(
    ("main", "changes", "ending"),
    [
        pytest.param("pass", {}, Ending.DONE, id="done"),
        pytest.param("raise ValueError", {}, Ending.FAILED, id="failed"),
        pytest.param("time.sleep(60)", {"seconds": 1}, Ending.TIME, id="time"),
        pytest.param("x = bytearray(1 << 30)", {}, Ending.MEMORY, id="memory"),
        pytest.param("open('/out/x', 'wb').write(bytes(8 << 20))", {}, Ending.OUTPUT, id="outbox is full"),
        pytest.param("[open(f'/out/{n}', 'w').close() for n in range(99)]", {}, Ending.OUTPUT, id="too many files"),
        pytest.param("os.kill(os.getpid(), 9)", {}, Ending.FAILED, id="killed by itself"),
    ],
)
def test_every_ending_is_told_as_in_a_cold_jail(run: Run, main: str, changes: dict[str, int], ending: Ending) -> None:
    assert run(main, **changes)[0].ending is ending


def test_cancelling_kills_everything(run: Run) -> None:
    outcome, spec = run("os.fork() or os.setsid(); job.log('on'); time.sleep(600)", lambda: True)
    assert outcome.ending is Ending.CANCELLED
    assert _processes(spec) == frozenset()


def _processes(spec: JailSpec) -> frozenset[int]:
    marker = (spec.workspace / "jail" / "warm").read_text()
    return cgroup.group(marker).members()


MOUNTS: Final = """
def main(job):
    for line in open("/proc/self/mountinfo"):
        left, right = line.split(" - ")
        where, flags, *shared = left.split()[4:]
        if where in ("/in", "/in/t", "/job", "/out"):
            job.log([where, [f for f in flags.split(",") if f in ("ro", "nosuid", "nodev", "noexec", "nosymfollow")], shared])
"""


def test_the_tables_stay_read_only_and_bare(run: Run) -> None:
    """No "shared:" and no "master:" either: nothing that the host mounts later can appear inside."""
    outcome, _ = run(MOUNTS)
    assert [ast.literal_eval(line) for line in sorted(outcome.log.read_text().splitlines())] == [
        ["/in", ["ro", "nosuid", "nodev", "noexec"], []],
        ["/in/t", ["ro", "nosuid", "nodev", "noexec"], []],
        ["/job", ["ro", "nosuid", "nodev"], []],
        ["/out", ["nosuid", "nodev", "noexec", "nosymfollow"], []],
    ]


def without(monkeypatch: pytest.MonkeyPatch, folder: Path, protection: str, instead: str) -> None:
    """Let the pool use a late mount from which one protection was taken away."""
    code = Path(late_mount.__file__).read_text(encoding="utf-8")
    assert code.count(protection) == 1
    (folder / "weakened.py").write_text(code.replace(protection, instead), encoding="utf-8")
    monkeypatch.setattr(late_mount, "__file__", str(folder / "weakened.py"))


LATER: Final = """
import os, time
def main(job):
    while not os.path.exists("/in/t/go"):
        time.sleep(0.02)
    job.log(os.listdir("/in/t/below"))
"""


@pytest.mark.parametrize(
    ("protection", "instead", "seen"),
    [
        pytest.param("propagation=_PRIVATE", "propagation=_PRIVATE", [], id="as it is"),
        pytest.param("propagation=_PRIVATE", "propagation=0", ["secret"], id="without being cut off"),
    ],
)
def test_what_the_host_mounts_later_stays_outside(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protection: str, instead: str, seen: list[str]
) -> None:
    """The innocent twin is a file written later, which does appear: the folder is live, its mounts are not."""
    without(monkeypatch, tmp_path, protection, instead)
    done = False

    def mount_now() -> bool:
        nonlocal done
        (table,) = tmp_path.glob("table-*")
        if not done:
            done = True
            subprocess.run(["mount", "-t", "tmpfs", "later", str(table / "below")], check=True)
            (table / "below" / "secret").touch()
            (table / "go").touch()
        return False

    def share(table: Path) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "shared", str(table)], check=True)
        subprocess.run(["mount", "--make-shared", str(table)], check=True)
        (table / "below").mkdir()

    try:
        outcome, _ = run(LATER, mount_now, ready=share)
        assert outcome.log.read_text() == f"{seen}\n"
    finally:
        (table,) = tmp_path.glob("table-*")
        subprocess.run(["umount", "-R", str(table)], check=True)


WRITES: Final = """
import os
def main(job):
    told = []
    for path in ("/in/t/rows", "/in/new", "/job/main.py", "/out/mine"):
        try:
            open(path, "w").close()
            told.append(path)
        except OSError:
            pass
    job.log(told)
"""


@pytest.mark.parametrize(
    ("protection", "instead", "written"),
    [
        pytest.param("attr_set=flags", "attr_set=flags", ["/out/mine"], id="as it is"),
        pytest.param("attr_set=flags", "attr_set=flags & ~1", ["/in/t/rows", "/out/mine"], id="without read-only"),
        pytest.param("_MAP_OWNERS if owners is not None", "0 if owners is not None", [], id="without mapped owners"),
    ],
)
def test_each_wall_of_the_late_mount_is_the_one_that_holds(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protection: str, instead: str, written: list[str]
) -> None:
    """The row file may be written by everyone: only the mount's flag keeps it."""
    without(monkeypatch, tmp_path, protection, instead)

    def open_rows(table: Path) -> None:
        (table / "rows").touch()
        (table / "rows").chmod(0o666)

    assert run(WRITES, ready=open_rows)[0].log.read_text() == f"{written}\n"


def test_a_source_swapped_for_a_link_is_not_followed(jail: OnlyWarm, tmp_path: Path) -> None:
    """The warm jail refuses it, and so does the cold one that the run falls back to."""
    name = f"test-{secrets.token_hex(12)}"
    for folder in ("job", "table", "other"):
        (tmp_path / folder).mkdir()
    write_job(tmp_path / "job", "def main(job): job.log('ran')", {})
    mounts = {**RUNTIME.read_only, "/job": tmp_path / "job", "/in/t": tmp_path / "table"}
    spec = JailSpec(name, tmp_path / name, UID, RUNTIME.run_job, RUNTIME.environment, mounts, SMALL)
    jail.prepare(spec)
    (tmp_path / "table").rmdir()
    (tmp_path / "table").symlink_to(tmp_path / "other")
    try:
        with pytest.raises(MissingPartError, match=r"jail\.not-made"):
            jail.run(spec, lambda: False)
    finally:
        jail.cleanup(spec)


def test_an_outbox_with_links_is_refused_whole(run: Run, jail: OnlyWarm, tmp_path: Path) -> None:
    outcome, spec = run("os.symlink('/etc/passwd', '/out/a.txt')")
    assert outcome.ending is Ending.DONE
    with pytest.raises(GateRefusedError, match=r"outbox\.link"):
        jail.collect(spec, tmp_path / "taken")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"argv": ("/usr/bin/python3", "-c", "pass")}, id="another program"),
        pytest.param({"environment": {**RUNTIME.environment, "EXTRA": "1"}}, id="another environment"),
        pytest.param({"limits": replace(SMALL, memory_bytes=256 * MEBIBYTE)}, id="less memory"),
        pytest.param({"limits": replace(SMALL, cores=2)}, id="more cores"),
        pytest.param({"limits": replace(SMALL, processes=32)}, id="fewer processes"),
        pytest.param({"limits": replace(SMALL, outbox_bytes=1 << 30)}, id="files larger than its processes may write"),
        pytest.param({"uid": UIDS[5]}, id="a uid of the pool"),
    ],
)
def test_what_is_not_exactly_the_same_starts_cold(tmp_path: Path, changes: dict[str, object]) -> None:
    kind = WarmKind("python", RUNTIME, SMALL)
    (tmp_path / "job").mkdir()
    mounts = {**RUNTIME.read_only, "/job": tmp_path / "job"}
    spec = JailSpec("test-0123456789ab", tmp_path / "run", UID, RUNTIME.run_job, RUNTIME.environment, mounts, SMALL)
    assert kind.fits(spec)
    assert kind.fits(replace(spec, limits=replace(SMALL, seconds=5, outbox_files=3, log_bytes=2048)))
    assert not kind.fits(replace(spec, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["/opt/more", "/etc/secrets", "/in/a/b", "/job/more"])
def test_a_mount_that_is_neither_job_nor_table_starts_cold(tmp_path: Path, place: str) -> None:
    kind = WarmKind("python", RUNTIME, SMALL)
    mounts = {**RUNTIME.read_only, place: tmp_path}
    spec = JailSpec("test-0123456789ab", tmp_path / "run", UID, RUNTIME.run_job, RUNTIME.environment, mounts, SMALL)
    assert not kind.fits(spec)
