"""Warm jails: jails started before anybody asks, so that a job's first line comes in a second instead of a Spark start (D1, D2).

``PooledJail`` keeps the contract of :class:`jobs.jail.spec.Jail` round another jail, so that nobody who runs jobs needs to know. A run
takes a warm jail when one is ready that is exactly what a cold one would be for it, and a cold one otherwise; the cold one is the same
wall, so this is no weaker way. Each warm jail is used once and ends with its run.

What the pool adds to what is told: whether a run started warm or cold tells its tenant that somebody ran a job of the same size in the
last seconds. Where that is too much, set its size to 0 (``pool_settings``).

The kernel ties a warm jail's life to the thread that started it. That thread is the pool's own: it lives until the pool is closed and
every run in a warm jail is over, and it dies with the platform.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from jobs.jail import pool_names
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.local import Place, see_through
from jobs.jail.pool_warm import LateMountError, WarmJail, WarmKind, end_quietly, prepare_warm
from jobs.jail.spec import Capability, Collected, JailSpec, Outcome
from lineage.errors import MissingPartError, ShuzhaError


_WARM_SECONDS: Final = 300.0
_TIDY_EVERY: Final = 2.0
_GIVE_UP_AFTER: Final = 3
"""Warm jails of one kind that failed in a row until no more are tried: the machine cannot make them, and runs start cold."""


class WarmPool:
    """Keeps warm jails ready. One thread starts them, one after another."""

    def __init__(self, jail: BubblewrapJail, kinds: Sequence[WarmKind], folder: Path, max_age: float = 1800.0) -> None:
        """Name what is kept; nothing is started before ``open``.

        Args:
            jail: what makes the walls.
            kinds: what is kept ready, and how many of each.
            folder: a root-only folder for their workspaces, of this pool alone.
            max_age: seconds after which an unused one is thrown away.
        """
        self._jail = jail
        self._kinds = tuple(kinds)
        self._folder = folder
        self._max_age = max_age
        self._changed = threading.Condition()
        self._ready: list[WarmJail] = []
        self._taken = 0
        self.taken_in_all = 0
        self._closing = False
        self._failures = dict.fromkeys(range(len(self._kinds)), 0)
        self._keeper: threading.Thread | None = None

    def open(self) -> None:
        """Remove what a dead platform left, then begin to warm."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        pool_names.sweep(self._folder)
        self._keeper = threading.Thread(target=self._keep, name="warm-jails", daemon=True)
        self._keeper.start()

    def close(self) -> None:
        """End every warm jail; returns when all are gone. Runs in taken ones go on, and the pool's thread with them."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            busy = self._taken > 0
        if self._keeper is not None and not busy:
            self._keeper.join()

    def take(self, spec: JailSpec) -> WarmJail | None:
        """Take the oldest warm jail that fits a run; whoever takes it must ``give_back`` it."""
        with self._changed:
            if self._closing:
                return None
            for warm in self._ready:
                if warm.alive and warm.age < self._max_age and warm.kind.fits(spec):
                    self._ready.remove(warm)
                    self._taken += 1
                    self.taken_in_all += 1
                    return warm
        return None

    def give_back(self, warm: WarmJail) -> None:
        """End a jail that was taken; it is never used again."""
        try:
            warm.end()
        finally:
            with self._changed:
                self._taken -= 1
                self._changed.notify_all()

    def note(self, warm: WarmJail, *, usable: bool) -> None:
        """Remember whether a warm jail could be given its run's things; only that proves that warming is worth it."""
        self._note(self._kinds.index(warm.kind), usable=usable)

    def _note(self, number: int, *, usable: bool) -> None:
        with self._changed:
            self._failures[number] = 0 if usable else self._failures[number] + 1
            self._changed.notify_all()

    def wait_ready(self, count: int, seconds: float) -> bool:
        """Wait until so many are ready; for whoever measures or tests."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._ready) >= count, seconds)

    def wait_given_up(self, seconds: float) -> bool:
        """Wait until no kind is tried any more; for whoever tests."""
        with self._changed:
            return self._changed.wait_for(lambda: min(self._failures.values()) >= _GIVE_UP_AFTER, seconds)

    def waiting(self) -> tuple[WarmJail, ...]:
        """Give the warm jails that wait for a run."""
        with self._changed:
            return tuple(self._ready)

    def _keep(self) -> None:
        try:
            while not self._closing or self._taken:
                self._tidy()
                wanted = self._wanted()
                if wanted is not None:
                    self._warm_one(wanted)
                else:
                    with self._changed:
                        self._changed.wait(_TIDY_EVERY)
        finally:
            with self._changed:
                left, self._ready = self._ready, []
            for warm in left:
                end_quietly(warm)

    def _tidy(self) -> None:
        """Throw away what died or is too old; all of it once the pool is closing."""
        with self._changed:
            stale = [warm for warm in self._ready if self._closing or not warm.alive or warm.age >= self._max_age]
            self._ready = [warm for warm in self._ready if warm not in stale]
        for warm in stale:
            end_quietly(warm)

    def _wanted(self) -> int | None:
        """Give the number of a kind of which there are too few."""
        with self._changed:
            if self._closing:
                return None
            for number, kind in enumerate(self._kinds):
                there = sum(warm.kind is kind for warm in self._ready)
                if there < kind.count and self._failures[number] < _GIVE_UP_AFTER:
                    return number
        return None

    def _warm_one(self, number: int) -> None:
        """Start one and wait until it is ready; whatever goes wrong counts as a failure, and runs start cold."""
        warm = None
        try:
            warm = prepare_warm(self._kinds[number], self._folder)
            warm.begin(self._jail)
            usable = warm.wait_ready(_WARM_SECONDS, lambda: self._closing)
        except (ShuzhaError, OSError):
            usable = False
        if warm is not None and usable:
            with self._changed:
                self._ready.append(warm)
                self._changed.notify_all()
            return
        if warm is not None:
            end_quietly(warm)
        if not self._closing:
            self._note(number, usable=False)


class PooledJail:
    """A jail that runs what it can in warm jails; keeps the contract of :class:`jobs.jail.spec.Jail`."""

    def __init__(self, inner: BubblewrapJail, pool: WarmPool) -> None:
        self._inner = inner
        self.pool = pool

    def __enter__(self) -> Self:
        """Open the pool."""
        self.pool.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the pool."""
        self.pool.close()

    def capability(self) -> Capability:
        """Tell what the machine offers: a warm jail has the same walls."""
        return self._inner.capability()

    def prepare(self, spec: JailSpec) -> None:
        """Make the run's folder and its empty outbox; whose jail it will be is settled at the start."""
        self._end_warm(spec)
        self._inner.prepare(spec)

    def run(self, spec: JailSpec, cancelled: Callable[[], bool]) -> Outcome:
        """Run in a warm jail if one fits, in a cold one otherwise."""
        self._end_warm(spec)
        warm = self.pool.take(spec)
        if warm is None:
            return self._inner.run(spec, cancelled)
        try:
            return self._run_warm(warm, spec, cancelled)
        except LateMountError:
            # The word was not said, so no line of the tenant has run: starting again is no second run.
            self.pool.note(warm, usable=False)
        finally:
            self.pool.give_back(warm)
        return self._inner.run(spec, cancelled)

    def _run_warm(self, warm: WarmJail, spec: JailSpec, cancelled: Callable[[], bool]) -> Outcome:
        place = self._inner.check_prepared(spec)
        # Before anything of the tenant is mounted: whoever cleans up after a crash must find the jail that holds it.
        _marker(spec).write_text(warm.group.name, encoding="ascii")
        used = warm.give(spec)
        self.pool.note(warm, usable=True)
        return see_through(warm.started, warm.group, spec, place, cancelled, used)

    def collect(self, spec: JailSpec, into: Path) -> tuple[Collected, ...]:
        """Copy the outbox out, whole or not at all."""
        if pool_names.members(_named(spec)):
            raise MissingPartError("jail.still-running")
        return self._inner.collect(spec, into)

    def cleanup(self, spec: JailSpec) -> None:
        """End what lives, unmount and remove everything of this run."""
        self._end_warm(spec)
        self._inner.cleanup(spec)

    def _end_warm(self, spec: JailSpec) -> None:
        pool_names.end_group(_named(spec))
        _marker(spec).unlink(missing_ok=True)


def _marker(spec: JailSpec) -> Path:
    return Place(spec).jail / "warm"


def _named(spec: JailSpec) -> str:
    """Give the name of the warm jail that a run was given, empty when it has none."""
    marker = _marker(spec)
    return marker.read_text(encoding="ascii") if marker.is_file() else ""
