"""The cluster that a domain's jobs run on: the ``[kubernetes]`` table of its ``domain.toml``.

```toml
jail = "k8s-pod"

[kubernetes]
context = "shuzha-jobs"          # of kubectl's own settings; never a default: it must be this cluster and no other
kubeconfig = "/etc/shuzha/kubeconfig"
image = "registry.example/shuzha-job@sha256:…"     # by digest; made from infra/kubernetes/Containerfile
in_image = ["/opt", "/etc"]      # what of a run's mounts the image brings itself
runtime_class = "gvisor"         # optional: a kernel of its own
prefix = "shuzha"                # of the namespaces, one a tenant's uid
nodes = { "shuzha.example/jobs" = "yes" }          # optional: only on nodes with these labels
tolerations = ["shuzha-grade-4"] # optional: keys of taints that keep everybody else off those nodes
```
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from lineage.errors import MissingPartError


KUBECTL: Final = (Path("/usr/local/bin/kubectl"), Path("/usr/bin/kubectl"))
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_CONTEXT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/-]{0,252}")
_IMAGE: Final = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]{0,200}@sha256:[0-9a-f]{64}")
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,120}[A-Za-z0-9])?")
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)+")
_FORMS: Final = {
    "context": _CONTEXT,
    "kubeconfig": _PATH,
    "image": _IMAGE,
    "prefix": _NAME,
    "runtime_class": re.compile(rf"(?:{_NAME.pattern})?"),
}


@dataclass(frozen=True)
class Cluster:
    """Which cluster, and what a pod there is made of; see the module's example."""

    context: str
    kubeconfig: str
    image: str
    in_image: tuple[str, ...] = ("/opt", "/etc")
    runtime_class: str = ""
    prefix: str = "shuzha"
    nodes: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no name, and an image without a digest: what runs must be what was reviewed.

        Raises:
            MissingPartError: ``jail.bad-cluster`` with the key.
        """
        for key, form in _FORMS.items():
            if not isinstance(getattr(self, key), str) or not form.fullmatch(getattr(self, key)):
                raise MissingPartError("jail.bad-cluster", key=key)
        if not _all_match(_PATH, self.in_image):
            raise MissingPartError("jail.bad-cluster", key="in_image")
        if not _all_match(_LABEL, (*self.nodes, *self.nodes.values())):
            raise MissingPartError("jail.bad-cluster", key="nodes")
        if not _all_match(_LABEL, self.tolerations):
            raise MissingPartError("jail.bad-cluster", key="tolerations")
        object.__setattr__(self, "nodes", MappingProxyType(dict(self.nodes)))


def _all_match(form: re.Pattern[str], values: tuple[object, ...]) -> bool:
    return all(isinstance(value, str) and form.fullmatch(value) for value in values)


def read_cluster(settings: Mapping[str, Any]) -> Cluster:
    """Read the table.

    Raises:
        MissingPartError: it is missing, malformed, or has a key that nobody knows (law 7).
    """
    given = settings.get("kubernetes")
    if not isinstance(given, dict):
        raise MissingPartError("jail.bad-cluster", key="[kubernetes]")
    known = {item.name for item in fields(Cluster)}
    unknown = sorted(set(given) - known)
    if unknown:
        raise MissingPartError("jail.bad-cluster", key=ascii(unknown[0])[:40])
    lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    try:
        return Cluster(**{**given, **lists})
    except (TypeError, AttributeError) as error:
        raise MissingPartError("jail.bad-cluster", key="context, kubeconfig, image") from error
