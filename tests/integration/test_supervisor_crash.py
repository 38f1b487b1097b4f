"""The supervisor is killed at each step of a run; the next one settles what is left, and nothing runs twice or leaves by halves.

The killed one is a process of its own that carries out the ``supervise`` command; a kill point is the return of one of its own
functions, after which no line of it is executed. One case kills the unchanged command from outside, at the job's first sign of life.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from console.demo.acts_work import promote, supervise
from jobs.jail import cgroup
from jobs.runs import Job, Run, Stage, get_run, queue
from jobs.states import RunState
from jobs.submitting import submit
from jobs.supervisor import outbox_of, outbox_opened
from lineage.kinds import Kind
from lineage.verify import verify
from tests.fixtures_story import Played


pytestmark = [pytest.mark.jail, pytest.mark.spark]

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 120

MANIFEST = """
[job]
name = "NAME"
scenario = "SCENARIO"

[inputs]
visits = "health.visits"

[[run]]
name = "work"
runtime = "python"
entry = "work.py"
memory = "512m"
minutes = 5

[[product]]
name = "files"
kind = "file"
run = "work"
"""
SHORT = """
def main(job):
    for number in range(3):
        job.save(f"part_{number}.csv", job.table("visits").head(10))
    job.log("ready")
"""
ENDLESS = SHORT + "    while True:\n        pass\n"

SPARK = """
def main(job):
    job.log("ready")
    while True:
        job.table("visits").count()
"""

DIES = """
import os, signal, sys
import jobs.carrying as carrying
import jobs.settling as settling
from console.main import main
from jobs.jail.bubblewrap import BubblewrapJail

def dies_in(owner, name, now=lambda *given: True):
    real = getattr(owner, name)
    def last(*given, **more):
        result = real(*given, **more)
        if now(*given):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, last)

point, home = sys.argv[1:]
if point.startswith("moved to "):
    state = point.removeprefix("moved to ")
    dies_in(carrying, "move", lambda domain, identity, to, *rest: to == state)
elif point in ("settle", "_keep"):
    dies_in(settling, point)
else:
    dies_in(BubblewrapJail, point)
