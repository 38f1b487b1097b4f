"""A model is trained on the view; training on inputs stays in, before any table is opened (P2)."""

from __future__ import annotations

from typing import Any, cast

from export_gate.checking import _model
from export_gate.finding import Verdict
from jobs.spec import ModelProduct


def test_training_on_inputs_is_blocked_before_anything_is_read() -> None:
    product = ModelProduct(
        "risk", "sklearn.linear_model.LogisticRegression", {}, "SELECT * FROM visits", "readmitted", "input"
    )
    nothing = cast("Any", None)
    made = _model(nothing, nothing, product)
    assert [(one.check, one.verdict) for one in made.findings] == [("policy.train-on-input", Verdict.BLOCK)]
    assert made.files == ()
