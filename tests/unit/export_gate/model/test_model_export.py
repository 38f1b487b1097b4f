from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import helper

from export_gate.finding import Finding, Verdict
from export_gate.model import ModelDescription, build
from export_gate.model.estimators import ESTIMATORS, Family, Task
from export_gate.model.onnx_export import agreement, export_onnx, predict
from export_gate.model.onnx_walk import read_content
from export_gate.model.stored import check_agreement, check_bytes
from export_gate.model.train import Trained, train


Describe = Callable[..., ModelDescription]


def small_params(path: str) -> dict[str, int]:
    family = ESTIMATORS[path].family
    return (
        {}
        if family is Family.LINEAR
        else {"min_samples_leaf": 20} | ({"n_estimators": 7} if family is Family.FOREST else {})
    )


def train_listed(path: str, people: pd.DataFrame, describe: Describe, seed: int = 3) -> Trained:
    target = "cost" if ESTIMATORS[path].task is Task.NUMBER else "ill"
    return train(people, describe(path.removeprefix("sklearn."), target, **small_params(path)), seed)


@pytest.fixture
def logistic(people: pd.DataFrame, describe: Describe) -> Trained:
    return train(people, describe("linear_model.LogisticRegression"), 3)


@pytest.mark.parametrize("path", ESTIMATORS)
def test_every_listed_estimator_is_exported_and_agrees(path: str, people: pd.DataFrame, describe: Describe) -> None:
    trained = train_listed(path, people, describe)
    exported = export_onnx(trained)
    assert agreement(exported, trained) == 1
    assert {finding.verdict for finding in check_bytes(exported, trained)} == {Verdict.NO_ATTACK_SUCCEEDED}


@pytest.mark.parametrize("path", ESTIMATORS)
def test_the_same_seed_gives_the_same_bytes_whatever_the_order_of_rows(
    path: str, people: pd.DataFrame, describe: Describe
) -> None:
    first = export_onnx(train_listed(path, people, describe))
    assert export_onnx(train_listed(path, people.sample(frac=1, random_state=9), describe)) == first
    assert export_onnx(train_listed(path, people, describe, seed=4)) != first


def test_a_recipient_feeds_named_columns(logistic: Trained) -> None:
    session = onnxruntime.InferenceSession(export_onnx(logistic), providers=["CPUExecutionProvider"])
    assert [(value.name, value.type) for value in session.get_inputs()] == [
        ("age", "tensor(float)"),
        ("income", "tensor(float)"),
        ("visits", "tensor(float)"),
        ("smoker", "tensor(float)"),
        ("district", "tensor(string)"),
    ]
    numbers = {name: np.array([[1], [np.nan]], np.float32) for name in ("age", "income", "visits", "smoker")}
    answer = session.run(["prediction", "probability"], {**numbers, "district": np.array([["从未见过"], [""]], object)})
    assert set(answer[0]) <= {"是", "否"}
    assert answer[1].shape == (2, 2)
    assert answer[1].sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("classes", [["甲", "乙", "丙"], [7, -1, 40], [True, False]], ids=["text", "whole", "truth"])
@pytest.mark.parametrize("estimator", ["linear_model.LogisticRegression", "ensemble.RandomForestClassifier"])
def test_classes_of_every_kind_come_out_as_they_went_in(
    classes: list[object], estimator: str, people: pd.DataFrame, describe: Describe
) -> None:
    parts = pd.qcut(people["cost"], len(classes), labels=False)
    people["ill"] = [classes[part] for part in parts]
    params = {} if "linear" in estimator else {"min_samples_leaf": 20, "n_estimators": 5}
    trained = train(people, describe(estimator, **params), 3)
    exported = export_onnx(trained)
    assert agreement(exported, trained) == 1
    assert set(predict(exported, trained.encoder, trained.holdout.rows)[0]) <= set(classes)
    assert all(finding.verdict is Verdict.NO_ATTACK_SUCCEEDED for finding in check_bytes(exported, trained))


