"""The arguments that are the jail."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.jail.options import bubblewrap_options, launcher_plan
from jobs.jail.spec import MEBIBYTE, JailSpec, Limits


@pytest.fixture
def spec(tmp_path: Path) -> JailSpec:
    for name in ("visits", "code", "py"):
        (tmp_path / name).mkdir()
    (tmp_path / "py" / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    return JailSpec(
        name="run-0123456789abcdef",
        workspace=tmp_path / "run",
        uid=123_456,
        argv=("/usr/bin/python3", "secret-argument"),
        environment={"LANG": "C.UTF-8"},
        read_only={"/in/visits": tmp_path / "visits", "/job": tmp_path / "code", "/opt/py": tmp_path / "py"},
        limits=Limits(memory_bytes=512 * MEBIBYTE, processes=64, outbox_bytes=MEBIBYTE),
    )


def pairs(options: list[str], name: str) -> list[tuple[str, ...]]:
    """Give what follows each ``name``: one value, or two for mounts."""
    width = 2 if name.endswith("bind") or name in {"--setenv", "--symlink"} else 1
    return [tuple(options[place + 1 : place + 1 + width]) for place, option in enumerate(options) if option == name]


def test_every_namespace_is_named_and_none_is_only_tried(spec: JailSpec) -> None:
    options = bubblewrap_options(spec, 10, 11)
    for name in ("user", "pid", "net", "ipc", "uts", "cgroup"):
        assert f"--unshare-{name}" in options
    assert not [option for option in options if option.endswith("-try") or option in {"--unshare-all", "--share-net"}]


def test_no_privilege_and_no_terminal(spec: JailSpec) -> None:
    options = bubblewrap_options(spec, 10, 11)
    for option in ("--disable-userns", "--die-with-parent", "--new-session", "--clearenv"):
        assert option in options
    assert pairs(options, "--cap-drop") == [("ALL",)]
    assert pairs(options, "--uid") == [("1000",)]
    assert pairs(options, "--seccomp") == [("10",)]


def test_one_place_is_writable_from_outside_and_no_host_path_is_named(spec: JailSpec, tmp_path: Path) -> None:
    options = bubblewrap_options(spec, 10, 11)
    assert pairs(options, "--bind") == [("/stage/out", "/out")]
    assert not [option for option in options if option in {"--dev-bind", "--dev-bind-try", "--bind-data"}]
    assert not [option for option in options if str(tmp_path) in option]
    assert pairs(options, "--remount-ro")[-1] == ("/",)


def test_inputs_are_read_only_and_programs_do_not_start_from_them(spec: JailSpec) -> None:
    plan = launcher_plan(spec, Path("/w/root"), Path("/w/outbox"), [Path("/sys/fs/cgroup/x/cgroup.procs")])
    bits = {place: flags for _, place, flags in plan["binds"]}
    sources = {place: source for source, place, _ in plan["binds"]}
    mounted = {inside: place.lstrip("/") for place, inside in pairs(bubblewrap_options(spec, 10, 11), "--ro-bind")}
    assert sources[mounted["/in/visits"]] == str(spec.read_only["/in/visits"])
    read_only, no_programs = 1, 8
    for inside in spec.read_only:
        assert bits[mounted[inside]] & read_only
    assert bits[mounted["/in/visits"]] & no_programs
    assert not bits[mounted["/job"]] & no_programs
    assert not bits["stage/out"] & read_only
    assert bits["stage/out"] & no_programs


def test_sizes_of_what_is_writable_are_set_right_before_it(spec: JailSpec) -> None:
    options = bubblewrap_options(spec, 10, 11)
    for folder in ("/tmp", "/dev/shm"):
        place = next(i for i, option in enumerate(options) if option == "--tmpfs" and options[i + 1] == folder)
        assert options[place - 2] == "--size"
        assert int(options[place - 1]) <= spec.limits.memory_bytes


def test_the_hosts_own_libraries_are_covered(spec: JailSpec) -> None:
    covered = pairs(bubblewrap_options(spec, 10, 11), "--tmpfs")
    assert ("/opt/py/lib/python3.11/site-packages",) in covered
    assert ("/usr/local",) in covered


def test_process_limits(spec: JailSpec) -> None:
    limits = launcher_plan(spec, Path("/w/root"), Path("/w/outbox"), [])["rlimits"]
    assert limits["RLIMIT_CORE"] == 0
    assert limits["RLIMIT_NPROC"] == 256
    assert limits["RLIMIT_FSIZE"] == 256 * MEBIBYTE
