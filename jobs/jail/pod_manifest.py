"""A run as Kubernetes objects: the namespace with its quota and its closed network, and the pod (law 1).

Pure: from a specification to canonical JSON, so that what is applied can be read, compared and filed. The pod has three containers of
one reviewed image, and only ``run`` is the tenant's:

* ``stage`` takes job and tables from the platform before anything of the tenant's runs, and ends;
* ``run`` is the program. It sees what was staged, read-only, and the outbox;
* ``keep`` does nothing until ``run`` is dead; then the platform takes the outbox through it.

What each field closes is said in ``docs/jail-backends.md``. Sources: Kubernetes' Pod Security Standards ("restricted"), and its
documentation of network policies, user namespaces (KEP-127), memory-backed volumes (KEP-1967) and runtime classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from jobs.jail.options import INSIDE_UID, process_limits
from jobs.jail.pod_settings import Cluster
from jobs.jail.spec import MEBIBYTE, JailSpec
from lineage.canonical import encode
from lineage.errors import MissingPartError


RUN, STAGE, KEEP = "run", "stage", "keep"
STAGED: Final = "/staged"
READY: Final = f"{STAGED}/ready"
_STAGING_SECONDS: Final = 3600
_HELPER_MEMORY: Final = 64 * MEBIBYTE
# What a node keeps of a container's output before it ends the pod.
_LOG_BYTES: Final = 64 * MEBIBYTE
# An address of the documentation range (RFC 5737): nothing answers there, whatever the node's own resolver would.
_NO_RESOLVER: Final = "192.0.2.1"
_LABEL: Final = "shuzha.run"


def namespace_of(cluster: Cluster, uid: int) -> str:
    """Name the namespace of a tenant's user: its own, so that quota, policy and names are its own."""
    return f"{cluster.prefix}-{uid}"


def namespace_objects(cluster: Cluster, uid: int) -> tuple[Mapping[str, Any], ...]:
    """Make what must be there before a pod: namespace, network closed in both directions (DNS too), quota."""
    name = namespace_of(cluster, uid)
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    nothing = (
        "services",
        "persistentvolumeclaims",
        "count/jobs.batch",
        "count/deployments.apps",
        "count/statefulsets.apps",
    )
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": levels}},
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "closed", "namespace": name},
            # Both directions named and no rule for either: nothing in, nothing out, no name server.
            "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
        },
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "bounds", "namespace": name},
            "spec": {"hard": {"pods": "8", **dict.fromkeys(nothing, "0")}},
        },
    )


def pod_object(cluster: Cluster, spec: JailSpec, staged_bytes: int) -> Mapping[str, Any]:
    """Make the pod of a run; ``staged_bytes`` is the most that job and tables take.

    Raises:
        MissingPartError: a mount is neither staged nor in the image.
    """
    limits = spec.limits
    placement: dict[str, Any] = {"runtimeClassName": cluster.runtime_class} if cluster.runtime_class else {}
    if cluster.nodes:
        placement["nodeSelector"] = dict(cluster.nodes)
    if cluster.tolerations:
        placement["tolerations"] = [{"key": key, "operator": "Exists"} for key in cluster.tolerations]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": spec.name, "namespace": namespace_of(cluster, spec.uid), "labels": {_LABEL: spec.name}},
        "spec": {
            "activeDeadlineSeconds": limits.seconds + _STAGING_SECONDS,
            "automountServiceAccountToken": False,
            "containers": [_run_container(cluster, spec), _helper(cluster, KEEP, _keeping(), _out_mount())],
            "dnsConfig": {"nameservers": [_NO_RESOLVER]},
            "dnsPolicy": "None",
            "enableServiceLinks": False,
            "hostIPC": False,
            "hostNetwork": False,
            "hostPID": False,
            "hostUsers": False,
            "hostname": "jail",
            "initContainers": [_helper(cluster, STAGE, _staging(), [{"name": "staged", "mountPath": STAGED}])],
            "preemptionPolicy": "Never",
            "restartPolicy": "Never",
            "securityContext": {
                "runAsGroup": INSIDE_UID,
                "runAsNonRoot": True,
                "runAsUser": INSIDE_UID,
                "seccompProfile": {"type": "RuntimeDefault"},
                "supplementalGroups": [],
            },
            "setHostnameAsFQDN": False,
            "shareProcessNamespace": False,
            "terminationGracePeriodSeconds": 0,
            "volumes": _volumes(spec, staged_bytes),
            **placement,
        },
    }