@pytest.mark.parametrize("features", [("district",), ("age",), ("smoker", "district")])
def test_text_alone_and_numbers_alone_can_be_learned(
    features: tuple[str, ...], people: pd.DataFrame, describe: Describe
) -> None:
    trained = train(people, describe("linear_model.LogisticRegression", features=features), 3)
    assert agreement(export_onnx(trained), trained) == 1


def test_the_file_says_nothing_beside_the_model(logistic: Trained) -> None:
    model = onnx.load_model_from_string(export_onnx(logistic))
    onnx.checker.check_model(model)
    assert (model.producer_name, model.producer_version, model.doc_string) == ("shuzha", "", "")
    assert not model.metadata_props
    assert all(not node.doc_string and node.name == f"n{place}" for place, node in enumerate(model.graph.node))
    content = read_content(model.SerializeToString(deterministic=True))
    assert not content.surplus
    assert content.strings >= {"东区", "是"}


def planted(trained: Trained, plant: Callable[[onnx.ModelProto], None]) -> dict[str, Finding]:
    model = onnx.load_model_from_string(export_onnx(trained))
    plant(model)
    return {finding.check: finding for finding in check_bytes(model.SerializeToString(deterministic=True), trained)}


def add_operator(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Sin", ["age"], ["/99"], name="n99"))


def add_metadata(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="note", value="P00017")


def add_documentation(model: onnx.ModelProto) -> None:
    model.graph.node[0].doc_string = "P00017"


def add_shape_word(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "P00017"


def add_name(model: onnx.ModelProto) -> None:
    model.graph.node[0].name = "P00017"


def add_bytes(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("axis", b"P00017"))


def add_graph(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("axis", helper.make_graph([], "model", [], [])))


@pytest.mark.parametrize(
    ("plant", "check"),
    [
        (add_operator, "model.content"),
        (add_metadata, "model.content"),
        (add_documentation, "model.content"),
        (add_graph, "model.content"),
        (add_metadata, "model.strings"),
        (add_shape_word, "model.strings"),
        (add_name, "model.strings"),
        (add_bytes, "model.strings"),
    ],
)
def test_whatever_does_not_belong_to_the_model_is_found(
    plant: Callable[[onnx.ModelProto], None], check: str, logistic: Trained
) -> None:
    assert planted(logistic, plant)[check].verdict is Verdict.BLOCK


@pytest.mark.parametrize("tail", [b"\xba\x3e\x06P00017", b"P00017", b"\x00"], ids=["unknown field", "text", "zero"])
def test_bytes_that_cannot_be_read_completely_cannot_be_checked(tail: bytes, logistic: Trained) -> None:
    (finding,) = check_bytes(export_onnx(logistic) + tail, logistic)
    assert finding.verdict is Verdict.CANNOT_CHECK


def test_another_model_than_the_measured_one_cannot_be_checked(people: pd.DataFrame, describe: Describe) -> None:
    trained, other = (train(people, describe("linear_model.LinearRegression", "cost"), seed) for seed in (3, 4))
    assert check_agreement(export_onnx(other), trained).verdict is Verdict.CANNOT_CHECK
    assert check_agreement(export_onnx(trained), trained).verdict is Verdict.NO_ATTACK_SUCCEEDED


def test_thresholds_and_leaf_values_are_told_coarsely(people: pd.DataFrame, describe: Describe) -> None:
    trained = train(people, describe("tree.DecisionTreeRegressor", "cost", ("income",), min_samples_leaf=20), 3)
    told = trained.estimator.tree_
    inner = told.children_left >= 0
    step = trained.encoder.numbers[0].step
    assert step >= 10
    assert told.threshold[inner] / (step / 2) == pytest.approx(np.rint(told.threshold[inner] / (step / 2)))
    assert trained.told >= 1
    assert told.value.ravel() / trained.told == pytest.approx(np.rint(told.value.ravel() / trained.told))


def test_the_bytes_in_the_result_are_those_that_were_checked(people: pd.DataFrame, describe: Describe) -> None:
    description = describe("linear_model.LogisticRegression")
    assert build(people, description, 3, "防控").onnx == export_onnx(train(people, description, 3))
