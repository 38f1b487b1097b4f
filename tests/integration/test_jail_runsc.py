"""The jail of a second kernel, gVisor, as it is installed on this machine: the life of a run, and real jobs in Python and Spark."""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from jobs.jail import cgroup
from jobs.jail.runsc import RunscJail
from jobs.jail.runsc_probe import PLACES
from jobs.jail.runtimes import Runtime, python_runtime, spark_runtime
from jobs.jail.spec import MEBIBYTE, Collected, Ending, JailSpec, Limits, Outcome
from lineage.errors import GateRefusedError, MissingPartError


INSTALLED = next((place for place in PLACES if place.is_file()), None)
pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0 or INSTALLED is None, reason="needs root and an installed runsc"),
]

UID = 150_801
REPOSITORY = Path(__file__).resolve().parents[2]
JARS = REPOSITORY / ".jars"
Make = Callable[..., JailSpec]


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def jail() -> RunscJail:
    found = RunscJail()
    capability = found.capability()
    assert capability.whole, capability.missing
    assert capability.kernel
    return found


@pytest.fixture
def make(tmp_path: Path, jail: RunscJail) -> Iterator[Make]:
    """Make a specification that runs a shell script; every one is cleaned up, and nothing of it may be left."""
    made: list[JailSpec] = []

    def build(script: str, *, uid: int = UID, read_only: dict[str, Path] | None = None, **limits: int) -> JailSpec:
        name = f"test-{secrets.token_hex(12)}"
        bounds = {"memory_bytes": 256 * MEBIBYTE, "processes": 64, "seconds": 60} | limits
        argv = ("/bin/sh", "-c", script)
        spec = JailSpec(name, tmp_path / name, uid, argv, {"PATH": "/usr/bin:/bin"}, read_only or {}, Limits(**bounds))
        made.append(spec)
        return spec

    yield build
    for item in made:
        jail.cleanup(item)
        assert not (item.workspace / "jail").exists()
        assert not any(folder.exists() for folder in cgroup.group(item.name).folders.values())


def run(jail: RunscJail, spec: JailSpec, cancelled: Callable[[], bool] = never) -> Outcome:
    jail.prepare(spec)
    return jail.run(spec, cancelled)


def when_it_says(spec: JailSpec, word: bytes) -> Callable[[], bool]:
    return lambda: word in (spec.workspace / "jail" / "log").read_bytes()


def test_a_program_runs_on_a_kernel_of_its_own_and_its_outbox_is_taken(
    jail: RunscJail, make: Make, tmp_path: Path
) -> None:
    (tmp_path / "visits").mkdir()
    (tmp_path / "visits" / "rows").write_text("rows\n")
    script = "uname -r; id -u; cat /in/visits/rows; mkdir /out/d; echo a > /out/d/a.txt; echo b > /out/b.txt"
    spec = make(script, read_only={"/in/visits": tmp_path / "visits"})
    outcome = run(jail, spec)
    assert (outcome.ending, outcome.exit_code) == (Ending.DONE, 0)
    release, uid, rows = outcome.log.read_text().split()
    assert release != os.uname().release
    assert (uid, rows) == ("1000", "rows")
    assert 0 < outcome.peak_bytes <= spec.limits.memory_bytes
    assert 0 < outcome.cpu_seconds < 10
    taken = jail.collect(spec, tmp_path / "taken")
    assert [(item.name, item.path.read_text()) for item in taken] == [("b.txt", "b\n"), ("d/a.txt", "a\n")]


@pytest.mark.parametrize(
    ("script", "limits", "ending", "exit_code"),
    [
        pytest.param("exit 7", {}, Ending.FAILED, 7, id="exit code"),
        pytest.param("exit 128", {}, Ending.FAILED, 128, id="the code that runsc itself uses"),
        pytest.param("kill -SEGV $$", {}, Ending.FAILED, 139, id="signal"),
        pytest.param("trap '' TERM INT; while :; do :; done", {"seconds": 2}, Ending.TIME, -1, id="time"),
        pytest.param("exec dd if=/dev/zero of=/dev/null bs=300M count=1", {}, Ending.MEMORY, -1, id="memory"),
        pytest.param("head -c 3000000 /dev/zero > /out/a", {"outbox_bytes": MEBIBYTE}, Ending.OUTPUT, 1, id="outbox"),
        pytest.param("sleep 1000 & exit 0", {}, Ending.DONE, 0, id="a child left behind"),
    ],
)
def test_endings(
    jail: RunscJail, make: Make, script: str, limits: dict[str, int], ending: Ending, exit_code: int
) -> None:
    outcome = run(jail, make(script, **limits))
    assert (outcome.ending, outcome.exit_code) == (ending, exit_code)


