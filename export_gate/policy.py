"""What may leave by grade: the table that people read and may tighten (design: default policy; C25, E3)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from export_gate.finding import Finding, Verdict
from lineage.errors import Param
from sandbox.columns import Grade


class Label(StrEnum):
    """How far a product can be trusted not to tell of a person; written on it."""

    MEASURED = "measured"
    RECOMPUTED = "recomputed"
    GATE_TRAINED = "gate-trained"
    OPAQUE = "opaque"


LABELS: Mapping[str, Label] = {
    "statistic": Label.MEASURED,
    "table": Label.RECOMPUTED,
    "model": Label.GATE_TRAINED,
    "opaque": Label.OPAQUE,
    "file": Label.OPAQUE,
    "chart": Label.OPAQUE,
    "report": Label.OPAQUE,
}
"""A label by kind of product. Charts and reports carry their data's label; this one only where nothing was drawn."""

VERDICTS: Mapping[tuple[Label, Grade], Verdict] = {
    (Label.MEASURED, Grade.OPEN): Verdict.NO_ATTACK_SUCCEEDED,
    (Label.MEASURED, Grade.INTERNAL): Verdict.NO_ATTACK_SUCCEEDED,
    (Label.MEASURED, Grade.RESTRICTED): Verdict.NO_ATTACK_SUCCEEDED,
    (Label.MEASURED, Grade.MOST_SENSITIVE): Verdict.NO_ATTACK_SUCCEEDED,
    (Label.RECOMPUTED, Grade.OPEN): Verdict.NO_ATTACK_SUCCEEDED,
    (Label.RECOMPUTED, Grade.INTERNAL): Verdict.NO_ATTACK_SUCCEEDED,
    (Label.RECOMPUTED, Grade.RESTRICTED): Verdict.REVIEW,
    (Label.RECOMPUTED, Grade.MOST_SENSITIVE): Verdict.BLOCK,
    (Label.GATE_TRAINED, Grade.OPEN): Verdict.NO_ATTACK_SUCCEEDED,
    (Label.GATE_TRAINED, Grade.INTERNAL): Verdict.NO_ATTACK_SUCCEEDED,
    (Label.GATE_TRAINED, Grade.RESTRICTED): Verdict.REVIEW,
    (Label.GATE_TRAINED, Grade.MOST_SENSITIVE): Verdict.BLOCK,
    (Label.OPAQUE, Grade.OPEN): Verdict.REVIEW,
    (Label.OPAQUE, Grade.INTERNAL): Verdict.REVIEW,
    (Label.OPAQUE, Grade.RESTRICTED): Verdict.BLOCK,
    (Label.OPAQUE, Grade.MOST_SENSITIVE): Verdict.BLOCK,
}
"""``review`` asks for the authority's own reason. Total over labels and grades; a test proves it."""

REASONS: Mapping[Verdict, str] = {
    Verdict.NO_ATTACK_SUCCEEDED: "policy.allowed",
    Verdict.REVIEW: "policy.needs-reason",
    Verdict.BLOCK: "policy.refused",
    Verdict.CANNOT_CHECK: "policy.refused",
}


def check_grade(label: Label, highest: Grade) -> Finding:
    """Judge a label by the highest grade of the columns that its tables hold."""
    verdict = VERDICTS[label, highest]
    params: dict[str, Param] = {"label": f"label.trust.{label}", "grade": int(highest)}
    return Finding("policy.grade", 1, verdict, REASONS[verdict], params, {"grade": int(highest)})
