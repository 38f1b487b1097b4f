from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import export_gate.model
from export_gate.finding import Finding, Verdict, worst
from export_gate.model import ModelDescription, ModelResult, build, findings_to_json
from lineage.errors import DefinitionError
from sandbox.messages import Language, catalogue, text


Describe = Callable[..., ModelDescription]
PURPOSE = "慢性病再入院风险预警"
SEED = 3_141_592_653


@pytest.fixture
def result(people: pd.DataFrame, describe: Describe) -> ModelResult:
    description = describe("ensemble.RandomForestClassifier", min_samples_leaf=20, n_estimators=20)
    return build(people, description, SEED, PURPOSE)


def test_a_result_is_plain_values(result: ModelResult) -> None:
    plain = json.loads(json.dumps(result.to_json()))
    assert base64.b64decode(plain["onnx"]) == result.onnx
    assert plain["findings"] == findings_to_json(result.findings)
    assert len(result.onnx) > 1000


def test_the_card_says_what_a_recipient_needs_and_never_the_seed(result: ModelResult) -> None:
    card = result.card
    assert card["intended_use"] == PURPOSE
    assert card["trained_on"] == "view"
    assert card["training_subjects_at_least"] == 420
    assert card["holdout_subjects_at_least"] == 180
    assert card["classes"] == ["否", "是"]
    assert [column["name"] for column in card["inputs"]] == ["age", "income", "visits", "smoker", "district"]
    assert float(card["holdout_metrics"]["accuracy"]) > float(card["holdout_metrics"]["baseline_accuracy"])
    assert card["membership_inference"].keys() == {"verdict", "auc", "rate"}
    assert card["checks"].keys() == {finding.check for finding in result.findings}
    assert str(SEED) not in json.dumps(result.to_json())
    assert b"%d" % SEED not in result.onnx


def test_numbers_of_people_are_rounded_down_to_tens(people: pd.DataFrame, describe: Describe) -> None:
    one_more = pd.concat([people, people.head(1).assign(person="P99999")])
    description = describe("linear_model.LogisticRegression")
    first, second = (build(frame, description, 3, PURPOSE).card for frame in (people, one_more))
    assert first["training_subjects_at_least"] == second["training_subjects_at_least"]


@pytest.mark.parametrize("estimator", ["linear_model.Ridge", "tree.DecisionTreeRegressor"])
def test_a_regression_has_a_card_too(estimator: str, people: pd.DataFrame, describe: Describe) -> None:
    params = {"min_samples_leaf": 25} if "tree" in estimator else {}
    card = build(people, describe(estimator, "cost", **params), 3, PURPOSE, trained_on="input").card
    assert card["trained_on"] == "input"
    assert card["outputs"] == ["prediction"]
    assert card["classes"] == []
    assert float(card["holdout_metrics"]["r2"]) > 0.4
    assert re.fullmatch(r"\d+", card["holdout_metrics"]["mean_absolute_error"])


def test_a_blocked_model_is_withheld(people: pd.DataFrame, describe: Describe) -> None:
    result = build(people, describe("tree.DecisionTreeClassifier"), 3, PURPOSE)
    assert worst(result.findings) is Verdict.BLOCK
    assert result.onnx == b""


def test_no_result_can_hold_a_model_beside_a_finding_that_keeps_it_in() -> None:
    block = Finding("model.leaves", 1, Verdict.BLOCK, "model.leaves-small")
    for findings in ((block,), ()):
        with pytest.raises(ValueError):
            ModelResult(b"model", {}, findings)


def test_a_model_without_a_purpose_is_not_made(people: pd.DataFrame, describe: Describe) -> None:
    with pytest.raises(DefinitionError, match=r"model\.purpose-missing"):
        build(people, describe("linear_model.LogisticRegression"), 3, " ")


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 2**32}, {"minimum": 2}, {"trained_on": "raw"}])
def test_arguments_out_of_range_are_refused(wrong: dict[str, object], people: pd.DataFrame, describe: Describe) -> None:
    arguments = {"seed": 3, "purpose": PURPOSE, **wrong}
    with pytest.raises(ValueError):
        build(people, describe("linear_model.LogisticRegression"), **arguments)  # type: ignore[arg-type]


def test_parameters_that_scikit_learn_refuses_are_the_description_s_fault(
    people: pd.DataFrame, describe: Describe
) -> None:
    with pytest.raises(DefinitionError, match=r"model\.cannot-fit"):
        build(people, describe("ensemble.RandomForestClassifier", bootstrap=False, max_samples=0.5), 3, PURPOSE)


def test_a_fit_that_did_not_converge_says_so(people: pd.DataFrame, describe: Describe) -> None:
    card = build(people, describe("linear_model.LogisticRegression", max_iter=1), 3, PURPOSE).card
    assert card["converged"] is False


def test_every_finding_can_be_explained(result: ModelResult) -> None:
    for finding in result.findings:
        for language in Language:
            assert text(finding.reason, language, **finding.params)


def test_every_code_in_the_package_is_in_the_catalogue_and_the_reverse() -> None:
    folder = Path(export_gate.model.__file__).parent
    source = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    checks = set(re.findall(r'"(model\.[a-z-]+)", 1, ', source)) | {"model.membership", "model.attributes"}
    used = set(re.findall(r'"(model\.[a-z-]+)"', source)) - checks
    assert used == {code for code in catalogue() if code.startswith("model.")}


def test_findings_show_no_evidence_to_the_tenant(result: ModelResult) -> None:
    shown = {key for finding in result.findings for key in finding.params}
    assert shown <= {"minimum", "percent", "auc", "rate", "least", "feature", "training", "holdout"}
