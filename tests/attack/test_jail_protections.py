"""Each protection of the jail is taken away in turn, and its probe gets out: what the battery reports is not stopped by accident."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.jail import bubblewrap, cgroup, collect, options, outbox, seccomp
from jobs.jail.battery import Planted, Result, mining, planted, run_jailed, run_mines
from jobs.jail.battery.host import hostile_spec
from jobs.jail.battery.hostile.__main__ import LOADED
from jobs.jail.battery.hostile.mines import MARKS, MINES
from jobs.jail.battery.hostile.table import PROBES
from jobs.jail.battery.protections import PROTECTIONS, Protection, table
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.probe import BWRAP
from jobs.jail.spec import JailSpec, Limits


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0 or not BWRAP.exists(), reason="needs root and bubblewrap"),
]

UID = 150_011
PAGE = Path(__file__).parents[2] / "docs" / "jail.md"
Patch = pytest.MonkeyPatch
Removal = Callable[[Patch, Path], None]


def without(*names: str) -> Removal:
    """Drop options of bubblewrap; ``name=1`` takes the value that follows away too, ``name value`` only with that value."""

    def remove(patch: Patch, _: Path) -> None:
        real = options.bubblewrap_options

        def weakened(spec: JailSpec, filter_descriptor: int, status_descriptor: int) -> list[str]:
            chosen = real(spec, filter_descriptor, status_descriptor)
            for name in names:
                drop(chosen, name)
            return chosen

        patch.setattr(bubblewrap, "bubblewrap_options", weakened)

    return remove


def drop(chosen: list[str], name: str) -> None:
    flag, _, width = name.partition("=")
    flag, _, value = flag.partition(" ")
    places = [at for at, one in enumerate(chosen) if one == flag and (not value or chosen[at + 1] == value)]
    assert places, f"{name} is no option any more"
    del chosen[places[0] : places[0] + 1 + (1 if value else int(width or 0))]


def launched_without(*lines: tuple[str, str]) -> Removal:
    """Start a copy of the launcher in which some text is another."""

    def remove(patch: Patch, folder: Path) -> None:
        text = Path(bubblewrap._LAUNCHER).read_text(encoding="utf-8")
        for old, new in lines:
            assert old in text, f"the launcher has no {old!r} any more"
            text = text.replace(old, new)
        copy = folder / "weak_launcher.py"
        copy.write_text(text, encoding="utf-8")
        patch.setattr(bubblewrap, "_LAUNCHER", copy)

    return remove


def allowing(*calls: str) -> Removal:
    """Let some calls through the filter."""

    def remove(patch: Patch, _: Path) -> None:
        family = seccomp.MACHINES[os.uname().machine]
        decisions = {number: one for number, one in family.decisions.items() if number not in numbers(family, calls)}
        patch.setattr(seccomp, "build", lambda: seccomp._assemble(replace(family, decisions=decisions)))

    return remove


def numbers(family: Any, calls: Sequence[str]) -> set[int]:
    return {family.calls[name] for name in calls if name in family.calls}


def unlimited(*names: str) -> Removal:
    def remove(patch: Patch, _: Path) -> None:
        real = options.process_limits
        patch.setattr(
            options, "process_limits", lambda limits: {k: v for k, v in real(limits).items() if k not in names}
        )

    return remove


def ungrouped(*files: str) -> Removal:
    """Leave settings of the control groups out."""

    def remove(patch: Patch, _: Path) -> None:
        real = cgroup.Group._settings
        patch.setattr(
            cgroup.Group,
            "_settings",
            lambda self, limits: (one for one in real(self, limits) if not one[0].name.startswith(files)),
        )

    return remove


def roomier(**factors: int) -> Removal:
    """Make the outbox larger than it was granted."""

    def remove(patch: Patch, _: Path) -> None:
        real = outbox.make

        def make(image: Path, folder: Path, uid: int, limits: Limits) -> None:
            real(image, folder, uid, replace(limits, **{n: getattr(limits, n) * f for n, f in factors.items()}))

        patch.setattr(outbox, "make", make)

    return remove


def mounted_with(place: str, bits: int) -> Removal:
    """Mount a source with other restrictions than it has to have."""

    def remove(patch: Patch, _: Path) -> None:
        real = options.launcher_plan

        def plan(spec: JailSpec, root: Path, box: Path, doors: Any) -> dict[str, Any]:
            made = real(spec, root, box, doors)
            wanted = place if place == "stage/out" else f"stage/{sorted(spec.read_only).index(place)}"
            made["binds"] = [(host, at, bits if at == wanted else old) for host, at, old in made["binds"]]
            return made

        patch.setattr(bubblewrap, "launcher_plan", plan)

    return remove


def writable_input(patch: Patch, folder: Path) -> None:
    mounted_with("/in/t", 2 | 4)(patch, folder)
    real = options.bubblewrap_options

    def weakened(spec: JailSpec, filter_descriptor: int, status_descriptor: int) -> list[str]:
        chosen = real(spec, filter_descriptor, status_descriptor)
        chosen[chosen.index("/in/t") - 2] = "--bind"
        return chosen

    patch.setattr(bubblewrap, "bubblewrap_options", weakened)


def host_folder_mounted(patch: Patch, _: Path) -> None:
    """Only what is named is mounted: so name the folder of the baits."""
    real_plan, real_options = options.launcher_plan, options.bubblewrap_options

    def plan(spec: JailSpec, root: Path, box: Path, doors: Any) -> dict[str, Any]:
        made = real_plan(spec, root, box, doors)
        return made | {"binds": [*made["binds"], (str(spec.read_only["/job"].parent), "stage/host", 1 | 2 | 4)]}

    def weakened(spec: JailSpec, filter_descriptor: int, status_descriptor: int) -> list[str]:
        chosen = real_options(spec, filter_descriptor, status_descriptor)
        at = chosen.index("--remount-ro", chosen.index("/dev/shm"))
        return [*chosen[:at], "--ro-bind", "/stage/host", str(spec.read_only["/job"].parent), *chosen[at:]]

    patch.setattr(bubblewrap, "launcher_plan", plan)
    patch.setattr(bubblewrap, "bubblewrap_options", weakened)


def outbox_mounted(drops: str, bits: int) -> Removal:
    def remove(patch: Patch, folder: Path) -> None:
        kept = ",".join(one for one in outbox._OPTIONS.split(",") if one != drops)
        patch.setattr(outbox, "_OPTIONS", kept)
        mounted_with("stage/out", bits)(patch, folder)

    return remove


def open_descriptors(patch: Patch, _: Path) -> None:
    real = subprocess.Popen

    def popen(argv: list[str], **given: Any) -> Any:
        for descriptor in given.pop("pass_fds", ()):
            os.set_inheritable(descriptor, True)
        return real(argv, **given, close_fds=False)

    patch.setattr(bubblewrap, "subprocess", types.SimpleNamespace(Popen=popen, DEVNULL=subprocess.DEVNULL))


def host_processes(patch: Patch, _: Path) -> None:
    """Without a process namespace no new table of processes can be mounted: the launcher's is shown."""
    real = options.bubblewrap_options

    def weakened(spec: JailSpec, filter_descriptor: int, status_descriptor: int) -> list[str]:
        chosen = real(spec, filter_descriptor, status_descriptor)
        drop(chosen, "--unshare-pid")
        at = chosen.index("--proc")
        chosen[at : at + 2] = ["--bind", "/proc", "/proc"]
        return chosen

    patch.setattr(bubblewrap, "bubblewrap_options", weakened)


