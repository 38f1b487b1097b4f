"""What a pod on a cluster really isolates, found out by running trusted code in pods made as a tenant's are (law 7).

Three pods: one in a closed namespace, one in a namespace that is open (what the first cannot reach proves nothing unless the second
reaches it), one that takes more memory than it has. A part that was not seen to hold is not claimed.
"""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jobs.jail import pod_prober
from jobs.jail.pod import PodJail
from jobs.jail.pod_cluster import Kubectl
from jobs.jail.pod_manifest import namespace_of
from jobs.jail.pod_settings import Cluster
from jobs.jail.runtimes import python_runtime
from jobs.jail.spec import LOWEST_UID, MEBIBYTE, Capability, Ending, JailSpec, Limits, Outcome
from lineage.errors import MissingPartError


_LIMITS: Final = Limits(memory_bytes=128 * MEBIBYTE, processes=32, seconds=120, outbox_bytes=MEBIBYTE, outbox_files=4)
_GREEDY: Final = "import sys; held = [bytearray(b'x' * 1048576) for _ in range(512)]; sys.exit(0)"
_CLOSED, _OPEN = LOWEST_UID, LOWEST_UID + 1


class _Unasked(PodJail):
    """The jail that is tried out; asking whether it is whole would ask for this very trial."""

    def __init__(self, cluster: Cluster, kubectl: Kubectl) -> None:
        super().__init__(cluster, kubectl)
        self.ran: Mapping[str, Any] = {}

    def capability(self) -> Capability:
        return Capability(network=True, files=True, uid=True, limits=True, kernel=True)

    def note(self, pod: Mapping[str, Any]) -> None:
        self.ran = pod.get("spec", {})


class _Open(_Unasked):
    """The same without the closed network."""

    def objects(self, uid: int) -> tuple[Mapping[str, Any], ...]:
        return tuple(one for one in super().objects(uid) if one["kind"] != "NetworkPolicy")


@dataclass(frozen=True)
class Seen:
    """What the pods said, and what the cluster says of itself."""

    closed: Mapping[str, Any]
    open: Mapping[str, Any]
    memory: Ending
    node_release: str
    host_users: bool

    def parts(self, runtime_class: str) -> Mapping[str, bool]:
        """Judge each part of the capability record."""
        closed = self.closed
        own_users = closed["users"][:2] != ["0", "0"] or bool(runtime_class)
        return {
            "network": bool(self.open["api"]) and not any(closed[name] for name in ("api", "resolver", "name")),
            "files": not any(closed[name] for name in ("token", "service", "root", "capabilities"))
            and (closed["uid"], closed["privileges"]) == (1000, "1"),
            "uid": not self.host_users and own_users,
            "limits": self.memory is Ending.MEMORY
            and closed["processes"] <= _LIMITS.processes
            and closed["room"] <= _LIMITS.memory_bytes // 2,
            "kernel": bool(runtime_class and self.node_release) and closed["release"] != self.node_release,
        }


def try_out(cluster: Cluster, kubectl: Kubectl) -> Capability:
    """Run the pods and judge what they saw.

    Never raises: a cluster that does not answer isolates nothing, and ``missing`` says so.
    """
    try:
        parts = _look(cluster, kubectl).parts(cluster.runtime_class)
    except MissingPartError as error:
        told = str(error.params.get("detail", error.code))
        return Capability(network=False, files=False, uid=False, limits=False, kernel=False, missing=(told,))
    except (KeyError, TypeError, ValueError):
        return Capability(
            network=False, files=False, uid=False, limits=False, kernel=False, missing=("an answer of the trial",)
        )
    missing = tuple(name for name, held in parts.items() if not held and name != "kernel")
    return Capability(**parts, missing=missing)


def _look(cluster: Cluster, kubectl: Kubectl) -> Seen:
    api = _address(kubectl, "kubernetes", "default", 443)
    resolver = _address(kubectl, "kube-dns", "kube-system", 53)
    prober = Path(pod_prober.__file__).read_text(encoding="utf-8")
    tries = (api, resolver, str(_LIMITS.processes + 8), str(_LIMITS.memory_bytes))
    try:
        reached = _run(_Open(cluster, kubectl), _OPEN, prober, *tries)
    finally:
        kubectl.delete_namespace(namespace_of(cluster, _OPEN))
    closed = _run(_Unasked(cluster, kubectl), _CLOSED, prober, *tries)
    greedy = _run(_Unasked(cluster, kubectl), _CLOSED, _GREEDY)
    return Seen(
        closed=_said(closed),
        open=_said(reached),
        memory=greedy.outcome.ending,
        node_release=closed.node_release,
        host_users=closed.host_users,
    )


@dataclass(frozen=True)
class _Run:
    outcome: Outcome
    said: str
    node_release: str
    host_users: bool


def _run(jail: _Unasked, uid: int, code: str, *arguments: str) -> _Run:
    """Run one program, and read from the cluster where and how its pod really ran: a field it does not know it drops."""
    with tempfile.TemporaryDirectory(prefix="shuzha-trial-") as folder:
        name = f"trial-{secrets.token_hex(8)}"
        argv = (*python_runtime().argv, "-c", code, *arguments)
        spec = JailSpec(name, Path(folder) / "run", uid, argv, {"PATH": "/usr/bin:/bin"}, {}, _LIMITS)

        try:
            jail.prepare(spec)
            outcome = jail.run(spec, lambda: False)
            said = outcome.log.read_text(encoding="utf-8", errors="replace")
        finally:
            jail.cleanup(spec)
    place = str(jail.ran.get("nodeName", ""))
    node = jail.kubectl.get("node", place) if place else None
    release = str((node or {}).get("status", {}).get("nodeInfo", {}).get("kernelVersion", ""))
    return _Run(outcome, said, release, jail.ran.get("hostUsers", True) is not False)


def _said(run: _Run) -> Mapping[str, Any]:
    if run.outcome.ending is not Ending.DONE:
        raise MissingPartError("jail.not-made", detail=f"trial: {run.outcome.ending}")
    found = json.loads(run.said.splitlines()[-1])
    if not isinstance(found, dict):
        raise TypeError("an object")
    return found


def _address(kubectl: Kubectl, service: str, namespace: str, port: int) -> str:
    found = kubectl.get("service", service, namespace)
    address = (found or {}).get("spec", {}).get("clusterIP")
    if not address:
        raise MissingPartError("jail.no-cluster", detail=f"service {service}")
    return f"{address}:{port}"
