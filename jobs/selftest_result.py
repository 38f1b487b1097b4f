"""What a selftest found, as it is filed: per probe whether the jail held, on which machine, under which jail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from lineage.canonical import Json


FORMAT: Final = 1
LEAST_PROBES: Final = 75
"""Fewer prove too little: a battery that lost a module must not pass for a whole one."""
LEAST_TENANTS: Final = 2
GROUPS: Final = ("files", "network", "processes", "kernel", "limits", "outbox", "channels")


class State(StrEnum):
    """What came of a probe over every run."""

    HELD = "held"
    OPEN = "open"
    BROKEN = "broken"
    """The probe itself failed, so it proves nothing; counts as open (law 7)."""


class Control(StrEnum):
    """What came of a probe without the jail."""

    ESCAPED = "escaped"
    """It works, so that its failing in the jail proves something."""
    SECOND_WALL = "second-wall"
    """It failed there too, as it may on this kind of machine: something else stops it as well."""
    BLOCKED = "blocked"
    """It failed though it must work: the battery proves nothing by it."""
    NOT_RUN = "not-run"
    """A mine: what stops it is the collector, which has no unjailed twin."""


@dataclass(frozen=True)
class ProbeResult:
    """One probe over every run.

    Attributes:
        probe: its name; its words are in the catalogue under ``label.probe.<name>``.
        group: one of ``GROUPS``.
        state: the worst over all runs.
        control: what came of it without the jail.
        detail: how it was stopped, or what it got; never the content of a file.
    """

    probe: str
    group: str
    state: State
    control: Control
    detail: str

    def __post_init__(self) -> None:
        """Refuse a group that no table shows."""
        if self.group not in GROUPS:
            raise ValueError(f"no group {self.group}")

    @property
    def proved(self) -> bool:
        """Whether the jail held and the probe is one that could have got out."""
        return self.state is State.HELD and self.control is not Control.BLOCKED


@dataclass(frozen=True)
class SelftestResult:
    """One selftest.

    Attributes:
        machine: ``architecture``, ``boot`` (id of this start of the machine), ``kernel``, ``bubblewrap`` (version).
        profile: SHA-256 of the jail's own sources and programs.
        begun: when, as stored moments are.
        seconds: how long it took.
        runs: the stages that were tried, by each of how many tenants.
        probes: what came of each.
    """

    machine: Mapping[str, str]
    profile: str
    begun: str
    seconds: int
    runs: Sequence[str]
    tenants: int
    probes: Sequence[ProbeResult]

    @property
    def open(self) -> tuple[str, ...]:
        """The probes that got out, broke, or could not have got out."""
        return tuple(one.probe for one in self.probes if not one.proved)

    @property
    def holds(self) -> bool:
        """Whether this result lets production run: every probe held in every run, and there are enough of them, of two tenants.

        The trial's own production runs are let go by the same rule, on the development half of the result.
        """
        return self.tenants >= LEAST_TENANTS and len(self.probes) >= LEAST_PROBES and bool(self.runs) and not self.open

    def json(self) -> dict[str, Json]:
        """Give the body that is signed and filed."""
        return {
            "format": FORMAT,
            "machine": dict(self.machine),
            "profile": self.profile,
            "begun": self.begun,
            "seconds": self.seconds,
            "runs": list(self.runs),
            "tenants": self.tenants,
            "holds": self.holds,
            "open": list(self.open),
            "probes": [
                {
                    "probe": one.probe,
                    "group": one.group,
                    "state": one.state.value,
                    "control": one.control.value,
                    "detail": one.detail,
                }
                for one in self.probes
            ],
        }


def read_result(body: Mapping[str, Any]) -> SelftestResult:
    """Read a filed body; what it says of itself (``holds``, ``open``) is worked out again.

    Raises:
        KeyError, ValueError: it is no such body.
    """
    if body["format"] != FORMAT:
        raise ValueError("another format")
    return SelftestResult(
        machine={str(key): str(value) for key, value in body["machine"].items()},
        profile=str(body["profile"]),
        begun=str(body["begun"]),
        seconds=int(body["seconds"]),
        runs=tuple(body["runs"]),
        tenants=int(body["tenants"]),
        probes=tuple(
            ProbeResult(one["probe"], one["group"], State(one["state"]), Control(one["control"]), one["detail"])
            for one in body["probes"]
        ),
    )
