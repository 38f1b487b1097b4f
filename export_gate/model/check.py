"""All checks of one trained model, in one order: who stands behind it, how much it holds, what attacks tell, what its bytes contain.

There is no verdict "safe": a check says what it tried and that it did not succeed. A check that cannot run says so (law 7).
"""

from __future__ import annotations

from export_gate.finding import Finding
from export_gate.model.attributes import check_attributes
from export_gate.model.capacity import check_capacity, check_classes
from export_gate.model.leaves import check_leaves
from export_gate.model.linear import check_linear
from export_gate.model.membership import check_membership
from export_gate.model.stored import check_agreement, check_bytes
from export_gate.model.train import Trained


def check_model(trained: Trained, onnx: bytes) -> tuple[Finding, ...]:
    """Give every finding on a trained model and the bytes that would leave (E2, E3, P2)."""
    return (
        *check_classes(trained),
        *check_leaves(trained),
        *check_linear(trained),
        check_capacity(trained),
        check_membership(trained),
        check_attributes(trained),
        *check_bytes(onnx, trained),
        check_agreement(onnx, trained),
    )
