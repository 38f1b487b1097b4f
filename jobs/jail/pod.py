"""The jail of a cluster: one pod a run, in a namespace of its tenant with a closed network (D1, D2; laws 1 and 7).

On a cluster bubblewrap has no place: inside an ordinary container it may not make namespaces, and there the pod is the jail. This class
drives one through its life: namespace, policy and quota; the pod; job and tables by a trusted step before the program; the outbox by a
trusted step after its death; the end of the pod. What it isolates is what was seen to hold on that very cluster (``pod_trial``): a network
policy that nobody enforces looks the same as one that holds.
"""

from __future__ import annotations

import os
import select
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from jobs.jail.collect import collect_outbox
from jobs.jail.outbox import remove_tree
from jobs.jail.pod_cluster import Kubectl, container_state
from jobs.jail.pod_manifest import (
    KEEP,
    READY,
    RUN,
    STAGE,
    STAGED,
    canonical_list,
    namespace_objects,
    namespace_of,
    pod_object,
    staged_places,
)
from jobs.jail.pod_outbox import keep_stream, unpack
from jobs.jail.pod_settings import Cluster
from jobs.jail.spec import MEBIBYTE, Capability, Collected, Ending, JailSpec, Outcome, check_host_path
from jobs.jail.watch import NOT_ENDED_ITSELF, CutLog
from lineage.errors import MissingPartError


_START_SECONDS: Final = 600
_TAKE_SECONDS: Final = 60
_LOOK_EVERY: Final = 1.0
_STAGING_ROOM: Final = 16 * MEBIBYTE
"""Folders and half-filled blocks of what is staged."""
_CHUNK: Final = 64 * 1024


class PodJail:
    """A jail on a cluster.

    Args:
        cluster: which one, and what a pod is made of.
        kubectl: how it is spoken to; by default the installed client.
    """

    def __init__(self, cluster: Cluster, kubectl: Kubectl | None = None) -> None:
        self.cluster = cluster
        self.kubectl = kubectl or Kubectl(cluster)
        self._seen: Capability | None = None

    def capability(self) -> Capability:
        """Tell what was seen to hold on this cluster; found out once, by trying."""
        from jobs.jail.pod_trial import try_out

        if self._seen is None:
            self._seen = try_out(self.cluster, self.kubectl)
        return self._seen

    def objects(self, uid: int) -> tuple[Mapping[str, Any], ...]:
        """Give what must be there before a pod of a tenant's user."""
        return namespace_objects(self.cluster, uid)

    def note(self, pod: Mapping[str, Any]) -> None:
        """Hear of a pod whose program is over, as the cluster tells it; for who wants to know where and how it ran."""

    def prepare(self, spec: JailSpec) -> None:
        """Close the tenant's namespace, and make the run's folder."""
        capability = self.capability()
        if not capability.whole:
            raise MissingPartError("jail.incomplete", missing=", ".join(capability.missing))
        for inside, host in spec.read_only.items():
            if inside in staged_places(self.cluster, spec):
                check_host_path(inside, host)
        spec.workspace.mkdir(mode=0o700, exist_ok=True)
        self.cleanup(spec)
        _place(spec).mkdir(mode=0o700)
        self.kubectl.apply(canonical_list(*self.objects(spec.uid)))
        (_place(spec) / "prepared").touch()

    def run(self, spec: JailSpec, cancelled: Callable[[], bool]) -> Outcome:
        """Run the program to its end; the pod is gone when this returns."""
        place = _place(spec)
        if not (place / "prepared").exists():
            raise MissingPartError("jail.outbox-gone")
        namespace = namespace_of(self.cluster, spec.uid)
        self.kubectl.delete_pod(spec.name, namespace)
        (place / "outbox.tar").unlink(missing_ok=True)
        try:
            return self._live(spec, namespace, cancelled)
        finally:
            self.kubectl.delete_pod(spec.name, namespace)

    def _live(self, spec: JailSpec, namespace: str, cancelled: Callable[[], bool]) -> Outcome:
        self._stage(spec, namespace)
        begun = time.monotonic()
        forced = self._watch(spec, namespace, cancelled)
        wall = time.monotonic() - begun
        pod = self.kubectl.get("pod", spec.name, namespace)
        self.note(pod or {})
        _, facts = container_state(pod or {}, RUN)
        code = NOT_ENDED_ITSELF if forced else int(facts.get("exitCode", NOT_ENDED_ITSELF))
        if forced is None:
            self._take(spec, namespace)
        ending = forced or _ending(code, facts)
        # A pod's processor time and peak are the cluster's to tell; what is not known is not made up.
        return Outcome(ending, code, wall, 0.0, 0, _place(spec) / "log")

    def collect(self, spec: JailSpec, into: Path) -> tuple[Collected, ...]:
        """Copy the outbox out, whole or not at all, from what was taken when the program was dead."""
        if self.kubectl.get("pod", spec.name, namespace_of(self.cluster, spec.uid)) is not None:
            raise MissingPartError("jail.still-running")
        stream = _place(spec) / "outbox.tar"
        if not stream.is_file():
            raise MissingPartError("jail.outbox-gone")
        folder = _place(spec) / "outbox"
        remove_tree(folder)
        unpack(stream, folder, spec.limits)
        return collect_outbox(folder, os.geteuid(), spec.limits, into)

    def cleanup(self, spec: JailSpec) -> None:
        """End the pod and remove everything of this run."""
        self.kubectl.delete_pod(spec.name, namespace_of(self.cluster, spec.uid))
        remove_tree(_place(spec))

    def _stage(self, spec: JailSpec, namespace: str) -> None:
        """Make the pod, send it job and tables, and let its program begin."""
        sources = {inside: spec.read_only[inside] for inside in staged_places(self.cluster, spec)}
        stream = _place(spec) / "staged.tar"
        _pack(sources, stream)
        size = stream.stat().st_size + _STAGING_ROOM
        self.kubectl.create(canonical_list(pod_object(self.cluster, spec, size)))
        self.kubectl.wait(
            spec.name, namespace, lambda pod: container_state(pod, STAGE, init=True)[0] == "running", _START_SECONDS
        )
        with stream.open("rb") as file:
            self.kubectl.send(spec.name, namespace, STAGE, ["tar", "-x", "-C", STAGED, "-f", "-"], file)
        self.kubectl.send(spec.name, namespace, STAGE, ["touch", READY], None)
        stream.unlink()
        self.kubectl.wait(spec.name, namespace, lambda pod: container_state(pod, RUN)[0] != "waiting", _START_SECONDS)

    def _watch(self, spec: JailSpec, namespace: str, cancelled: Callable[[], bool]) -> Ending | None:
        """Keep the log and look at the pod until the program ends or must be ended."""
        deadline = time.monotonic() + spec.limits.seconds
        log = CutLog(_place(spec) / "log", spec.limits.log_bytes)
        try:
            with self._log_stream(spec, namespace) as pipe:
                while True:
                    _forward(pipe, log, _LOOK_EVERY)
                    pod = self.kubectl.get("pod", spec.name, namespace)
                    if pod is None:
                        raise MissingPartError("jail.cluster-failed", detail="the pod is gone")
                    if container_state(pod, RUN)[0] == "terminated":
                        _drain(pipe, log)
                        return None
                    if time.monotonic() >= deadline:
                        return Ending.TIME
                    if cancelled():
                        return Ending.CANCELLED
        finally:
            log.close()

    @contextmanager
    def _log_stream(self, spec: JailSpec, namespace: str) -> Iterator[int]:
        with self.kubectl.stream(["logs", "--follow", spec.name, "-c", RUN], namespace) as process:
            try:
                yield _descriptor(process)
            finally:
                process.kill()

    def _take(self, spec: JailSpec, namespace: str) -> None:
        """Take the outbox through the trusted container, now that the program is dead."""
        arguments = [
            "exec",
            spec.name,
            "-c",
            KEEP,
            "--",
            "tar",
            "-c",
            "--format=pax",
            "--numeric-owner",
            "-C",
            "/out",
            "-f",
            "-",
            ".",
        ]
        part = _place(spec) / "outbox.part"
        part.unlink(missing_ok=True)
        with self.kubectl.stream(arguments, namespace) as process:
            try:
                if process.stdout is not None:
                    keep_stream(process.stdout, part, spec.limits)
                whole = process.wait(_TAKE_SECONDS) == 0
            finally:
                process.kill()
        if not whole:
            # A stream that broke off ends like one that is complete.
            raise MissingPartError("jail.outbox-gone")
        part.rename(_place(spec) / "outbox.tar")