def one_uid_for_all(patch: Patch, _: Path) -> None:
    real_plan, real_make = options.launcher_plan, outbox.make
    patch.setattr(bubblewrap, "launcher_plan", lambda *given: real_plan(*given) | {"uid": 100_000})
    patch.setattr(outbox, "make", lambda image, folder, _, limits: real_make(image, folder, 100_000, limits))


def unbounded_platform(name: str) -> Removal:
    """Take the limit away and, where that is allowed, the platform's own, which a run then inherits."""

    def remove(patch: Patch, folder: Path) -> None:
        unlimited(name)(patch, folder)
        number = getattr(resource, name)
        before = resource.getrlimit(number)
        with contextlib.suppress(ValueError):
            resource.setrlimit(number, (resource.RLIM_INFINITY,) * 2 if name != "RLIMIT_NOFILE" else (65536, 65536))
            RESTORED.append((number, before))

    return remove


RESTORED: list[tuple[int, tuple[int, int]]] = []

AS_ROOT = (('        give_up_privileges(plan["uid"])\n', ""),)
NO_USER = ("--unshare-user", "--disable-userns", "--uid=1", "--gid=1")


def both(*removals: Removal) -> Removal:
    def remove(patch: Patch, folder: Path) -> None:
        for one in removals:
            one(patch, folder)

    return remove