def canonical_list(*objects: Mapping[str, Any]) -> bytes:
    """Write objects as one canonical JSON list, as it is applied."""
    return encode({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def staged_places(cluster: Cluster, spec: JailSpec) -> tuple[str, ...]:
    """Give the places inside that the platform brings; everything else must be in the image.

    Raises:
        MissingPartError: ``jail.not-in-image``.
    """
    places = []
    for inside in sorted(spec.read_only):
        if inside == "/job" or inside.startswith("/in/"):
            places.append(inside)
        elif not any(PurePosixPath(inside).is_relative_to(folder) for folder in cluster.in_image):
            raise MissingPartError("jail.not-in-image", path=ascii(inside)[:80])
    return tuple(places)


def _run_container(cluster: Cluster, spec: JailSpec) -> Mapping[str, Any]:
    limits = spec.limits
    # The kubelet bounds processes for all pods of a node alike; inside its own user namespace a limit per user is this pod's alone.
    bounds = [f"--{name.removeprefix('RLIMIT_').lower()}={value}:{value}" for name, value in _own_limits(spec).items()]
    mounts = [
        {"name": "staged", "mountPath": place, "subPath": place[1:], "readOnly": True}
        for place in staged_places(cluster, spec)
    ]
    # The outbox and the two folders in memory are charged to the container that writes there.
    amount = {"cpu": str(limits.cores), "memory": str(limits.memory_bytes), "ephemeral-storage": str(_LOG_BYTES)}
    return {
        **_container(cluster, RUN, ["/usr/bin/prlimit", *bounds, "--", *spec.argv], amount),
        "env": [{"name": name, "value": _literal(value)} for name, value in sorted(spec.environment.items())],
        "volumeMounts": [*mounts, *_out_mount(), *_memory_mounts()],
    }


def _own_limits(spec: JailSpec) -> Mapping[str, int]:
    limits = process_limits(spec.limits)
    names = ("RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NOFILE")
    return {name: limits[name] for name in names} | {"RLIMIT_NPROC": spec.limits.processes}


def _literal(value: str) -> str:
    """Double the dollar: the kubelet replaces ``$(NAME)`` in values."""
    return value.replace("$", "$$")


def _helper(cluster: Cluster, name: str, script: str, mounts: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    amount = {"cpu": "1", "memory": str(_HELPER_MEMORY), "ephemeral-storage": str(_LOG_BYTES)}
    return {**_container(cluster, name, ["/bin/sh", "-c", script], amount), "volumeMounts": mounts}


def _container(cluster: Cluster, name: str, command: list[str], amount: Mapping[str, str]) -> dict[str, Any]:
    return {
        "command": [_literal(part) for part in command],
        "image": cluster.image,
        "imagePullPolicy": "IfNotPresent",
        "name": name,
        # Equal, so that the pod is of the guaranteed class and nobody else's use decides about it.
        "resources": {"limits": dict(amount), "requests": dict(amount)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "procMount": "Default",
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        },
        "workingDir": "/tmp" if name == RUN else "/",  # noqa: S108 -- inside, a file system in memory of this run alone
    }


def _staging() -> str:
    return f"until [ -e {READY} ]; do sleep 0.2; done"


def _keeping() -> str:
    return "trap 'exit 0' TERM; while :; do sleep 1; done"


def _out_mount() -> list[Mapping[str, Any]]:
    return [{"name": "out", "mountPath": "/out"}]


def _memory_mounts() -> list[Mapping[str, Any]]:
    return [{"name": "tmp", "mountPath": "/tmp"}, {"name": "shm", "mountPath": "/dev/shm"}]  # noqa: S108


def _volumes(spec: JailSpec, staged_bytes: int) -> list[Mapping[str, Any]]:
    """Folders of this pod alone. In memory where the program writes: only there is the size the kernel's bound, not a later eviction."""
    limits = spec.limits
    sizes = {"out": limits.outbox_bytes, "tmp": limits.memory_bytes // 2, "shm": limits.memory_bytes // 4}
    memory = [{"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": str(size)}} for name, size in sizes.items()]
    return [{"name": "staged", "emptyDir": {"sizeLimit": str(staged_bytes)}}, *memory]
