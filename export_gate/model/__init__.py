"""Models the gate trains itself, from a description, and lets out as ONNX after attacking them (E2, E3, P2, P5)."""

from __future__ import annotations

from export_gate.model.build import ModelResult, build, findings_to_json
from export_gate.model.description import ModelDescription, description_from_json, description_to_json


__all__ = [
    "ModelDescription",
    "ModelResult",
    "build",
    "description_from_json",
    "description_to_json",
    "findings_to_json",
]