def test_a_fork_bomb_ends_with_its_own_run(jail: RunscJail, make: Make) -> None:
    spec = make("i=0; while [ $i -lt 400 ]; do sleep 50 & i=$((i+1)); done; echo all; wait", processes=16, seconds=20)
    outcome = run(jail, spec)
    assert outcome.ending is not Ending.DONE
    assert "all" not in outcome.log.read_text().splitlines()


def test_what_the_program_says_cannot_pass_for_the_platforms_report(jail: RunscJail, make: Make) -> None:
    """The report of a start that failed comes by a descriptor that nothing inside has."""
    line = json.dumps({"error": "creating container", "msg": "creating container"})
    outcome = run(jail, make(f"for n in 1 2 3 4 5 6 7 8 9; do echo '{line}' >&$n; done 2>/dev/null; exit 5"))
    assert (outcome.ending, outcome.exit_code) == (Ending.FAILED, 5)


def test_a_program_that_is_not_there_is_no_failure_of_the_job(jail: RunscJail, make: Make, tmp_path: Path) -> None:
    spec = make("exit 0")
    name = spec.name
    absent = JailSpec(name, tmp_path / name, UID, ("/usr/bin/nothing",), {}, {}, spec.limits)
    with pytest.raises(MissingPartError) as caught:
        run(jail, absent)
    assert caught.value.code == "jail.not-made"


def test_cancelled(jail: RunscJail, make: Make) -> None:
    spec = make("echo ready; trap '' TERM; while :; do sleep 1; done")
    jail.prepare(spec)
    outcome = jail.run(spec, when_it_says(spec, b"ready"))
    assert (outcome.ending, outcome.exit_code) == (Ending.CANCELLED, -1)


def test_running_again_starts_anew(jail: RunscJail, make: Make) -> None:
    spec = make("ls /out; echo a > /out/a")
    jail.prepare(spec)
    assert jail.run(spec, never).ending is Ending.DONE
    again = jail.run(spec, never)
    assert again.log.read_text() == "a\n"
    jail.prepare(spec)
    assert jail.run(spec, never).log.read_text() == ""


def test_two_tenants_at_once_do_not_meet(jail: RunscJail, make: Make) -> None:
    specs = [
        make("ls /proc | grep -c '^[0-9]'; ls /out; echo ready; exec sleep 50", uid=uid) for uid in (UID + 1, UID + 2)
    ]
    outcomes: dict[int, Outcome] = {}
    both = threading.Barrier(2)

    def go(spec: JailSpec) -> None:
        def met() -> bool:
            return when_it_says(spec, b"ready")() and both.wait(60) >= 0

        outcomes[spec.uid] = run(jail, spec, met)

    threads = [threading.Thread(target=go, args=(spec,)) for spec in specs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [outcomes[spec.uid].ending for spec in specs] == [Ending.CANCELLED, Ending.CANCELLED]
    # The shell, ls and grep: nobody else's.
    assert all(int(outcomes[spec.uid].log.read_text().split()[0]) <= 3 for spec in specs)


def test_no_process_of_a_run_has_rights_on_the_host(jail: RunscJail, make: Make) -> None:
    """Beside the monitor, which waits: the second kernel and the file server have no capability over the host's users."""
    spec = make("echo ready; exec sleep 50")
    seen: dict[str, tuple[str, str]] = {}

    def look() -> bool:
        if not when_it_says(spec, b"ready")():
            return False
        for pid in cgroup.group(spec.name).members():
            status = dict(
                line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
            )
            users = Path(f"/proc/{pid}/uid_map").read_text().split()
            seen[f"{status['Name']} {pid}"] = (status["Uid"].split()[0], " ".join(users))
        return True

    jail.prepare(spec)
    jail.run(spec, look)
    owners = {uid for uid, _ in seen.values()}
    assert len(seen) >= 3
    # The monitor alone is root, and alone has the host's users.
    assert [name for name, (uid, _) in seen.items() if uid == "0"] == [
        name for name, (_, users) in seen.items() if users.startswith("0 0 ")
    ]
    assert owners <= {"0", "65534", str(2**31 + UID), str(UID)}


PLATFORM = """
import json, sys
from pathlib import Path
from jobs.jail.runsc import RunscJail
from jobs.jail.spec import JailSpec, Limits
given = json.load(sys.stdin)
spec = JailSpec(given["name"], Path(given["workspace"]), given["uid"], tuple(given["argv"]), {"PATH": "/usr/bin"}, {}, Limits())
jail = RunscJail()
jail.prepare(spec)
log = spec.workspace / "jail" / "log"
told = False
def cancelled():
    global told
    if not told and b"ready" in log.read_bytes():
        told = True
        print("ready", flush=True)
    return False
jail.run(spec, cancelled)
"""


def test_when_the_platform_is_killed_the_jail_dies_and_the_next_one_starts_clean(
    jail: RunscJail, make: Make, tmp_path: Path
) -> None:
    spec = make("setsid sleep 1000 & echo left > /out/left.txt; echo ready; exec sleep 1000", uid=UID + 5)
    given = {"name": spec.name, "workspace": str(spec.workspace), "uid": spec.uid, "argv": spec.argv}
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
    assert platform.stdout.readline() == b"ready\n"
    members = [os.pidfd_open(pid) for pid in cgroup.group(spec.name).members()]
    assert len(members) >= 3
    platform.send_signal(signal.SIGKILL)
    platform.wait()
    platform.stdout.close()
    for descriptor in members:
        assert select.select([descriptor], [], [], 20)[0], "a process of the jail outlived the platform"
        os.close(descriptor)
    jail.prepare(spec)
    assert jail.collect(spec, tmp_path / "taken") == ()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("ln -s /etc/passwd /out/a", "outbox.link"),
        ("echo a > /out/a; ln /out/a /out/b", "outbox.hard-link"),
        ("echo a > /out/a; chmod 4755 /out/a", "outbox.mode"),
        ("echo a > '/out/a b'", "outbox.name"),
    ],
)
def test_hostile_leavings_are_refused(jail: RunscJail, make: Make, tmp_path: Path, script: str, code: str) -> None:
    spec = make(script)
    assert run(jail, spec).ending is Ending.DONE
    with pytest.raises(GateRefusedError) as caught:
        jail.collect(spec, tmp_path / "taken")
    assert caught.value.code == code


