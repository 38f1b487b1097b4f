"""The life of a run: start, end, limits, cancellation, crash of the platform, and two tenants at once."""

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
from typing import Any

import pytest

from jobs.jail import cgroup, outbox
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.probe import BWRAP
from jobs.jail.spec import MEBIBYTE, Ending, JailSpec, Limits, Outcome
from lineage.errors import DefinitionError, GateRefusedError, MissingPartError


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0 or not BWRAP.exists(), reason="needs root and bubblewrap"),
]

UID = 150_101
REPOSITORY = Path(__file__).resolve().parents[2]
Make = Callable[..., JailSpec]


def never() -> bool:
    return False


@pytest.fixture
def jail() -> BubblewrapJail:
    return BubblewrapJail()


@pytest.fixture
def make(tmp_path: Path, jail: BubblewrapJail) -> Iterator[Make]:
    """Make specifications that run a shell script, and clean every one of them up."""
    made: list[JailSpec] = []

    def spec(script: str, uid: int = UID, read_only: dict[str, Path] | None = None, **limits: int) -> JailSpec:
        name = f"test-{secrets.token_hex(12)}"
        chosen = Limits(
            **{"memory_bytes": 64 * MEBIBYTE, "outbox_bytes": 2 * MEBIBYTE, "seconds": 60, "processes": 32, **limits}
        )
        argv = ("/bin/sh", "-c", script)
        made.append(JailSpec(name, tmp_path / name, uid, argv, {"PATH": "/usr/bin"}, read_only or {}, chosen))
        return made[-1]

    yield spec
    for item in made:
        jail.cleanup(item)
        assert not (item.workspace / "jail").exists()
        assert not any(folder.exists() for folder in cgroup.group(item.name).folders.values())


def run(jail: BubblewrapJail, spec: JailSpec, cancelled: Callable[[], bool] = never) -> Outcome:
    jail.prepare(spec)
    return jail.run(spec, cancelled)


def when_it_says(spec: JailSpec, word: bytes) -> Callable[[], bool]:
    """Tell when the run has written a word to its log, so that no test sleeps."""
    return lambda: word in (spec.workspace / "jail" / "log").read_bytes()


def alive(uid: int) -> list[int]:
    """List the processes of a uid that do not end by themselves at once."""
    found = []
    for path in Path("/proc").iterdir():
        if not path.name.isdigit():
            continue
        try:
            status = (path / "status").read_text()
            descriptor = os.pidfd_open(int(path.name)) if f"\nUid:\t{uid}\t" in status else None
        except OSError:
            continue
        if descriptor is not None:
            if not select.select([descriptor], [], [], 2)[0]:
                found.append(int(path.name))
            os.close(descriptor)
    return found


def test_a_program_runs_and_its_outbox_is_taken(jail: BubblewrapJail, make: Make, tmp_path: Path) -> None:
    spec = make("echo hello; id -u; cat /in/visits/rows; mkdir /out/d; echo a > /out/d/a.txt; echo b > /out/b.txt")
    (tmp_path / "visits").mkdir()
    (tmp_path / "visits" / "rows").write_text("rows\n")
    spec = make(spec.argv[2], read_only={"/in/visits": tmp_path / "visits"})
    outcome = run(jail, spec)
    assert (outcome.ending, outcome.exit_code) == (Ending.DONE, 0)
    assert outcome.log.read_text() == "hello\n1000\nrows\n"
    assert 0 < outcome.cpu_seconds < 10
    assert 0 < outcome.peak_bytes <= spec.limits.memory_bytes
    taken = jail.collect(spec, tmp_path / "taken")
    assert [(item.name, item.path.read_text()) for item in taken] == [("b.txt", "b\n"), ("d/a.txt", "a\n")]
    assert jail.collect(spec, tmp_path / "taken") == taken


@pytest.mark.parametrize(
    ("script", "limits", "ending", "exit_code"),
    [
        pytest.param("exit 7", {}, Ending.FAILED, 7, id="exit code"),
        pytest.param("kill -SEGV $$", {}, Ending.FAILED, 139, id="signal"),
        pytest.param("exec sleep 1000", {"seconds": 1}, Ending.TIME, -1, id="time"),
        pytest.param(
            "trap '' TERM INT; while :; do :; done", {"seconds": 1}, Ending.TIME, -1, id="time, not listening"
        ),
        pytest.param("exec dd if=/dev/zero of=/dev/null bs=300M count=1", {}, Ending.MEMORY, 137, id="memory"),
        pytest.param("head -c 3000000 /dev/zero > /out/a", {}, Ending.OUTPUT, 1, id="outbox bytes"),
        pytest.param(
            "i=0; while touch /out/$i; do i=$((i+1)); done; exit 1",
            {"outbox_files": 8},
            Ending.OUTPUT,
            1,
            id="outbox files",
        ),
        pytest.param("sleep 1000 & exit 0", {}, Ending.DONE, 0, id="a child left behind"),
    ],
)
def test_endings(
    jail: BubblewrapJail, make: Make, script: str, limits: dict[str, int], ending: Ending, exit_code: int
) -> None:
    outcome = run(jail, make(script, **limits))
    assert (outcome.ending, outcome.exit_code) == (ending, exit_code)
    assert alive(UID) == []


