"""A cluster, spoken to through ``kubectl`` alone: it is what a site has installed, signed in and audited (law 7)."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Final

from jobs.jail.pod_settings import KUBECTL, Cluster
from lineage.errors import MissingPartError


_SECONDS: Final = 60
_STREAM_SECONDS: Final = 3600
_LOOK_EVERY: Final = 0.5
# What a pod waits for that nothing but a change of ours or of the cluster's mends.
_HOPELESS: Final = frozenset(
    {
        *(
            "CreateContainerConfigError",
            "CreateContainerError",
            "RunContainerError",
            "ErrImageNeverPull",
            "ErrImagePull",
        ),
        *("ImagePullBackOff", "InvalidImageName", "CreatePodSandboxError", "Failed", "DeadlineExceeded", "Evicted"),
    }
)


class Kubectl:
    """One cluster's ``kubectl``.

    Args:
        cluster: which cluster; its context is named in every call, so that a changed default cannot lead elsewhere.
        program: the client; by default the installed one.
    """

    def __init__(self, cluster: Cluster, program: Path | None = None) -> None:
        self._cluster = cluster
        self._program = program

    @property
    def program(self) -> Path:
        """The client.

        Raises:
            MissingPartError: it is not installed.
        """
        found = self._program or next((place for place in KUBECTL if place.is_file()), None)
        if found is None or not found.is_file():
            raise MissingPartError("jail.no-cluster", detail="kubectl")
        return found

    def apply(self, objects: bytes) -> None:
        """Make or keep objects as they are written."""
        self._run(["apply", "--server-side", "--force-conflicts", "--field-manager=shuzha", "-f", "-"], given=objects)

    def create(self, objects: bytes) -> None:
        """Make objects that must not be there yet."""
        self._run(["create", "-f", "-"], given=objects)

    def get(self, kind: str, name: str, namespace: str = "") -> Mapping[str, Any] | None:
        """Read one object; None when there is none."""
        said = self._run([*_in(namespace), "get", kind, name, "--ignore-not-found", "-o", "json"])
        if not said.strip():
            return None
        try:
            found = json.loads(said)
        except ValueError as error:
            raise MissingPartError("jail.cluster-failed", detail="json") from error
        return found if isinstance(found, dict) else None

    def delete_pod(self, name: str, namespace: str) -> None:
        """End a pod at once and wait until it is gone; one that is not there is no error."""
        end = ["--ignore-not-found", "--grace-period=0", "--wait=true", f"--timeout={_SECONDS}s"]
        self._run([*_in(namespace), "delete", "pod", name, *end], seconds=2 * _SECONDS)
        if self.get("pod", name, namespace) is not None:
            raise MissingPartError("jail.will-not-die", processes=1)

    def delete_namespace(self, name: str) -> None:
        """End a namespace with everything in it, without waiting."""
        self._run(["delete", "namespace", name, "--ignore-not-found", "--wait=false"])

    def send(self, pod: str, namespace: str, container: str, command: list[str], source: IO[bytes] | None) -> None:
        """Run a command in a container with a stream as its input."""
        flag = ["-i"] if source is not None else []
        argv = [*_in(namespace), "exec", *flag, pod, "-c", container, "--", *command]
        try:
            done = subprocess.run(
                self._argv(argv),
                env=self._environment(),
                stdin=source if source is not None else subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_STREAM_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MissingPartError("jail.cluster-failed", detail=type(error).__name__) from error
        if done.returncode != 0:
            raise MissingPartError("jail.cluster-failed", detail=_shown(done.stderr))

    def stream(self, arguments: list[str], namespace: str) -> subprocess.Popen[bytes]:
        """Start a call whose output is read while it runs; whoever starts it ends it."""
        try:
            return subprocess.Popen(
                self._argv([*_in(namespace), *arguments]),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise MissingPartError("jail.cluster-failed", detail=type(error).__name__) from error

    def wait(
        self, pod: str, namespace: str, until: Callable[[Mapping[str, Any]], bool], seconds: float
    ) -> Mapping[str, Any]:
        """Look at a pod until something holds of it.

        Raises:
            MissingPartError: it is gone, failed before, or the time is over.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = self.get("pod", pod, namespace)
            if found is None:
                raise MissingPartError("jail.cluster-failed", detail="the pod is gone")
            if until(found):
                return found
            reason = waiting_for(found)
            if time.monotonic() > deadline or not _HOPELESS.isdisjoint(reason.split()):
                raise MissingPartError("jail.not-made", detail=reason)
            time.sleep(_LOOK_EVERY)

    def _run(self, arguments: Iterable[str], *, given: bytes = b"", seconds: int = _SECONDS) -> bytes:
        try:
            done = subprocess.run(
                self._argv(arguments),
                env=self._environment(),
                input=given,
                capture_output=True,
                check=False,
                timeout=seconds,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MissingPartError("jail.cluster-failed", detail=type(error).__name__) from error
        if done.returncode != 0:
            raise MissingPartError("jail.cluster-failed", detail=_shown(done.stderr))
        return done.stdout

    def _argv(self, arguments: Iterable[str]) -> list[str]:
        where = [
            f"--kubeconfig={self._cluster.kubeconfig}",
            f"--context={self._cluster.context}",
            f"--request-timeout={_SECONDS}s",
        ]
        return [str(self.program), *where, *arguments]

    def _environment(self) -> Mapping[str, str]:
        """Nothing of the platform's own: a signing-in helper of the site may need a search path, no more."""
        return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent"}


def _in(namespace: str) -> list[str]:
    return [f"--namespace={namespace}"] if namespace else []


def _shown(said: bytes) -> str:
    """Shorten what the client said; it names objects of ours, never rows."""
    return ascii(said.decode(errors="replace").strip())[:200]


def container_state(pod: Mapping[str, Any], name: str, *, init: bool = False) -> tuple[str, Mapping[str, Any]]:
    """Give the state of one container: ``waiting``, ``running`` or ``terminated``, and what is known of it."""
    statuses = pod.get("status", {}).get("initContainerStatuses" if init else "containerStatuses") or []
    for status in statuses:
        if status.get("name") == name:
            for state, facts in (status.get("state") or {}).items():
                return str(state), facts or {}
    return "waiting", {}


def waiting_for(pod: Mapping[str, Any]) -> str:
    """Say in a few words why a pod does not go on."""
    status = pod.get("status", {})
    phase = str(status.get("phase", ""))
    reasons = [str(status.get("reason", "")), phase if phase == "Failed" else ""]
    for name in ("initContainerStatuses", "containerStatuses"):
        reasons += [
            str((one.get("state", {}).get("waiting") or {}).get("reason", "")) for one in status.get(name) or []
        ]
    return ascii(" ".join(filter(None, reasons)) or phase)[1:-1][:80]
