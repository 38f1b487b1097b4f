"""What may leave by grade, and what findings add up to: total tables, and never better for worse data (C25, E3, law 7)."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export_gate.exports import KINDS
from export_gate.finding import SEVERITY, Finding, Verdict, worst
from export_gate.findings import findings_from_json, findings_to_json
from export_gate.policy import LABELS, REASONS, VERDICTS, Label, check_grade
from jobs.spec import Product
from sandbox.columns import Grade
from sandbox.messages import Language, text


def test_the_table_covers_every_label_and_grade() -> None:
    assert set(VERDICTS) == set(itertools.product(Label, Grade))


def test_every_kind_of_product_has_a_label() -> None:
    assert set(LABELS) == {*KINDS.values(), "opaque", "file"}
    assert set(get_args(Product.__value__ if hasattr(Product, "__value__") else Product)) >= set(KINDS)


@pytest.mark.parametrize("label", Label)
def test_a_higher_grade_is_never_judged_better(label: Label) -> None:
    severities = [SEVERITY[VERDICTS[label, grade]] for grade in sorted(Grade)]
    assert severities == sorted(severities)


@pytest.mark.parametrize("grade", Grade)
def test_a_less_trusted_label_is_never_judged_better(grade: Grade) -> None:
    severities = [SEVERITY[VERDICTS[label, grade]] for label in Label]
    assert severities == sorted(severities)


def test_the_most_sensitive_data_leaves_only_measured() -> None:
    allowed = [label for label in Label if VERDICTS[label, Grade.MOST_SENSITIVE].lets_out]
    assert allowed == [Label.MEASURED]


@pytest.mark.parametrize(("label", "grade"), VERDICTS)
def test_a_finding_says_why_in_both_languages(label: Label, grade: Grade) -> None:
    found = check_grade(label, grade)
    assert (found.verdict, found.reason) == (VERDICTS[label, grade], REASONS[VERDICTS[label, grade]])
    for language in Language:
        assert str(int(grade)) in text(found.reason, language, **found.params)


def test_what_could_not_be_checked_counts_as_blocked() -> None:
    assert [verdict for verdict in Verdict if verdict.lets_out] == [Verdict.REVIEW, Verdict.NO_ATTACK_SUCCEEDED]
    assert worst([]) is Verdict.CANNOT_CHECK


PARAMS = st.dictionaries(st.text(min_size=1), st.one_of(st.text(), st.integers()))
FINDINGS = st.builds(
    Finding,
    check=st.text(min_size=1),
    version=st.integers(1, 9),
    verdict=st.sampled_from(Verdict),
    reason=st.text(min_size=1),
    params=PARAMS,
    parameters=PARAMS,
    evidence=PARAMS,
)


@given(st.lists(FINDINGS, min_size=1))
def test_the_worst_finding_decides(findings: list[Finding]) -> None:
    verdict = worst(findings)
    assert verdict in {finding.verdict for finding in findings}
    assert all(SEVERITY[finding.verdict] <= SEVERITY[verdict] for finding in findings)
    assert verdict.lets_out == all(finding.verdict.lets_out for finding in findings)


@given(st.lists(FINDINGS))
def test_findings_cross_the_wall_unchanged(findings: list[Finding]) -> None:
    assert findings_from_json(findings_to_json(findings)) == tuple(findings)


@pytest.mark.parametrize("verdict", ["safe", "", "BLOCK", "no attack"])
def test_an_unknown_verdict_is_an_error(verdict: str) -> None:
    (value,) = findings_to_json([check_grade(Label.OPAQUE, Grade.OPEN)])
    with pytest.raises(ValueError, match="Verdict"):
        findings_from_json([{**value, "verdict": verdict}])


@pytest.mark.parametrize("wrong", [{"check": ""}, {"reason": ""}, {"version": 0}], ids=str)
def test_a_finding_is_named_and_numbered(wrong: dict[str, object]) -> None:
    (value,) = findings_to_json([check_grade(Label.OPAQUE, Grade.OPEN)])
    with pytest.raises(ValueError, match="a finding names"):
        findings_from_json([{**value, **wrong}])