def test_a_flood_of_log_is_cut_and_does_not_hold_up_the_time(jail: BubblewrapJail, make: Make) -> None:
    outcome = run(jail, make("exec yes", seconds=1, log_bytes=4096))
    assert outcome.ending is Ending.TIME
    assert outcome.log.stat().st_size < 4096 + 100
    assert b"log cut here" in outcome.log.read_bytes()


def test_cancelling_kills_everything(jail: BubblewrapJail, make: Make) -> None:
    spec = make("sleep 1000 & setsid sleep 1000 & echo ready; wait")
    outcome = run(jail, spec, when_it_says(spec, b"ready"))
    assert outcome.ending is Ending.CANCELLED
    assert alive(UID) == []


def test_cancelled_before_it_began(jail: BubblewrapJail, make: Make) -> None:
    """The launcher may not have joined the control groups yet."""
    outcome = run(jail, make("exec sleep 1000"), lambda: True)
    assert outcome.ending is Ending.CANCELLED
    assert alive(UID) == []


def test_an_exception_while_asking_ends_the_run(jail: BubblewrapJail, make: Make) -> None:
    def broken() -> bool:
        raise RuntimeError("the database is gone")

    with pytest.raises(RuntimeError, match="database"):
        run(jail, make("exec sleep 1000"), broken)
    assert alive(UID) == []


def test_preparing_again_starts_clean(jail: BubblewrapJail, make: Make, tmp_path: Path) -> None:
    spec = make("ls -A /out; echo x > /out/left.txt")
    run(jail, spec)
    jail.prepare(spec)
    jail.prepare(spec)
    assert jail.collect(spec, tmp_path / "taken") == ()
    assert jail.run(spec, never).log.read_text() == ""


def test_only_the_jails_own_folder_is_touched(jail: BubblewrapJail, make: Make) -> None:
    spec = make("exit 0")
    spec.workspace.mkdir(mode=0o700)
    (spec.workspace / "job").mkdir()
    run(jail, spec)
    jail.cleanup(spec)
    jail.cleanup(spec)
    assert [path.name for path in spec.workspace.iterdir()] == ["job"]


def test_what_was_never_prepared_does_not_run(jail: BubblewrapJail, make: Make, tmp_path: Path) -> None:
    spec = make("exit 0")
    for step in (lambda: jail.run(spec, never), lambda: jail.collect(spec, tmp_path / "taken")):
        with pytest.raises(MissingPartError) as caught:
            step()
        assert caught.value.code == "jail.outbox-gone"


def test_a_program_that_is_not_there_is_no_failure_of_the_job(jail: BubblewrapJail, make: Make) -> None:
    spec = make("exit 0")
    absent = JailSpec(spec.name, spec.workspace, UID, ("/usr/bin/no-such-program",), {}, {}, spec.limits)
    with pytest.raises(MissingPartError) as caught:
        run(jail, absent)
    assert caught.value.code == "jail.not-made"


@pytest.mark.parametrize("mode", [0o755, 0o711, 0o1700])
def test_an_open_workspace_is_refused(jail: BubblewrapJail, make: Make, mode: int) -> None:
    spec = make("exit 0")
    spec.workspace.mkdir()
    spec.workspace.chmod(mode)
    with pytest.raises(DefinitionError) as caught:
        jail.prepare(spec)
    assert caught.value.code == "jail.open-workspace"


def test_a_workspace_that_is_a_link_is_refused(jail: BubblewrapJail, make: Make, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    spec = make("exit 0")
    spec.workspace.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DefinitionError):
        jail.prepare(spec)
    spec.workspace.unlink()


def test_a_source_swapped_for_a_link_is_not_followed(jail: BubblewrapJail, make: Make, tmp_path: Path) -> None:
    """Between writing the specification and the start, a source becomes a link to a neighbour's folder."""
    (tmp_path / "visits").mkdir()
    spec = make("ls /in/visits", read_only={"/in/visits": tmp_path / "visits"})
    jail.prepare(spec)
    (tmp_path / "visits").rmdir()
    (tmp_path / "visits").symlink_to("/etc")
    with pytest.raises(MissingPartError) as caught:
        jail.run(spec, never)
    assert caught.value.code == "jail.not-made"


@pytest.mark.parametrize("mode", [0o700, 0o754])
def test_a_source_that_the_tenant_may_not_read_is_told_at_once(
    jail: BubblewrapJail, make: Make, tmp_path: Path, mode: int
) -> None:
    (tmp_path / "visits").mkdir()
    (tmp_path / "visits").chmod(mode)
    with pytest.raises(DefinitionError) as caught:
        jail.prepare(make("exit 0", read_only={"/in/visits": tmp_path / "visits"}))
    assert caught.value.code == "jail.unreadable-source"