def test_pipes_and_sockets_in_the_outbox_are_the_second_kernels_own(
    jail: RunscJail, make: Make, tmp_path: Path
) -> None:
    spec = make("mkfifo /out/a; ls /out")
    assert run(jail, spec).log.read_text() == "a\n"
    assert jail.collect(spec, tmp_path / "taken") == ()


MAIN = """
def main(job):
    rows = job.sql("SELECT district, SUM(cost) AS cost FROM dear GROUP BY district ORDER BY district")
    job.save("by_district.csv", rows)
    job.log("finished")
"""


def run_job(jail: RunscJail, place: Path, runtime: Runtime, kind: str, limits: Limits) -> tuple[Collected, ...]:
    write_deltalake(place / "visits", pa.table({"district": ["a", "b", "a"], "cost": [1, 2, 3]}))
    (place / "job").mkdir()
    plan = {
        "runtime": kind,
        "entry": "main.py",
        "stage": "development",
        "tables": {"visits": "/in/visits"},
        "steps": [["dear", "SELECT * FROM visits WHERE cost > 1"]],
    }
    (place / "job" / "run.json").write_text(json.dumps(plan))
    (place / "job" / "main.py").write_text(MAIN)
    mounts = {**runtime.read_only, "/job": place / "job", "/in/visits": place / "visits"}
    name = f"test-{secrets.token_hex(12)}"
    spec = JailSpec(name, place / name, UID + 7, runtime.run_job, runtime.environment, mounts, limits)
    try:
        outcome = run(jail, spec)
        log = outcome.log.read_text()
        assert outcome.ending is Ending.DONE, log
        assert "finished\n" in log
        return jail.collect(spec, place / "taken")
    finally:
        jail.cleanup(spec)


def test_a_python_job(jail: RunscJail, tmp_path: Path) -> None:
    limits = Limits(memory_bytes=1024 * MEBIBYTE, cores=2, seconds=300, outbox_bytes=4 * MEBIBYTE)
    (item,) = run_job(jail, tmp_path, python_runtime(2, limits.memory_bytes), "python", limits)
    assert (item.name, item.path.read_text()) == ("by_district.csv", "district,cost\na,3.0\nb,2.0\n")


def test_a_spark_job(jail: RunscJail, tmp_path: Path) -> None:
    limits = Limits(memory_bytes=3072 * MEBIBYTE, cores=2, seconds=600, outbox_bytes=4 * MEBIBYTE)
    (item,) = run_job(jail, tmp_path, spark_runtime(2, limits.memory_bytes, JARS), "spark", limits)
    assert (item.name, item.path.read_text()) == ("by_district.csv", "district,cost\na,3\nb,2\n")