def unmasked(patch: Patch, _: Path) -> None:
    patch.setattr(options, "_mask_options", tuple)


REMOVALS: dict[str, Removal] = {
    "user namespace, asked for by name": both(launched_without(*AS_ROOT), without(*NO_USER)),
    "no capability": both(launched_without(*AS_ROOT), without(*NO_USER, "--cap-drop=1")),
    "process namespace": host_processes,
    "network namespace": without("--unshare-net"),
    "IPC namespace": without("--unshare-ipc"),
    "host name namespace": without("--unshare-uts", "--hostname=1"),
    "control group namespace": without("--unshare-cgroup"),
    "no user namespace inside": both(without("--disable-userns"), allowing("unshare")),
    "session of its own": without("--new-session"),
    "empty environment of process 1": both(
        launched_without(('plan["argv"], {})', 'plan["argv"], dict(os.environ))')),
        lambda patch, _: patch.setattr(bubblewrap, "launcher_environment", lambda: dict(os.environ)),
    ),
    "closed descriptors": open_descriptors,
    "session keyring of its own": both(launched_without(("        take_empty_keyring()\n", "")), allowing("keyctl")),
    "uid of its tenant": one_uid_for_all,
    "no supplementary group": launched_without(("    os.setgroups([])\n", "")),
    "first to die when memory is short": launched_without(("        die_first()\n", "")),
    "only what is named is mounted": host_folder_mounted,
    "read-only root": without("--remount-ro /"),
    "read-only input": writable_input,
    "no programs from the input": mounted_with("/in/t", 1 | 2 | 4),
    "no programs from the outbox": outbox_mounted("noexec", 2 | 4 | 256),
    "links in the outbox are not followed": outbox_mounted("nosymfollow", 2 | 4 | 8),
    "outbox of bounded bytes": roomier(outbox_bytes=8),
    "outbox of bounded files": roomier(outbox_files=100, outbox_bytes=8),
    "masks over figures of the machine": unmasked,
    "masks over locks of the machine": unmasked,
    "masks over counts of files": unmasked,
    "masks over the kernel's insides": unmasked,
    "memory of the group": ungrouped("memory."),
    "processes of the group": ungrouped("pids."),
    "processor share of the group": ungrouped("cpu."),
    "limit of core dumps": unbounded_platform("RLIMIT_CORE"),
    "limit of processes of a uid": unbounded_platform("RLIMIT_NPROC"),
    "limit of open files": unbounded_platform("RLIMIT_NOFILE"),
    "limit of a file's size": unbounded_platform("RLIMIT_FSIZE"),
    "limit of locked memory": unbounded_platform("RLIMIT_MEMLOCK"),
    "limit of message queues": unbounded_platform("RLIMIT_MSGQUEUE"),
    "limit of real-time priority": unbounded_platform("RLIMIT_RTPRIO"),
    "limit of queued signals": unbounded_platform("RLIMIT_SIGPENDING"),
    "filter: another calling convention": without("--seccomp=1"),
    "filter: tracing": allowing("ptrace"),
    "filter: memory of others": allowing("process_vm_readv"),
    "filter: comparing processes": allowing("kcmp"),
    "filter: handles": allowing("name_to_handle_at"),
    "filter: mount trees": allowing("open_tree"),
    "filter: io_uring": allowing("io_uring_setup"),
    "filter: userfaultfd": allowing("userfaultfd"),
    "filter: bpf": allowing("bpf"),
    "filter: performance counters": allowing("perf_event_open"),
    "filter: keys": allowing("add_key"),
    "filter: personality": allowing("personality"),
    "filter: clone3": allowing("clone3"),
    "filter: socket families": allowing("socket"),
    "filter: netlink protocols": allowing("socket"),
    "filter: pages of nodes": allowing("mbind", "move_pages", "migrate_pages"),
    "filter: clocks": allowing("adjtimex", "clock_adjtime"),
    "filter: watching files": allowing("inotify_init1", "inotify_init"),
    "filter: locking shared files": allowing("flock"),
    "filter: asking for locks and leases": allowing("fcntl"),
    "filter: cached pages": allowing("cachestat"),
    "filter: free space": allowing("statfs", "fstatfs"),
}
DEPENDS_ON_THE_MACHINE = {
    "processor share of the group": "the machine is too busy, or has too few processors, to tell",
    "filter: another calling convention": "the kernel has no 32-bit door",
    "filter: io_uring": "io_uring is off on this kernel",
    "filter: bpf": "bpf is off for ordinary users on this kernel",
    "filter: performance counters": "performance counters are off for ordinary users on this kernel",
    "filter: userfaultfd": "userfaultfd is off for ordinary users on this kernel",
    "filter: socket families": "no unusual family is built into this kernel",
    "filter: cached pages": "the kernel does not know the call",
    "masks over the kernel's insides": "the kernel hides them by itself",
    "limit of real-time priority": "the platform itself may not run in real time here",
    "control group namespace": "the run's group is the root of the namespace",
}
"""What a machine may stop or not know by itself; there the removal proves nothing and the test says so."""

