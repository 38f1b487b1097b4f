"""The jail of a cluster: its objects, its hostile stream, and its life against a program that stands for ``kubectl``."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.jail import pod_cluster
from jobs.jail.pod import PodJail
from jobs.jail.pod_cluster import Kubectl, container_state, waiting_for
from jobs.jail.pod_manifest import (
    RUN,
    canonical_list,
    namespace_objects,
    pod_object,
    staged_places,
)
from jobs.jail.pod_outbox import keep_stream, unpack
from jobs.jail.pod_settings import Cluster, read_cluster
from jobs.jail.pod_trial import Seen, try_out
from jobs.jail.spec import MEBIBYTE, Capability, Ending, JailSpec, Limits, Outcome
from lineage.canonical import decode
from lineage.errors import GateRefusedError, MissingPartError


IMAGE = "registry.example/job@sha256:" + "a" * 64
CLUSTER = Cluster("jobs", "/etc/shuzha/kubeconfig", IMAGE, runtime_class="gvisor")


def make(tmp_path: Path, **limits: int) -> JailSpec:
    for name in ("visits", "code", "py"):
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / "visits" / "rows").write_text("rows")
    return JailSpec(
        name="run-0123456789abcdef",
        workspace=tmp_path / "run",
        uid=123_456,
        argv=("/opt/py/bin/python3", "-m", "shuzha_sdk.runner", "$(HOME)"),
        environment={"LANG": "C.UTF-8", "ODD": "$(LANG)"},
        read_only={"/in/visits": tmp_path / "visits", "/job": tmp_path / "code", "/opt/py": tmp_path / "py"},
        limits=Limits(**{"memory_bytes": 512 * MEBIBYTE, "processes": 64, "outbox_bytes": MEBIBYTE, **limits}),
    )


def container(pod: Any, name: str) -> dict[str, Any]:
    spec = pod["spec"]
    (found,) = [one for one in (*spec["containers"], *spec["initContainers"]) if one["name"] == name]
    return dict(found)


def test_the_pod_has_nothing_of_the_host_and_no_right_in_the_cluster(tmp_path: Path) -> None:
    pod = pod_object(CLUSTER, make(tmp_path), MEBIBYTE)
    spec = pod["spec"]
    assert {name: spec[name] for name in ("automountServiceAccountToken", "enableServiceLinks", "hostUsers")} == {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostUsers": False,
    }
    assert not any(spec[name] for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"))
    assert (spec["restartPolicy"], spec["runtimeClassName"], spec["dnsPolicy"]) == ("Never", "gvisor", "None")
    assert spec["dnsConfig"]["nameservers"] == ["192.0.2.1"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["activeDeadlineSeconds"] >= make(tmp_path).limits.seconds
    assert all(set(volume) == {"name", "emptyDir"} for volume in spec["volumes"])
    assert all("sizeLimit" in volume["emptyDir"] for volume in spec["volumes"])
    assert "serviceAccountName" not in spec


@pytest.mark.parametrize("name", ["stage", "run", "keep"])
def test_every_container_is_bounded_and_without_rights(tmp_path: Path, name: str) -> None:
    one = container(pod_object(CLUSTER, make(tmp_path), MEBIBYTE), name)
    security = one["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False)
    assert (security["runAsNonRoot"], security["privileged"]) == (True, False)
    assert one["resources"]["limits"] == one["resources"]["requests"]
    assert set(one["resources"]["limits"]) == {"cpu", "memory", "ephemeral-storage"}
    assert one["image"] == IMAGE
    assert not {"envFrom", "ports", "lifecycle", "livenessProbe", "volumeDevices"} & set(one)


def test_the_program_sees_what_was_staged_read_only_and_one_outbox(tmp_path: Path) -> None:
    pod = pod_object(CLUSTER, make(tmp_path), MEBIBYTE)
    mounts = {one["mountPath"]: one for one in container(pod, RUN)["volumeMounts"]}
    assert set(mounts) == {"/in/visits", "/job", "/out", "/tmp", "/dev/shm"}
    assert all(mounts[place]["readOnly"] and mounts[place]["subPath"] == place[1:] for place in ("/in/visits", "/job"))
    # What the trusted containers share with it is the outbox, and that only after its death is looked at.
    assert [one["name"] for one in container(pod, "keep")["volumeMounts"]] == ["out"]
    assert [one["name"] for one in container(pod, "stage")["volumeMounts"]] == ["staged"]
    sizes = {one["name"]: one["emptyDir"] for one in pod["spec"]["volumes"]}
    assert sizes["out"] == {"medium": "Memory", "sizeLimit": str(MEBIBYTE)}


def test_processes_are_bounded_and_no_value_is_replaced(tmp_path: Path) -> None:
    one = container(pod_object(CLUSTER, make(tmp_path), MEBIBYTE), RUN)
    assert one["command"][0] == "/usr/bin/prlimit"
    assert "--nproc=64:64" in one["command"]
    assert one["command"][-1] == "$$(HOME)"
    assert {"name": "ODD", "value": "$$(LANG)"} in one["env"]


def test_no_path_of_the_host_is_in_the_pod(tmp_path: Path) -> None:
    text = canonical_list(pod_object(CLUSTER, make(tmp_path), MEBIBYTE)).decode()
    assert str(tmp_path) not in text
    assert decode(text.encode())


def test_the_network_is_closed_in_both_directions_and_the_level_is_restricted() -> None:
    objects = {one["kind"]: one for one in namespace_objects(CLUSTER, 123_456)}
    policy = objects["NetworkPolicy"]["spec"]
    assert policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert objects["Namespace"]["metadata"]["name"] == "shuzha-123456"
    assert objects["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert objects["ResourceQuota"]["spec"]["hard"]["services"] == "0"


def test_a_mount_that_nobody_brings_is_refused(tmp_path: Path) -> None:
    spec = make(tmp_path)
    assert staged_places(CLUSTER, spec) == ("/in/visits", "/job")
    with pytest.raises(MissingPartError) as caught:
        staged_places(replace(CLUSTER, in_image=("/etc",)), spec)
    assert caught.value.code == "jail.not-in-image"


GOOD = {"context": "jobs", "kubeconfig": "/etc/k", "image": IMAGE}


def test_settings_of_a_cluster() -> None:
    found = read_cluster({"kubernetes": GOOD | {"nodes": {"a.example/b": "yes"}, "tolerations": ["x"]}})
    assert (found.context, dict(found.nodes), found.tolerations) == ("jobs", {"a.example/b": "yes"}, ("x",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": "registry.example/job:latest"},
        {"image": "-x@sha256:" + "a" * 64},
        {"context": "--token=x"},
        {"context": ""},
        {"kubeconfig": "relative"},
        {"prefix": "Up"},
        {"in_image": ["opt"]},
        {"nodes": {"a": "b c"}},
        {"nodes": ["a"]},
        {"runtime_class": 1},
        {"tolerations": [1]},
        {"hostNetwork": True},
    ],
)
def test_malformed_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(MissingPartError) as caught:
        read_cluster({"kubernetes": GOOD | wrong})
    assert caught.value.code == "jail.bad-cluster"


@pytest.mark.parametrize("missing", ["context", "kubeconfig", "image"])
def test_missing_settings_are_refused(missing: str) -> None:
    with pytest.raises(MissingPartError) as caught:
        read_cluster({"kubernetes": {name: value for name, value in GOOD.items() if name != missing}})
    assert caught.value.code == "jail.bad-cluster"


# --- the stream -----------------------------------------------------------------------------------------------------------------


def entry(name: str, kind: bytes = tarfile.REGTYPE, **facts: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.uid, made.gid, made.mode = kind, 1000, 1000, 0o644
    for fact, value in facts.items():
        setattr(made, fact, value)
    return made


def stream(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for made, content in entries:
            made.size = len(content)
            archive.addfile(made, io.BytesIO(content))
    return path


def test_plain_files_and_folders_are_unpacked(tmp_path: Path) -> None:
    made = stream(
        tmp_path / "s",
        (entry("./", tarfile.DIRTYPE), b""),
        (entry("./a.txt"), b"a"),
        (entry("./d", tarfile.DIRTYPE), b""),
        (entry("./d/b.txt"), b"b"),
    )
    unpack(made, tmp_path / "out", Limits())
    assert (tmp_path / "out" / "d" / "b.txt").read_text() == "b"
    assert (tmp_path / "out" / "a.txt").read_text() == "a"


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (entry("a", tarfile.SYMTYPE, linkname="/etc/passwd"), "outbox.link"),
        (entry("a", tarfile.LNKTYPE, linkname="b"), "outbox.hard-link"),
        (entry("a", tarfile.FIFOTYPE), "outbox.device"),
        (entry("a", tarfile.CHRTYPE), "outbox.device"),
        (entry("a", tarfile.BLKTYPE), "outbox.device"),
        (entry("a", uid=0), "outbox.owner"),
        (entry("a", gid=7), "outbox.owner"),
        (entry("a", mode=0o4755), "outbox.mode"),
        (entry("../a"), "outbox.name"),
        (entry("/a"), "outbox.name"),
        (entry("d/../../a"), "outbox.name"),
        (entry("a/b/c/d/e"), "outbox.name"),
        (entry("x" * 300), "outbox.name"),
    ],
)
def test_a_hostile_entry_is_refused(tmp_path: Path, made: tarfile.TarInfo, code: str) -> None:
    with pytest.raises(GateRefusedError) as caught:
        unpack(stream(tmp_path / "s", (made, b"")), tmp_path / "out", Limits())
    assert caught.value.code == code
    assert not (tmp_path / "a").exists()


def test_two_of_one_name_and_too_many_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GateRefusedError) as caught:
        unpack(stream(tmp_path / "s", (entry("a"), b"1"), (entry("a"), b"2")), tmp_path / "one", Limits())
    assert caught.value.code == "outbox.same-name"
    many = [(entry(str(number)), b"") for number in range(5)]
    with pytest.raises(GateRefusedError) as caught:
        unpack(stream(tmp_path / "t", *many), tmp_path / "two", Limits(outbox_files=4))
    assert caught.value.code == "outbox.too-many"


def test_an_endless_stream_is_cut_and_refused(tmp_path: Path) -> None:
    limits = Limits(outbox_bytes=MEBIBYTE)
    with pytest.raises(GateRefusedError) as caught:
        keep_stream(io.BytesIO(b"\0" * 4 * MEBIBYTE), tmp_path / "s", limits)
    assert caught.value.code == "outbox.too-large"
    assert (tmp_path / "s").stat().st_size <= 2 * MEBIBYTE


@pytest.mark.parametrize("content", [b"", b"no tar", b"\x1f\x8b\x08" + b"x" * 2000])
def test_what_is_no_stream_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(MissingPartError):
        unpack(tmp_path / "s", tmp_path / "out", Limits())


def test_a_stream_that_broke_off_is_refused(tmp_path: Path) -> None:
    whole = stream(tmp_path / "s", (entry("a"), b"x" * 5000)).read_bytes()
    (tmp_path / "t").write_bytes(whole[:2000])
    with pytest.raises(MissingPartError):
        unpack(tmp_path / "t", tmp_path / "out", Limits())


# --- the life of a pod ----------------------------------------------------------------------------------------------------------

STANDS_FOR_KUBECTL = """#!{python}
import json, os, pathlib, shutil, subprocess, sys
home = pathlib.Path({home!r})
behaviour = json.loads((home / "behaviour").read_text())
words = [word for word in sys.argv[1:] if not word.startswith(("--kubeconfig", "--context", "--request-timeout"))]
with (home / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
words = [word for word in words if not word.startswith("--namespace")]
verb = words[0]
pods = home / "pods"
def status(pod, folder):
    said = {{"initContainerStatuses": [{{"name": "stage", "state": {{"running": {{}}}}}}]}}
    if behaviour.get("stuck"):
        said["initContainerStatuses"] = [{{"name": "stage", "state": {{"waiting": {{"reason": behaviour["stuck"]}}}}}}]
    if (folder / "staged" / "ready").exists():
        if behaviour.get("hang"):
            state = {{"running": {{}}}}
        else:
            if not (folder / "done").exists():
                exec(behaviour.get("leaves", ""), {{"out": folder / "out", "staged": folder / "staged"}})
                (folder / "done").touch()
            state = {{"terminated": {{"exitCode": behaviour["exit"], "reason": behaviour.get("reason", "")}}}}
        said["containerStatuses"] = [{{"name": "run", "state": state}}]
    return dict(pod, status=said)
if verb in ("apply", "create"):
    for item in json.load(sys.stdin)["items"]:
        if item["kind"] == "Pod":
            folder = pods / item["metadata"]["name"]
            for name in ("staged", "out"):
                (folder / name).mkdir(parents=True)
            (folder / "pod").write_text(json.dumps(item))
elif verb == "get":
    kind, name = words[1:3]
    if kind == "pod" and (pods / name / "pod").exists():
        print(json.dumps(status(json.loads((pods / name / "pod").read_text()), pods / name)))
    elif kind != "pod" and kind in behaviour:
        print(json.dumps(behaviour[kind]))
elif verb == "exec":
    words.remove("-i") if "-i" in words else None
    name, where, command = words[1], words[3], words[5:]
    folder = pods / name
    if command[0] == "touch":
        (folder / "staged" / "ready").touch()
    elif where == "stage":
        subprocess.run(["tar", "-x", "-C", str(folder / "staged"), "-f", "-"], stdin=sys.stdin, check=True)
    else:
        owners = ["--owner=1000", "--group=1000"]
        subprocess.run(["tar", "-c", *owners, "--format=pax", "-C", str(folder / "out"), "-f", "-", "."], check=True)
        sys.exit(behaviour.get("take", 0))
elif verb == "logs":
    print(behaviour.get("log", "said"))
elif verb == "delete" and words[1] == "pod":
    shutil.rmtree(pods / words[2], ignore_errors=True)
sys.exit(behaviour.get("fail", 0))
"""


class Held(PodJail):
    """A pod jail whose cluster was tried out already."""

    def capability(self) -> Capability:
        return Capability(network=True, files=True, uid=True, limits=True, kernel=True)


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[..., Kubectl]:
    home = tmp_path / "cluster"
    (home / "pods").mkdir(parents=True)
    program = home / "kubectl"
    program.write_text(STANDS_FOR_KUBECTL.format(python=sys.executable, home=str(home)))
    program.chmod(0o755)

    def behave(**behaviour: Any) -> Kubectl:
        (home / "behaviour").write_text(json.dumps({"exit": 0, **behaviour}))
        return Kubectl(CLUSTER, program)

    return behave


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_cluster, "_LOOK_EVERY", 0.01)
    monkeypatch.setattr("jobs.jail.pod._LOOK_EVERY", 0.05)


def calls(tmp_path: Path) -> list[list[str]]:
    return [json.loads(line) for line in (tmp_path / "cluster" / "calls").read_text().splitlines()]


def prepare_and_run(jail: PodJail, spec: JailSpec) -> Outcome:
    jail.prepare(spec)
    return jail.run(spec, lambda: False)


def test_a_run_from_its_pod_to_its_outbox(tmp_path: Path, stand_in: Callable[..., Kubectl]) -> None:
    leaves = "(out / 'a.txt').write_text((staged / 'in' / 'visits' / 'rows').read_text())"
    jail, spec = Held(CLUSTER, stand_in(leaves=leaves)), make(tmp_path)
    outcome = prepare_and_run(jail, spec)
    assert (outcome.ending, outcome.exit_code, outcome.log.read_text()) == (Ending.DONE, 0, "said\n")
    (item,) = jail.collect(spec, tmp_path / "taken")
    assert (item.name, item.path.read_text()) == ("a.txt", "rows")
    assert jail.collect(spec, tmp_path / "taken") == (item,)
    jail.cleanup(spec)
    made = calls(tmp_path)
    assert all(call[0] == "--kubeconfig=/etc/shuzha/kubeconfig" and call[1] == "--context=jobs" for call in made)
    order = [next(word for word in call if not word.startswith("--")) for call in made]
    taken = next(place for place, call in enumerate(made) if "keep" in call)
    assert "delete" in order[taken:]
    assert not list((tmp_path / "cluster" / "pods").iterdir())


@pytest.mark.parametrize(
    ("behaviour", "ending", "exit_code"),
    [
        ({"exit": 3}, Ending.FAILED, 3),
        ({"exit": 137, "reason": "OOMKilled"}, Ending.MEMORY, 137),
        ({"hang": True}, Ending.TIME, -1),
    ],
)
def test_endings_of_a_pod(
    tmp_path: Path, stand_in: Callable[..., Kubectl], behaviour: dict[str, Any], ending: Ending, exit_code: int
) -> None:
    jail, spec = Held(CLUSTER, stand_in(**behaviour)), make(tmp_path, seconds=1)
    outcome = prepare_and_run(jail, spec)
    assert (outcome.ending, outcome.exit_code) == (ending, exit_code)
    assert not list((tmp_path / "cluster" / "pods").iterdir())


def test_a_cancelled_pod_is_gone_and_leaves_no_outbox(tmp_path: Path, stand_in: Callable[..., Kubectl]) -> None:
    jail, spec = Held(CLUSTER, stand_in(hang=True)), make(tmp_path)
    jail.prepare(spec)
    assert jail.run(spec, lambda: True).ending is Ending.CANCELLED
    with pytest.raises(MissingPartError) as caught:
        jail.collect(spec, tmp_path / "taken")
    assert caught.value.code == "jail.outbox-gone"


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ({"stuck": "ImagePullBackOff"}, "jail.not-made"),
        ({"take": 1}, "jail.outbox-gone"),
        ({"fail": 1}, "jail.cluster-failed"),
    ],
)
def test_what_the_cluster_does_not_do_is_an_error(
    tmp_path: Path, stand_in: Callable[..., Kubectl], behaviour: dict[str, Any], code: str
) -> None:
    jail, spec = Held(CLUSTER, stand_in(**behaviour)), make(tmp_path)
    with pytest.raises(MissingPartError) as caught:
        prepare_and_run(jail, spec)
    assert caught.value.code == code


def test_hostile_leavings_of_a_pod_are_refused(tmp_path: Path, stand_in: Callable[..., Kubectl]) -> None:
    leaves = "(out / 'a').symlink_to('/etc/passwd')"
    jail, spec = Held(CLUSTER, stand_in(leaves=leaves)), make(tmp_path)
    jail.prepare(spec)
    jail.run(spec, lambda: False)
    with pytest.raises(GateRefusedError) as caught:
        jail.collect(spec, tmp_path / "taken")
    assert caught.value.code == "outbox.link"
    assert not (tmp_path / "taken").exists()


def test_without_kubectl_nothing_is_claimed(tmp_path: Path) -> None:
    told = try_out(CLUSTER, Kubectl(CLUSTER, tmp_path / "absent"))
    assert told.missing == ("kubectl",)
    assert not told.whole
    with pytest.raises(MissingPartError) as caught:
        PodJail(CLUSTER, Kubectl(CLUSTER, tmp_path / "absent")).prepare(make(tmp_path))
    assert caught.value.code == "jail.incomplete"


HELD = {
    "api": False,
    "resolver": False,
    "name": False,
    "token": False,
    "service": False,
    "root": False,
    "uid": 1000,
    "capabilities": 0,
    "privileges": "1",
    "users": ["0", "65536", "65536"],
    "release": "4.19.0-gvisor",
    "processes": 30,
    "room": 64 * MEBIBYTE,
}


def seen(closed: dict[str, Any] | None = None, **facts: Any) -> Seen:
    usual: dict[str, Any] = {"memory": Ending.MEMORY, "node_release": "6.1.0", "host_users": False}
    return Seen(closed=HELD | (closed or {}), open=HELD | {"api": True} | facts.pop("open", {}), **usual | facts)


def test_what_was_seen_to_hold_is_claimed() -> None:
    assert seen().parts("gvisor") == dict.fromkeys(("network", "files", "uid", "limits", "kernel"), True)
    assert not seen().parts("")["kernel"]


@pytest.mark.parametrize(
    ("found", "part"),
    [
        (seen({"api": True}), "network"),
        (seen({"resolver": True}), "network"),
        (seen({"name": True}), "network"),
        # A closed pod that reaches nothing proves nothing where an open one reaches nothing either.
        (seen(open={"api": False}), "network"),
        (seen({"token": True}), "files"),
        (seen({"service": True}), "files"),
        (seen({"root": True}), "files"),
        (seen({"capabilities": 1}), "files"),
        (seen({"privileges": "0"}), "files"),
        (seen({"uid": 0}), "files"),
        (seen(host_users=True), "uid"),
        (seen(memory=Ending.DONE), "limits"),
        (seen({"processes": 40}), "limits"),
        (seen({"room": 128 * MEBIBYTE}), "limits"),
        (seen(node_release="4.19.0-gvisor"), "kernel"),
        (seen(node_release=""), "kernel"),
    ],
)
def test_what_was_not_seen_to_hold_is_not_claimed(found: Seen, part: str) -> None:
    parts = found.parts("gvisor")
    assert not parts[part]
    assert all(held for name, held in parts.items() if name != part)


def test_the_users_of_the_host_are_seen_without_a_second_kernel() -> None:
    assert not seen({"users": ["0", "0", "4294967295"]}).parts("")["uid"]


def test_a_cluster_without_its_services_is_not_used(stand_in: Callable[..., Kubectl]) -> None:
    assert try_out(CLUSTER, stand_in()).missing == ("service kubernetes",)


def test_an_answer_that_is_none_is_not_believed(tmp_path: Path, stand_in: Callable[..., Kubectl]) -> None:
    kubectl = stand_in(service={"spec": {"clusterIP": "10.0.0.1"}}, log='"x"')
    told = try_out(CLUSTER, kubectl)
    assert (told.whole, told.missing) == (False, ("an answer of the trial",))
    assert not list((tmp_path / "cluster" / "pods").iterdir())


def test_a_trial_is_three_pods_and_leaves_none(tmp_path: Path, stand_in: Callable[..., Kubectl]) -> None:
    """The stand-in says the same everywhere, so the open pod does not reach the cluster: no network is claimed."""
    kubectl = stand_in(service={"spec": {"clusterIP": "10.0.0.1"}}, log=json.dumps(HELD))
    told = try_out(CLUSTER, kubectl)
    assert not told.network
    assert told.files
    assert "network" in told.missing
    assert not list((tmp_path / "cluster" / "pods").iterdir())
    assert sum("create" in call for call in calls(tmp_path)) == 3


def test_states_of_a_container() -> None:
    pod = {"status": {"containerStatuses": [{"name": "run", "state": {"terminated": {"exitCode": 3}}}]}}
    assert container_state(pod, "run") == ("terminated", {"exitCode": 3})
    assert container_state(pod, "keep") == ("waiting", {})
    assert waiting_for({"status": {"phase": "Pending"}}) == "Pending"
