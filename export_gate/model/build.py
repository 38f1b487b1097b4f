"""Make a model product from rows and a description: train, export, check, describe. The one function a worker calls (law 2).

It depends on its arguments alone and touches neither files nor network, because it runs in a jailed child process.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from export_gate.finding import Finding, worst
from export_gate.model.description import ModelDescription
from lineage.errors import DefinitionError


if TYPE_CHECKING:
    import pandas as pd

TRAINED_ON = ("view", "input")


@dataclass(frozen=True)
class ModelResult:
    """A model product on its way to the reviewers.

    Attributes:
        onnx: the model, or nothing when a finding keeps it in.
        card: the model card.
        findings: what every check said.
    """

    onnx: bytes
    card: dict[str, Any]
    findings: tuple[Finding, ...]

    def __post_init__(self) -> None:
        """Refuse a model beside a finding that keeps it in, or one that nobody checked (law 7)."""
        if bool(self.onnx) != worst(self.findings).lets_out:
            raise ValueError("a model is there exactly if no finding keeps it in")

    def to_json(self) -> dict[str, Any]:
        """Give plain values; the model's bytes in base64."""
        return {
            "onnx": base64.b64encode(self.onnx).decode("ascii"),
            "card": self.card,
            "findings": findings_to_json(self.findings),
        }


def build(
    frame: pd.DataFrame,
    description: ModelDescription,
    seed: int,
    purpose: str,
    *,
    minimum: int = 10,
    trained_on: str = "view",
) -> ModelResult:
    """Train, export and check a model.

    Args:
        frame: one row an observation, with the columns the description names.
        description: what to train.
        seed: 0 … 2³² - 1, drawn by the gate and kept by it (law 9).
        purpose: the approved scenario's purpose, for the card.
        minimum: least number of data subjects behind anything that is told, at least 3.
        trained_on: ``view``, or ``input`` where policy allows it (P2).

    Raises:
        DefinitionError: the rows do not fit the description.
        ValueError: seed, minimum or ``trained_on`` are out of range.
    """
    from export_gate.model.card import model_card
    from export_gate.model.check import check_model
    from export_gate.model.onnx_export import export_onnx
    from export_gate.model.train import train

    if not 0 <= seed < 2**32 or minimum < 3 or trained_on not in TRAINED_ON:
        raise ValueError("seed, minimum or trained_on out of range")
    if not purpose.strip():
        raise DefinitionError("model.purpose-missing")
    trained = train(frame, description, seed, minimum)
    onnx = export_onnx(trained)
    findings = check_model(trained, onnx)
    card = model_card(trained, onnx, findings, purpose, trained_on)
    return ModelResult(onnx if worst(findings).lets_out else b"", card, findings)


def findings_to_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Write findings as plain values."""
    return [{**asdict(finding), "verdict": finding.verdict.value} for finding in findings]