def test_without_control_groups_nothing_runs(jail: BubblewrapJail, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail closed (law 7)."""
    monkeypatch.setattr("jobs.jail.bubblewrap.probe", jail_without_limits)
    with pytest.raises(MissingPartError) as caught:
        jail.prepare(make("exit 0"))
    assert (caught.value.code, caught.value.params["missing"]) == ("jail.incomplete", "control groups")


def jail_without_limits() -> Any:
    from jobs.jail.spec import Capability

    return Capability(network=True, files=True, uid=True, limits=False, kernel=False, missing=("control groups",))


def test_without_loop_devices_the_outbox_lies_in_memory(
    jail: BubblewrapJail, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_tool(*_: object) -> None:
        raise FileNotFoundError("mkfs.ext4")

    monkeypatch.setattr(outbox, "_make_image", no_tool)
    spec = make("echo a > /out/a.txt; head -c 3000000 /dev/zero > /out/b")
    assert run(jail, spec).ending is Ending.OUTPUT
    assert [item.name for item in jail.collect(spec, tmp_path / "taken")] == ["a.txt", "b"]


def test_two_tenants_at_once_do_not_meet(jail: BubblewrapJail, make: Make, tmp_path: Path) -> None:
    """Both run at the same moment: each waits for a file that appears when both have begun."""
    (tmp_path / "go").mkdir()
    script = "echo ready; while [ ! -e /in/go/now ]; do sleep 0.05; done; ls /tmp /out; set -- /proc/[0-9]*; echo $#"
    specs = [make(script, uid=UID + number, read_only={"/in/go": tmp_path / "go"}) for number in (1, 2)]
    both = threading.Barrier(2, action=(tmp_path / "go" / "now").touch)
    outcomes: dict[int, Outcome] = {}

    def go(spec: JailSpec) -> None:
        says = when_it_says(spec, b"ready")
        waited = False

        def begun() -> bool:
            nonlocal waited
            if not waited and says():
                waited = True
                both.wait(30)
            return False

        outcomes[spec.uid] = run(jail, spec, begun)

    threads = [threading.Thread(target=go, args=(spec,)) for spec in specs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    first, second = (outcomes[spec.uid] for spec in specs)
    assert [first.ending, second.ending] == [Ending.DONE, Ending.DONE]
    # Process 1 and the shell: nobody else's.
    assert [first.log.read_text().split()[-1], second.log.read_text().split()[-1]] == ["2", "2"]


PLATFORM = """
import json, sys
from pathlib import Path
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.spec import JailSpec, Limits
given = json.load(sys.stdin)
spec = JailSpec(given["name"], Path(given["workspace"]), given["uid"], tuple(given["argv"]), {"PATH": "/usr/bin"}, {}, Limits())
jail = BubblewrapJail()
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
    jail: BubblewrapJail, make: Make, tmp_path: Path
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
    assert len(members) >= 4
    platform.send_signal(signal.SIGKILL)
    platform.wait()
    for descriptor in members:
        assert wait_for(descriptor), "a process of the jail outlived the platform"
        os.close(descriptor)
    assert alive(spec.uid) == []
    jail.prepare(spec)
    assert jail.collect(spec, tmp_path / "taken") == ()


def wait_for(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 20)[0])


def test_running_a_name_that_still_lives_kills_it_first(jail: BubblewrapJail, make: Make) -> None:
    spec = make("exit 0")
    jail.prepare(spec)
    group = cgroup.group(spec.name)
    group.create(spec.limits)
    stray = subprocess.Popen(["/bin/sleep", "1000"])
    for door in group.doors:
        door.write_text(str(stray.pid))
    assert group.members() == {stray.pid}
    with pytest.raises(MissingPartError) as caught:
        jail.collect(spec, spec.workspace / "taken")
    assert caught.value.code == "jail.still-running"
    assert jail.run(spec, never).ending is Ending.DONE
    assert stray.wait(10) == -signal.SIGKILL


def test_hostile_leavings_of_a_real_run_are_refused(jail: BubblewrapJail, make: Make, tmp_path: Path) -> None:
    for script, code in (
        ("ln -s /etc/passwd /out/a", "outbox.link"),
        ("mkfifo /out/a", "outbox.device"),
        ("truncate -s 60M /out/a", "outbox.too-large"),
        ("echo a > /out/a; ln /out/a /out/b", "outbox.hard-link"),
        ("echo a > /out/a; chmod 4755 /out/a", "outbox.mode"),
    ):
        spec = make(script)
        assert run(jail, spec).ending is Ending.DONE
        with pytest.raises(GateRefusedError) as caught:
            jail.collect(spec, tmp_path / "taken")
        assert caught.value.code == code
        jail.cleanup(spec)
