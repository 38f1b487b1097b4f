"""The objects of a run, judged by Kubernetes' own types and by its own admission code (k8s.io/api, k8s.io/pod-security-admission).

Needs Go and, the first time, its modules from the network; so it runs only where SHUZHA_INTEROP=1 asks for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from jobs.jail.pod_manifest import canonical_list, namespace_objects, pod_object
from jobs.jail.pod_settings import Cluster
from jobs.jail.spec import JailSpec


pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(os.environ.get("SHUZHA_INTEROP") != "1", reason="SHUZHA_INTEROP=1 is not set"),
    pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed"),
]

CHECK = Path(__file__).resolve().parents[4] / "infra" / "kubernetes" / "check"
CLUSTER = Cluster(
    "jobs",
    "/etc/shuzha/kubeconfig",
    "registry.example/job@sha256:" + "a" * 64,
    runtime_class="gvisor",
    nodes={"shuzha.example/jobs": "yes"},
    tolerations=("shuzha-grade-4",),
)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("types")
    (folder / "visits").mkdir()
    read_only = {"/in/visits": folder / "visits", "/job": folder / "visits"}
    spec = JailSpec("run-0123456789abcdef", folder / "run", 123_456, ("/opt/py/bin/python3",), {"LANG": "C"}, read_only)
    return canonical_list(*namespace_objects(CLUSTER, spec.uid), pod_object(CLUSTER, spec, 1 << 20))


def judge(objects: bytes) -> tuple[int, str]:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
    done = subprocess.run(
        ["go", "run", "."], cwd=CHECK, env=environment, input=objects, capture_output=True, check=False
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def test_every_field_is_known_and_the_pod_is_restricted(objects: bytes) -> None:
    code, said = judge(objects)
    assert (code, said.split("\n")) == (0, ["Namespace ok", "NetworkPolicy ok", "ResourceQuota ok", "Pod ok", ""])


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"hostUsers"', b'"hostUser"', "unknown field"),
        (b'"allowPrivilegeEscalation":false', b'"allowPrivilegeEscalation":true', "not restricted"),
        (b'"drop":["ALL"]', b'"drop":[]', "not restricted"),
        (b'"hostNetwork":false', b'"hostNetwork":true', "not restricted"),
        (b'"type":"RuntimeDefault"', b'"type":"Unconfined"', "not restricted"),
    ],
)
def test_the_judge_refuses_what_is_weaker(objects: bytes, old: bytes, new: bytes, reason: str) -> None:
    assert old in objects
    code, said = judge(objects.replace(old, new))
    assert code != 0
    assert reason in said
