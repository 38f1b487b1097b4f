"""Findings as plain JSON, across the wall of the jail and into the evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from export_gate.finding import Finding, Verdict
from lineage.canonical import Json


def findings_to_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Write findings as plain values."""
    return [
        {
            "check": finding.check,
            "version": finding.version,
            "verdict": finding.verdict.value,
            "reason": finding.reason,
            "params": dict(finding.params),
            "parameters": dict(finding.parameters),
            "evidence": dict(finding.evidence),
        }
        for finding in findings
    ]


def findings_from_json(values: Iterable[Mapping[str, Any]]) -> tuple[Finding, ...]:
    """Read findings back; an unknown verdict is an error (law 7)."""
    return tuple(
        Finding(
            check=value["check"],
            version=value["version"],
            verdict=Verdict(value["verdict"]),
            reason=value["reason"],
            params=value["params"],
            parameters=value["parameters"],
            evidence=value["evidence"],
        )
        for value in values
    )


def plain_reasons(findings: Iterable[Finding]) -> list[Json]:
    """Write what a tenant may see of findings: never their evidence."""
    return [
        {"check": one.check, "verdict": one.verdict.value, "reason": one.reason, "params": dict(one.params)}
        for one in findings
    ]