RULES: dict[str, tuple[str, str]] = {
    "collector: no links": ('raise GateRefusedError("outbox.link", name=name)', "pass"),
    "collector: plain files only": ('raise GateRefusedError("outbox.device", name=name)', "pass"),
    "collector: one name a file": ('raise GateRefusedError("outbox.hard-link", name=name)', "pass"),
    "collector: no special modes": ('raise GateRefusedError("outbox.mode", name=name)', "pass"),
    "collector: plain names": ('raise GateRefusedError("outbox.name", name=_shown(raw))', "pass"),
    "collector: bytes": ('raise GateRefusedError("outbox.too-large"', 'GateRefusedError("outbox.too-large"'),
    "collector: entries": ('raise GateRefusedError("outbox.too-many"', 'GateRefusedError("outbox.too-many"'),
    "collector: depth": ('raise GateRefusedError("outbox.depth", name=name)', "pass"),
    "collector: no archives": ('raise GateRefusedError("outbox.archive", name=name)', "pass"),
    "collector: no names alike": ('raise GateRefusedError("outbox.same-name", name=item.name)', "pass"),
    "collector: one time for all": (
        "os.utime(target, (FILE_TIME, FILE_TIME))",
        "os.utime(target, ns=(0, state.st_mtime_ns))",
    ),
    "collector: one mode for all": (
        "os.fchmod(file.fileno(), FILE_MODE)",
        "os.fchmod(file.fileno(), os.fstat(reading).st_mode & 0o777)",
    ),
}
"""The rule's line in the collector, and what stands there without it."""

