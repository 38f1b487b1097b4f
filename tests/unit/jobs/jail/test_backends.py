"""Which jail a domain's settings choose, and the one that is no jail."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.jail.backends import BACKENDS, jail_of, name_of, survey
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.runsc import RunscJail
from jobs.jail.runsc_bundle import config_of, plan_of
from jobs.jail.runsc_probe import find_sandbox, told_to_start
from jobs.jail.seccomp import SOCKET_FAMILIES
from jobs.jail.spec import MEBIBYTE, Ending, JailSpec, Limits
from jobs.jail.unjailed import UnjailedJail
from lineage.errors import GateRefusedError, MissingPartError


def make(tmp_path: Path, code: str, **limits: int) -> JailSpec:
    for name in ("visits", "code"):
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / "visits" / "rows").write_text("rows")
    return JailSpec(
        name="run-0123456789abcdef",
        workspace=tmp_path / "run",
        uid=123_456,
        argv=(sys.executable, "-c", code),
        environment={"IN": "/in/visits", "OUT": "/out"},
        read_only={"/in/visits": tmp_path / "visits", "/job": tmp_path / "code"},
        limits=Limits(**{"memory_bytes": 64 * MEBIBYTE, "outbox_bytes": MEBIBYTE, "seconds": 30, **limits}),
    )


@pytest.fixture
def in_unit_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUZHA_UNIT_TESTS", "1")


@pytest.mark.parametrize(
    ("settings", "kind"), [({}, BubblewrapJail), ({"jail": "bwrap"}, BubblewrapJail), ({"jail": "runsc"}, RunscJail)]
)
def test_the_settings_choose(settings: dict[str, str], kind: type) -> None:
    assert type(jail_of(settings)) is kind


@pytest.mark.parametrize("name", ["", "Bwrap", "runc", "none ", 1, None, ["bwrap"]])
def test_a_misspelt_name_is_no_default(name: object) -> None:
    with pytest.raises(MissingPartError) as caught:
        name_of({"jail": name})
    assert caught.value.code == "jail.unknown-backend"


@pytest.mark.parametrize("value", [None, "", "0", "true"])
def test_no_jail_is_refused_outside_unit_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv("SHUZHA_UNIT_TESTS", raising=False)
    else:
        monkeypatch.setenv("SHUZHA_UNIT_TESTS", value)
    spec, jail = make(tmp_path, "pass"), UnjailedJail()
    attempts: list[Callable[[], object]] = [
        lambda: jail_of({"jail": "none"}),
        jail.capability,
        lambda: jail.prepare(spec),
        lambda: jail.run(spec, lambda: False),
        lambda: jail.collect(spec, tmp_path / "taken"),
    ]
    for attempt in attempts:
        with pytest.raises(MissingPartError) as caught:
            attempt()
        assert caught.value.code == "jail.none-in-tests-only"


def test_a_cluster_needs_its_settings() -> None:
    with pytest.raises(MissingPartError) as caught:
        jail_of({"jail": "k8s-pod"})
    assert caught.value.code == "jail.bad-cluster"


def test_a_survey_tells_of_every_jail_but_none() -> None:
    told = survey({})
    assert set(told) == set(BACKENDS) - {"none"}
    assert told["k8s-pod"].missing == ("[kubernetes]",)
    assert not told["k8s-pod"].whole


@pytest.mark.usefixtures("in_unit_tests")
def test_no_jail_claims_nothing_and_keeps_the_contract(tmp_path: Path) -> None:
    jail = UnjailedJail()
    assert not jail.capability().whole
    code = (
        "import os, pathlib; pathlib.Path(os.environ['OUT'], 'a.txt').write_text("
        "pathlib.Path(os.environ['IN'], 'rows').read_text()); print('said')"
    )
    spec = make(tmp_path, code)
    jail.prepare(spec)
    outcome = jail.run(spec, lambda: False)
    assert (outcome.ending, outcome.log.read_text()) == (Ending.DONE, "said\n")
    (item,) = jail.collect(spec, tmp_path / "taken")
    assert (item.name, item.path.read_text()) == ("a.txt", "rows")
    jail.cleanup(spec)
    with pytest.raises(MissingPartError):
        jail.run(spec, lambda: False)


@pytest.mark.usefixtures("in_unit_tests")
@pytest.mark.parametrize(
    ("code", "cancelled", "limits", "ending", "exit_code"),
    [
        ("raise SystemExit(3)", False, {}, Ending.FAILED, 3),
        ("import os; os.kill(os.getpid(), 9)", False, {}, Ending.FAILED, 137),
        ("import signal; signal.pause()", True, {}, Ending.CANCELLED, -1),
        ("import signal; signal.pause()", False, {"seconds": 1}, Ending.TIME, -1),
    ],
)
def test_endings_without_a_jail(
    tmp_path: Path, code: str, cancelled: bool, limits: dict[str, int], ending: Ending, exit_code: int
) -> None:
    jail, spec = UnjailedJail(), make(tmp_path, code, **limits)
    jail.prepare(spec)
    outcome = jail.run(spec, lambda: cancelled)
    assert (outcome.ending, outcome.exit_code) == (ending, exit_code)


@pytest.mark.usefixtures("in_unit_tests")
def test_the_collector_is_the_same_without_a_jail(tmp_path: Path) -> None:
    jail, spec = UnjailedJail(), make(tmp_path, "import os; os.symlink('/etc/passwd', os.environ['OUT'] + '/a')")
    jail.prepare(spec)
    jail.run(spec, lambda: False)
    with pytest.raises(GateRefusedError) as caught:
        jail.collect(spec, tmp_path / "taken")
    assert caught.value.code == "outbox.link"


def test_the_bundle_says_what_the_jail_of_namespaces_says(tmp_path: Path) -> None:
    spec = make(tmp_path, "pass")
    config = config_of(spec)
    process = config["process"]
    assert (process["capabilities"], process["noNewPrivileges"], process["terminal"]) == ({}, True, False)
    assert process["user"]["uid"] == 1000
    assert process["env"] == ["IN=/in/visits", "OUT=/out"]
    assert config["root"]["readonly"]
    assert {one["type"] for one in config["linux"]["namespaces"]} >= {"user", "network", "pid", "ipc", "uts", "mount"}
    assert {one["containerID"]: one["hostID"] for one in config["linux"]["uidMappings"]} == {
        0: 2**31 + spec.uid,
        1000: spec.uid,
    }
    options = {one["destination"]: one.get("options", []) for one in config["mounts"]}
    assert {"rw", "noexec", "nosuid", "nodev"} <= set(options["/out"])
    assert {"ro", "noexec", "nosuid", "nodev"} <= set(options["/in/visits"])
    assert f"size={spec.limits.memory_bytes // 2}" in options["/tmp"]
    assert str(tmp_path) not in str(config)


def test_the_bundle_refuses_every_family_of_sockets_but_four(tmp_path: Path) -> None:
    rules = config_of(make(tmp_path, "pass"))["linux"]["seccomp"]["syscalls"]
    (socket,) = [one for one in rules if one["names"] == ["socket"]]
    equal = {one["value"] for one in socket["args"] if one["op"] == "SCMP_CMP_EQ"}
    (beyond,) = [one["value"] for one in socket["args"] if one["op"] == "SCMP_CMP_GE"]
    assert {number for number in range(200) if number not in equal and number < beyond} == set(SOCKET_FAMILIES)
    names = next(one["names"] for one in rules if "ptrace" in one["names"])
    assert {"bpf", "io_uring_setup", "keyctl", "userfaultfd", "personality"} <= set(names)
    assert not {"clone3", "clone", "socket", "ioctl"} & set(names)


def test_the_launcher_binds_each_source_at_its_place(tmp_path: Path) -> None:
    spec = make(tmp_path, "pass")
    plan = plan_of(spec, tmp_path / "root", tmp_path / "outbox", tmp_path / "state", Path("/usr/bin/runsc"), [])
    places = {place: (source, bits) for source, place, bits in plan["binds"]}
    assert places["rootfs/in/visits"][0] == str(tmp_path / "visits")
    assert places["rootfs/in/visits"][1] & 1
    assert places["rootfs/out"][0] == str(tmp_path / "outbox")
    assert not places["rootfs/out"][1] & 1
    assert places["rootfs/usr"][1] & 1
    assert all(place.startswith("rootfs/") or place in {"runsc", "run"} for place in places)


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        pytest.param(0o777, "#!/bin/sh\necho '  -platform value'\n", id="anybody may replace it"),
        pytest.param(0o644, "", id="no program"),
        pytest.param(0o755, "#!/bin/sh\necho '  -platform value'\necho '  -network value'\n", id="too few options"),
        pytest.param(0o755, "no program at all", id="does not start"),
    ],
)
def test_a_sandbox_that_cannot_be_trusted_is_missing(tmp_path: Path, mode: int, text: str) -> None:
    program = tmp_path / "runsc"
    program.write_text(text)
    program.chmod(mode)
    with pytest.raises(MissingPartError) as caught:
        find_sandbox(program)
    assert caught.value.code == "jail.no-runsc"


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (b"", ""),
        (b'{"error": "keyring: x"}\n', "keyring: x"),
        (b'{"msg":"running container: creating container: x","level":"error"}\n', "creating container"),
        (b'{"msg":"waiting on container: EOF","level":"error"}\n', ""),
        (b"garbage\n", "status"),
    ],
)
def test_what_runsc_reports_of_a_start(tmp_path: Path, written: bytes, reason: str) -> None:
    path = tmp_path / "status"
    path.write_bytes(written)
    with path.open("rb") as file:
        told = told_to_start(file.fileno())
    assert reason in told
    assert bool(reason) == bool(told)