def _place(spec: JailSpec) -> Path:
    return spec.workspace / "jail"


def _descriptor(process: subprocess.Popen[bytes]) -> int:
    if process.stdout is None:
        raise MissingPartError("jail.cluster-failed", detail="logs")
    return process.stdout.fileno()


def _forward(pipe: int, log: CutLog, seconds: float) -> None:
    """Move what comes within some seconds; at the end of the stream only wait."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select([pipe], [], [], left)
        if ready:
            data = os.read(pipe, _CHUNK)
            if not data:
                time.sleep(min(left, 0.05))
                return
            log.write(data)


def _drain(pipe: int, log: CutLog) -> None:
    """Move what is left; a program that is dead writes no more, so the stream ends."""
    while select.select([pipe], [], [], 5.0)[0] and (data := os.read(pipe, _CHUNK)):
        log.write(data)


def _ending(code: int, facts: Mapping[str, Any]) -> Ending:
    if code == 0:
        return Ending.DONE
    return Ending.MEMORY if facts.get("reason") == "OOMKilled" else Ending.FAILED


def _pack(sources: Mapping[str, Path], target: Path) -> None:
    """Write job and tables as one stream: plain files and folders, readable by the one user inside, of nobody's name and time."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        made: set[str] = set()
        for inside, host in sorted(sources.items()):
            for parent in reversed(Path(inside[1:]).parents[:-1]):
                if str(parent) not in made:
                    made.add(str(parent))
                    archive.addfile(_entry(str(parent), folder=True))
            archive.add(host, inside[1:], filter=_plain)


def _entry(name: str, *, folder: bool) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.DIRTYPE if folder else tarfile.REGTYPE
    entry.mode = 0o755 if folder else 0o644
    return entry


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what is neither file nor folder, as a mount would show it and nobody could follow it."""
    if not (entry.isreg() or entry.isdir()):
        return None
    plain = _entry(entry.name, folder=entry.isdir())
    plain.size = entry.size
    return plain