BY_NAME = {one.name: one for one in PROTECTIONS}


@pytest.fixture
def restored() -> Iterator[None]:
    """Give the platform its own limits back."""
    yield
    while RESTORED:
        number, before = RESTORED.pop()
        resource.setrlimit(number, before)


@pytest.fixture
def baits() -> Iterator[Planted]:
    folder = Path(tempfile.mkdtemp(prefix="shuzha-baits-"))
    try:
        with planted(folder, UID) as made:
            yield made
    finally:
        shutil.rmtree(folder)


def try_without(one: Protection, baits: Planted, patch: Patch, folder: Path) -> Result:
    REMOVALS[one.name](patch, folder)
    if one.probe in PROBES:
        (result,) = run_jailed(BubblewrapJail(), baits, folder / "run", only=(one.probe,))
        return result
    return next(result for result in run_mines(BubblewrapJail(), baits, folder / "run") if result.probe == one.probe)


@pytest.mark.parametrize("name", REMOVALS)
def test_without_a_protection_its_probe_gets_out(
    tmp_path: Path, monkeypatch: Patch, baits: Planted, restored: None, name: str
) -> None:
    result = try_without(BY_NAME[name], baits, monkeypatch, tmp_path)
    if result.verdict == "blocked" and name in DEPENDS_ON_THE_MACHINE:
        pytest.skip(DEPENDS_ON_THE_MACHINE[name])
    assert result.verdict == "escaped", result.detail


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The mines of one run, as they lie in its outbox."""
    jail, workspace = BubblewrapJail(), tmp_path_factory.mktemp("mines") / "run"
    folder = Path(tempfile.mkdtemp(prefix="shuzha-baits-"))
    with planted(folder, UID + 2) as made:
        spec = hostile_spec(made, workspace, {"lay_mines": True}, limits=mining._FIELD)
        try:
            jail.prepare(spec)
            jail.run(spec, lambda: False)
            yield workspace.joinpath(*mining.OUTBOX)
        finally:
            jail.cleanup(spec)
    shutil.rmtree(folder)


def judged_by(collector: Any, name: str, laid: Path, into: Path, patch: Patch) -> Result:
    patch.setattr(mining, "collect_outbox", collector)
    judge = mining.judge_mine if name in MINES else mining.judge_mark
    return judge(name, laid / name, UID + 2, into)


@pytest.mark.parametrize("name", RULES)
def test_without_a_rule_of_the_collector_its_mine_goes_off(
    tmp_path: Path, monkeypatch: Patch, laid: Path, name: str
) -> None:
    """The whole collector holds against the same mine; without the one rule it does not, or refuses for another reason."""
    probe = BY_NAME[name].probe
    assert judged_by(collect.collect_outbox, probe, laid, tmp_path / "whole", monkeypatch).held
    old, new = RULES[name]
    text = Path(collect.__file__).read_text(encoding="utf-8")
    assert old in text
    weak = types.ModuleType("weak_collect")
    monkeypatch.setitem(sys.modules, "weak_collect", weak)
    exec(compile(text.replace(old, new), "weak_collect", "exec"), weak.__dict__)  # noqa: S102 -- our own source, a rule less
    # A collector that breaks on a mine holds no better than one that takes it.
    assert not judged_by(weak.collect_outbox, probe, laid, tmp_path / "weak", monkeypatch).held


def test_every_protection_is_taken_away_once() -> None:
    assert set(BY_NAME) == {*REMOVALS, *RULES}
    assert len(BY_NAME) == len(PROTECTIONS)
    assert LOADED
    assert {one.probe for one in PROTECTIONS} <= {*PROBES, *MINES, *MARKS}
    assert set(DEPENDS_ON_THE_MACHINE) <= set(REMOVALS)


def test_the_page_shows_the_table() -> None:
    """``python -m infra.jail_page`` writes it."""
    assert table() in PAGE.read_text(encoding="utf-8")