sys.exit(main(["supervise", "--once", "--home", home]))
"""

AGAIN = (RunState.SUCCEEDED, "reason.ended.done")
OVER = (RunState.FAILED, "reason.supervisor-died")
DEVELOPMENT, PRODUCTION = Stage.DEVELOPMENT, Stage.PRODUCTION
POINTS = {
    ("moved to preparing", DEVELOPMENT): AGAIN,
    ("prepare", DEVELOPMENT): AGAIN,
    ("moved to running", DEVELOPMENT): OVER,
    ("run", DEVELOPMENT): OVER,
    ("run", PRODUCTION): OVER,
    ("moved to collecting", DEVELOPMENT): OVER,
    ("collect", DEVELOPMENT): OVER,
    ("_keep", PRODUCTION): AGAIN,
    ("settle", DEVELOPMENT): AGAIN,
    ("settle", PRODUCTION): AGAIN,
}
"""Where the first supervisor dies, and how the run must stand after the second. Before ``running`` no line of the job ran, so it may
run. A production run's end is kept until it may be told, so the second supervisor only has to tell it; after ``settle`` only the
cleaning up was left to do."""


@pytest.fixture(scope="module")
def jobs_of_the_tenant(played: Played, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    """A job that ends, one that does not, and one that does not end in Spark; all promoted."""
    made = {}
    for name, code in (("short", SHORT), ("endless", ENDLESS), ("spark", SPARK)):
        folder = tmp_path_factory.mktemp("crash") / name
        folder.mkdir()
        manifest = MANIFEST.replace("NAME", name).replace("SCENARIO", played.play.ids["medical"])
        if name == "spark":
            manifest = manifest.replace('"python"', '"spark"').replace('"512m"', '"2g"')
        (folder / "job.toml").write_text(manifest)
        (folder / "work.py").write_text(code)
        made[name] = submit(played.play.stage, played.session("wang"), folder)
        promote(played.play, made[name])
    return made


@pytest.fixture
def alone(played: Played) -> Iterator[None]:
    """An empty queue before, and after."""
    supervise(played.play)
    yield
    supervise(played.play)


def queued(played: Played, job: Job, stage: Stage) -> str:
    return queue(played.play.stage, played.session("wang"), job.id, 0, stage)


def now(played: Played, identity: str) -> Run:
    with played.play.stage.read() as connection:
        return get_run(connection, identity)


def moves(played: Played, identity: str) -> list[str]:
    """The states that the log says a run came to, in order."""
    kinds = {Kind.RUN_ADVANCED, Kind.RUN_ENDED}
    return [entry.payload["to"] for entry in played.log() if entry.kind in kinds and identity in entry.subjects]


def check_nothing_is_left(played: Played, identity: str) -> None:
    assert cgroup.group(identity).members() == frozenset()
    assert not any(folder.exists() for folder in cgroup.group(identity).folders.values())
    assert str(played.home) not in Path("/proc/self/mountinfo").read_text()
    for name in ("work", "mounts", "settled"):
        folder = played.home / "run" / name
        assert not folder.exists() or list(folder.iterdir()) == [], name
    assert living(identity) == []


def living(identity: str) -> list[int]:
    """Processes that were ever put into a run's control group and do not end by themselves at once."""
    left = []
    for path in Path("/proc").iterdir():
        try:
            mine = path.name.isdigit() and identity in (path / "cgroup").read_text()
            descriptor = os.pidfd_open(int(path.name)) if mine else None
        except OSError:
            continue
        if descriptor is not None:
            if not select.select([descriptor], [], [], 5)[0]:
                left.append(int(path.name))
            os.close(descriptor)
    return left


def check_the_log_holds(played: Played) -> None:
    log = played.play.stage.log
    with played.play.stage.read() as connection:
        found = verify(connection, log.signer.verifier, [log.checkpoint_file.read_text()])
    assert found.problems == ()


@pytest.mark.parametrize(("point", "stage"), list(POINTS))
def test_a_killed_supervisors_run_is_settled_and_runs_at_most_once(
    played: Played, jobs_of_the_tenant: dict[str, Job], alone: None, point: str, stage: Stage
) -> None:
    identity = queued(played, jobs_of_the_tenant["short"], stage)
    killed = subprocess.run(
        [sys.executable, "-c", DIES, point, str(played.home)],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    supervise(played.play)
    found = now(played, identity)
    assert (found.state, found.reason) == POINTS[point, stage]
    counted = Counter(moves(played, identity))
    assert counted["running"] == 1
    assert counted[found.state] == 1
    outbox = outbox_of(played.play.stage, identity)
    if found.state is RunState.SUCCEEDED:
        with outbox_opened(played.play.stage, identity) as kept:
            assert sorted(path.name for path in kept.rglob("*.csv")) == [f"part_{number}.csv" for number in range(3)]
            assert all(path.stat().st_size > 0 for path in kept.rglob("*.csv"))
    else:
        assert not outbox.exists()
    check_nothing_is_left(played, identity)
    check_the_log_holds(played)


@contextmanager
def working(played: Played, identity: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[int, int]]]:
    """The unchanged command at work on a run, with a descriptor of each process of the jail by its id."""
    command = [str(Path(sys.executable).parent / "shuzha"), "supervise", "--once", "--home", str(played.home)]
    platform = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    members: dict[int, int] = {}
    try:
        wait_for_a_sign(played.home / "run" / "work" / identity / "jail" / "log", platform)
        members = {pid: os.pidfd_open(pid) for pid in cgroup.group(identity).members()}
        assert len(members) >= 3
        yield platform, members
        for descriptor in members.values():
            assert select.select([descriptor], [], [], 30)[0], "a process of the jail lives on"
    finally:
        platform.kill()
        platform.wait()
        for descriptor in members.values():
            os.close(descriptor)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_the_unchanged_command_killed_while_the_job_works(
    played: Played, jobs_of_the_tenant: dict[str, Job], alone: None
) -> None:
    """From outside: no process of the jail lives on, and the job does not start a second time."""
    identity = queued(played, jobs_of_the_tenant["endless"], Stage.DEVELOPMENT)
    with working(played, identity) as (platform, _):
        platform.kill()
        platform.wait()
    assert now(played, identity).state is RunState.RUNNING
    supervise(played.play)
    found = now(played, identity)
    assert (found.state, found.reason) == OVER
    assert moves(played, identity) == ["preparing", "running", "failed"]
    check_nothing_is_left(played, identity)
    check_the_log_holds(played)


