"""The model card that goes with a released model: what it is for, what it was made of and how it was attacked (E4, E6, P5).

After Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019). Numbers are rounded, classes and categories of few people are not
named, and the seed is not in it: with the seed the hold-out could be drawn again (law 9).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from export_gate.finding import Finding
from export_gate.model.capacity import class_subjects
from export_gate.model.estimators import Task
from export_gate.model.onnx_export import IR_VERSION, OPSETS, describe_inputs
from export_gate.model.train import Trained


def model_card(
    trained: Trained, onnx: bytes, findings: Iterable[Finding], purpose: str, trained_on: str
) -> dict[str, Any]:
    """Write the card as plain values that JSON can hold.

    Args:
        trained: the model.
        onnx: the bytes that leave.
        findings: what the checks said.
        purpose: the approved scenario's purpose, the only use the model may be put to (E4).
        trained_on: ``view`` or ``input``, as the job's description says (P2).
    """
    description = trained.description
    return {
        "form": "model",
        "intended_use": purpose,
        "estimator": description.estimator,
        "params": dict(description.params),
        "trained_on": trained_on,
        "training_subjects_at_least": _tens(trained.train.rows.subject_count),
        "holdout_subjects_at_least": _tens(trained.holdout.rows.subject_count),
        "target": description.target,
        "classes": _classes(trained),
        "inputs": describe_inputs(trained.encoder),
        "outputs": ["prediction", "probability"] if description.kind.task is Task.CLASS else ["prediction"],
        "holdout_metrics": {name: _rounded(value) for name, value in trained.metrics.items()},
        "converged": trained.converged,
        "told_to": f"{trained.told:g}",
        "checks": {finding.check: finding.verdict.value for finding in findings},
        "membership_inference": _membership(findings),
        "file": {
            "format": "onnx",
            "ir_version": IR_VERSION,
            "opsets": {name or "ai.onnx": version for name, version in OPSETS.items()},
            "sha256": hashlib.sha256(onnx).hexdigest(),
        },
    }


def _tens(count: int) -> int:
    """Round down to tens: an exact number of people, told twice, tells of one who joined."""
    return count // 10 * 10


def _rounded(value: float) -> str:
    """Two decimals for shares, two significant digits for amounts; as text, because JSON numbers do not keep their digits."""
    return f"{value:.2f}" if abs(value) <= 1 else format(Decimal(f"{value:.2g}"), "f")


def _classes(trained: Trained) -> list[str | int]:
    """Names of the classes that enough people have."""
    if trained.description.kind.task is not Task.CLASS:
        return []
    counts = class_subjects(trained, trained.train)
    named = zip(trained.estimator.classes_.tolist(), counts, strict=True)
    return [name for name, count in named if count >= trained.minimum]


def _membership(findings: Iterable[Finding]) -> dict[str, Any]:
    """What the membership attacks reached, always shown."""
    found = next(finding for finding in findings if finding.check == "model.membership")
    return {"verdict": found.verdict.value, **found.params}