@pytest.mark.parametrize(
    ("job", "victim"), [("endless", "launcher"), ("endless", "process 1"), ("spark", "java"), ("spark", "launcher")]
)
def test_a_killed_part_of_the_jail_ends_its_run_alone(
    played: Played, jobs_of_the_tenant: dict[str, Job], alone: None, job: str, victim: str
) -> None:
    """The launcher that became the jail, the process that the job calls 1, the virtual machine of Spark."""
    identity = queued(played, jobs_of_the_tenant[job], Stage.DEVELOPMENT)
    with working(played, identity) as (platform, members):
        outermost = [pid for pid in members if parent(pid) == platform.pid]
        inner = [pid for pid in members if parent(pid) in outermost]
        chosen = {"launcher": outermost, "process 1": inner, "java": [pid for pid in members if name_of(pid) == "java"]}
        for pid in chosen[victim]:
            os.kill(pid, signal.SIGKILL)
        assert chosen[victim]
        assert platform.wait(PATIENCE) == 0
    found = now(played, identity)
    assert found.state is RunState.FAILED
    assert moves(played, identity)[:2] == ["preparing", "running"]
    assert not outbox_of(played.play.stage, identity).exists()
    check_nothing_is_left(played, identity)
    check_the_log_holds(played)


def test_a_supervisor_that_is_asked_to_stop_leaves_nothing_behind(
    played: Played, jobs_of_the_tenant: dict[str, Job], alone: None
) -> None:
    identity = queued(played, jobs_of_the_tenant["endless"], Stage.DEVELOPMENT)
    with working(played, identity) as (platform, _):
        platform.send_signal(signal.SIGTERM)
        assert platform.wait(PATIENCE) == 0
    found = now(played, identity)
    assert (found.state, found.reason) == OVER
    check_nothing_is_left(played, identity)


def wait_for_a_sign(log: Path, platform: subprocess.Popen[bytes]) -> None:
    """Look until the job has said that it is ready."""
    deadline = time.monotonic() + PATIENCE
    while not (log.exists() and b"ready" in log.read_bytes()):
        assert platform.poll() is None, "the supervisor ended before the job was ready"
        assert time.monotonic() < deadline, "the job did not get ready"
        time.sleep(0.02)


def test_settling_twice_changes_nothing(played: Played, jobs_of_the_tenant: dict[str, Job], alone: None) -> None:
    identity = queued(played, jobs_of_the_tenant["short"], Stage.DEVELOPMENT)
    arguments = [sys.executable, "-c", DIES, "moved to running", str(played.home)]
    killed = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, check=False, timeout=PATIENCE)
    assert killed.returncode == -signal.SIGKILL
    supervise(played.play)
    size = len(played.log())
    supervise(played.play)
    assert len(played.log()) == size
    assert now(played, identity).state is RunState.FAILED


def test_two_supervisors_do_not_work_at_once(played: Played, alone: None) -> None:
    from console.main import main
    from jobs.supervisor import supervisor_lock

    with supervisor_lock(played.play.stage) as mine:
        assert mine
        assert main(["supervise", "--once", "--home", str(played.home)]) == 30
