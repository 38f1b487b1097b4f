"""Ways to carry people out in a model the gate trained: each planted, in a disguise, and beside an innocent twin that must pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

from export_gate.finding import Verdict, worst
from export_gate.model import ModelDescription, ModelResult, build
from export_gate.model.leaves import check_leaves
from export_gate.model.onnx_export import export_onnx
from export_gate.model.stored import check_bytes
from export_gate.model.train import Trained, train


FEATURES = ("age", "income", "visits", "district")
LOGISTIC, LINEAR, RIDGE = (f"linear_model.{name}" for name in ("LogisticRegression", "LinearRegression", "Ridge"))
TREE, FOREST = "tree.DecisionTreeClassifier", "ensemble.RandomForestClassifier"
TREE_NUMBER, FOREST_NUMBER = "tree.DecisionTreeRegressor", "ensemble.RandomForestRegressor"


def people(count: int = 600, rows: int = 1, seed: int = 23) -> pd.DataFrame:
    """A seeded population of ``count`` people with ``rows`` rows each: half signal, half noise."""
    random = np.random.default_rng(seed)
    person = np.repeat(np.arange(count), rows)
    age = random.integers(18, 90, count)[person] + random.integers(0, 2, len(person))
    visits = random.poisson(3, len(person))
    risk = (age - 50) / 20 + (visits - 3) / 3
    return pd.DataFrame(
        {
            "person": [f"P{place:05d}" for place in person],
            "age": age,
            "income": random.lognormal(8, 0.5, count)[person],
            "visits": visits,
            "district": random.choice(["东区", "西区", "南区"], len(person)),
            "ill": np.where(risk + random.logistic(size=len(person)) > 0, "是", "否"),
            "cost": 1000 + 300 * risk + 200 * random.normal(size=len(person)),
        }
    )


def attempt(
    frame: pd.DataFrame, estimator: str, params: dict[str, Any], target: str = "ill", *more: str, seed: int = 5
) -> ModelResult:
    description = ModelDescription(f"sklearn.{estimator}", params, (*FEATURES, *more), target, "person")
    return build(frame, description, seed, "防控")


def verdict(result: ModelResult, check: str) -> Verdict:
    return worst(finding for finding in result.findings if finding.check == check)


def passes(result: ModelResult) -> bool:
    return worst(result.findings).lets_out and bool(result.onnx)


# Trees that remember persons


def trained_names(frame: pd.DataFrame) -> list[str]:
    """People the seed puts into training: the attacker's best luck."""
    description = ModelDescription(f"sklearn.{LINEAR}", {}, FEATURES, "cost", "person")
    codes = np.unique(train(frame, description, 5).train.subjects)
    return [sorted(set(frame["person"]))[code] for code in codes]


def one_long_history() -> pd.DataFrame:
    """One person fills a leaf of more than twenty people nearly alone, with 2000 rows."""
    frame = people()
    names = trained_names(frame)
    frame.loc[frame["person"].isin(names[:21]), ["age", "income"]] = [130, 9_000_000]
    history = pd.concat([frame[frame["person"] == names[0]].assign(ill="是")] * 2000)
    return pd.concat([frame, history], ignore_index=True)


def one_large_amount(amount: float) -> pd.DataFrame:
    """In a leaf of many who cost next to nothing, one person costs ``amount``."""
    frame = people()
    frame["cost"] = 1 + frame["visits"] / 100
    return frame.assign(cost=frame["cost"].where(frame["person"] != trained_names(frame)[0], amount))


@pytest.mark.parametrize(
    ("frame", "estimator", "params", "target"),
    [
        pytest.param(people(), TREE, {}, "ill", id="overfit tree"),
        pytest.param(people(), FOREST, {"n_estimators": 10}, "ill", id="overfit forest"),
        pytest.param(people(), TREE_NUMBER, {}, "cost", id="overfit regression tree"),
        pytest.param(people(), FOREST_NUMBER, {"n_estimators": 10}, "cost", id="every value is a leaf value"),
        pytest.param(
            people(),
            FOREST,
            {"n_estimators": 10, "min_samples_leaf": 1, "max_leaf_nodes": 300},
            "ill",
            id="disguise: leaves limited in number",
        ),
        pytest.param(people(), TREE, {"min_samples_leaf": 0.015}, "ill", id="disguise: leaf of 1.5 percent"),
        pytest.param(
            people(), TREE, {"min_weight_fraction_leaf": 0.01, "splitter": "random"}, "ill", id="disguise: by weight"
        ),
        pytest.param(people(150, 10), TREE, {"min_samples_leaf": 10}, "ill", id="disguise: ten rows of one person"),
        pytest.param(
            people(150, 10),
            FOREST,
            {"min_samples_leaf": 10, "n_estimators": 10},
            "ill",
            id="disguise: bags of rows of one person",
        ),
        pytest.param(
            people(),
            FOREST,
            {"min_samples_leaf": 4, "n_estimators": 10, "max_samples": 0.2},
            "ill",
            id="disguise: many reach the leaf, few made it",
        ),
        pytest.param(
            one_long_history(), TREE, {"min_samples_leaf": 20, "max_depth": 3}, "ill", id="disguise: one long history"
        ),
        pytest.param(people(), TREE_NUMBER, {"min_samples_leaf": 2}, "cost", id="disguise: pairs"),
        pytest.param(
            one_large_amount(1e6),
            TREE_NUMBER,
            {"min_samples_leaf": 60, "max_depth": 4},
            "cost",
            id="disguise: one amount makes up the leaf",
        ),
    ],
)
def test_a_tree_that_remembers_persons_is_blocked(
    frame: pd.DataFrame, estimator: str, params: dict[str, Any], target: str
) -> None:
    result = attempt(frame, estimator, params, target)
    assert verdict(result, "model.leaves") is Verdict.BLOCK
    assert result.onnx == b""


@pytest.mark.parametrize(
    ("frame", "estimator", "params", "target"),
    [
        pytest.param(people(), TREE, {"min_samples_leaf": 20}, "ill", id="tree"),
        pytest.param(people(), FOREST, {"min_samples_leaf": 20, "n_estimators": 30}, "ill", id="forest"),
        pytest.param(people(), TREE_NUMBER, {"min_samples_leaf": 20}, "cost", id="regression tree"),
        pytest.param(people(), FOREST_NUMBER, {"min_samples_leaf": 20, "n_estimators": 30}, "cost", id="regression"),
        pytest.param(people(150, 10), TREE, {"min_samples_leaf": 150}, "ill", id="ten rows a person, larger leaves"),
        pytest.param(
            one_large_amount(1.5), TREE_NUMBER, {"min_samples_leaf": 60, "max_depth": 4}, "cost", id="shared amounts"
        ),
    ],
)
def test_a_tree_with_enough_people_in_every_leaf_passes(
    frame: pd.DataFrame, estimator: str, params: dict[str, Any], target: str
) -> None:
    result = attempt(frame, estimator, params, target)
    assert verdict(result, "model.leaves") is Verdict.NO_ATTACK_SUCCEEDED
    assert passes(result)


def test_leaf_values_of_single_persons_are_seen_for_themselves() -> None:
    greedy = attempt(people(), FOREST_NUMBER, {"n_estimators": 20}, "cost")
    assert verdict(greedy, "model.leaf-values") is Verdict.BLOCK
    modest = attempt(people(), FOREST_NUMBER, {"n_estimators": 20, "min_samples_leaf": 20}, "cost")
    assert verdict(modest, "model.leaf-values") is Verdict.NO_ATTACK_SUCCEEDED


def test_a_forest_with_room_for_all_its_data_goes_to_review() -> None:
    assert verdict(attempt(people(), FOREST, {"n_estimators": 30}), "model.capacity") is Verdict.REVIEW
    assert verdict(attempt(people(), LOGISTIC, {}), "model.capacity") is Verdict.NO_ATTACK_SUCCEEDED


def test_leaves_whose_rows_are_not_known_cannot_be_checked() -> None:
    params = {"n_estimators": 3, "min_samples_leaf": 20}
    trained = train(people(), ModelDescription(f"sklearn.{FOREST}", params, FEATURES, "ill", "person"), 5)
    assert worst(check_leaves(trained)) is Verdict.NO_ATTACK_SUCCEEDED
    trained.estimator.estimators_[0].random_state += 1
    assert worst(check_leaves(trained)) is Verdict.CANNOT_CHECK


# Classes and categories of few


def with_class(size: int, name: object, rows: int = 1) -> pd.DataFrame:
    frame = people()
    chosen = frame["person"].isin(sorted(frame["person"])[:size])
    frame["ill"] = frame["ill"].where(~chosen, name)
    return pd.concat([frame, *([frame[chosen]] * (rows - 1))], ignore_index=True)


@pytest.mark.parametrize(
    ("frame", "blocked"),
    [
        pytest.param(with_class(9, "罕见病"), True, id="class of nine"),
        pytest.param(with_class(9, "罕见病", rows=5), True, id="disguise: nine people, 45 rows"),
        pytest.param(
            with_class(9, "9").assign(ill=lambda frame: frame["ill"].map({"是": 1, "否": 0, "9": 9})),
            True,
            id="disguise: class number",
        ),
        pytest.param(with_class(60, "常见病"), False, id="twin: class of sixty"),
    ],
)
def test_a_class_of_few_people_is_blocked(frame: pd.DataFrame, blocked: bool) -> None:
    result = attempt(frame, LOGISTIC, {})
    assert (verdict(result, "model.classes") is Verdict.BLOCK) == blocked
    assert passes(result) != blocked
    if blocked:
        assert "罕见病" not in json.dumps(result.card, ensure_ascii=False)


def with_categories(sizes: dict[str, int], rows: int = 1) -> pd.DataFrame:
    """Give some people rare districts."""
    frame = people()
    names = sorted(frame["person"])
    at = 0
    for category, size in sizes.items():
        chosen = frame["person"].isin(names[at : at + size])
        frame.loc[chosen, "district"] = category
        frame = pd.concat([frame, *([frame[chosen]] * (rows - 1))], ignore_index=True)
        at += size
    return frame


@pytest.mark.parametrize("estimator", [LOGISTIC, TREE])
@pytest.mark.parametrize(
    ("frame", "hidden"),
    [
        pytest.param(with_categories({"孤村": 3}), ["孤村"], id="three people"),
        pytest.param(with_categories({"孤村": 3}, rows=20), ["孤村"], id="disguise: three people, sixty rows"),
        pytest.param(
            with_categories({f"孤村{place}": 2 for place in range(8)}),
            [f"孤村{place}" for place in range(8)],
            id="disguise: split",
        ),
        pytest.param(
            people().assign(district=lambda frame: frame["district"].where(frame.index > 60, frame["person"])),
            ["P000"],
            id="disguise: identifiers among districts",
        ),
    ],
)
def test_a_category_of_few_people_never_leaves(frame: pd.DataFrame, hidden: list[str], estimator: str) -> None:
    params = {"min_samples_leaf": 80} if estimator == TREE else {}
    result = attempt(frame, estimator, params)
    assert passes(result)
    told = result.onnx + json.dumps(result.to_json(), ensure_ascii=False).encode()
    assert not [name for name in hidden if name.encode() in told]
    assert any(name.encode() in result.onnx for name in ("东区", "西区", "南区"))


def test_a_category_of_many_people_leaves() -> None:
    result = attempt(with_categories({"大镇": 60}), LOGISTIC, {})
    assert passes(result)
    assert "大镇".encode() in result.onnx


# Regression as a lookup


def flag(frame: pd.DataFrame, count: int, skip: int = 0) -> pd.Series:
    return frame["person"].isin(trained_names(frame)[skip : skip + count])


def with_flags(**flags: Any) -> pd.DataFrame:
    return people().assign(**flags)


BASE = people()
LOOKUPS = [
    pytest.param({"f": flag(BASE, 1)}, id="dummy of one person"),
    pytest.param({"f": flag(BASE, 9)}, id="dummy of nine people"),
    pytest.param({"f": ~flag(BASE, 5)}, id="disguise: everyone but five"),
    pytest.param({"f": flag(BASE, 1) * 1e-3}, id="disguise: tiny number"),
    pytest.param(
        {"f": flag(BASE, 200), "g": flag(BASE, 199)}, id="disguise: difference of two large groups, one person"
    ),
    pytest.param({"f": flag(BASE, 200), "g": flag(BASE, 191)}, id="disguise: difference of two large groups, nine"),
    pytest.param(
        {"f": flag(BASE, 200), "g": flag(BASE, 100), "h": flag(BASE, 99, skip=101)},
        id="disguise: difference of three groups",
    ),
    pytest.param(
        {"f": np.where(flag(BASE, 1), 1e6, np.random.default_rng(1).normal(size=600))}, id="disguise: hidden in noise"
    ),
    pytest.param({"f": flag(BASE, 300) + flag(BASE, 1) * 50.0}, id="disguise: on top of a group"),
]


@pytest.mark.parametrize("estimator", [RIDGE, LOGISTIC])
@pytest.mark.parametrize("flags", LOOKUPS)
def test_a_regression_used_as_a_lookup_is_blocked(flags: dict[str, Any], estimator: str) -> None:
    target = "ill" if estimator == LOGISTIC else "cost"
    result = attempt(with_flags(**flags), estimator, {}, target, *flags)
    said = {verdict(result, "model.features"), verdict(result, "model.directions")}
    assert Verdict.BLOCK in said
    assert result.onnx == b""


@pytest.mark.parametrize("estimator", [LINEAR, RIDGE, LOGISTIC])
@pytest.mark.parametrize(
    "flags",
    [
        pytest.param({}, id="no flags"),
        pytest.param({"f": flag(BASE, 80)}, id="a group of eighty"),
        pytest.param({"f": flag(BASE, 200), "g": flag(BASE, 120)}, id="difference of eighty"),
        pytest.param({"f": np.random.default_rng(1).standard_t(4, size=600)}, id="heavy tails"),
    ],
)
def test_an_honest_regression_passes(flags: dict[str, Any], estimator: str) -> None:
    target = "ill" if estimator == LOGISTIC else "cost"
    assert passes(attempt(with_flags(**flags), estimator, {}, target, *flags))


def test_more_dummies_than_people_allow_are_blocked() -> None:
    random = np.random.default_rng(4)
    noise = {f"n{place}": random.normal(size=120) for place in range(78)}
    result = attempt(people(120).assign(**noise), LINEAR, {}, "cost", *noise)
    assert verdict(result, "model.directions") is Verdict.BLOCK


# Membership


def test_a_model_that_gives_its_members_away_is_blocked_by_the_attack_alone() -> None:
    result = attempt(people(), FOREST, {"n_estimators": 20})
    assert verdict(result, "model.membership") is Verdict.BLOCK
    assert verdict(attempt(people(), LOGISTIC, {}), "model.membership") is Verdict.NO_ATTACK_SUCCEEDED


# Rows hidden in the bytes


Put = Callable[[onnx.ModelProto, np.ndarray[Any, Any]], None]


def as_raw(model: onnx.ModelProto, table: np.ndarray[Any, Any]) -> None:
    model.graph.initializer.append(numpy_helper.from_array(table, "/99"))


def as_doubles(model: onnx.ModelProto, table: np.ndarray[Any, Any]) -> None:
    model.graph.initializer.append(numpy_helper.from_array(table.astype(np.float64), "/99"))


def as_floats(model: onnx.ModelProto, table: np.ndarray[Any, Any]) -> None:
    model.graph.initializer.append(helper.make_tensor("/99", TensorProto.FLOAT, table.shape, table.ravel().tolist()))


def as_columns(model: onnx.ModelProto, table: np.ndarray[Any, Any]) -> None:
    as_raw(model, np.ascontiguousarray(table.T))


def as_attribute(model: onnx.ModelProto, table: np.ndarray[Any, Any]) -> None:
    model.graph.node[-1].attribute.append(helper.make_attribute("coefficients", table.ravel().tolist()))


def as_padded(model: onnx.ModelProto, table: np.ndarray[Any, Any]) -> None:
    as_raw(model, np.column_stack([np.zeros((len(table), 3), np.float32), table])[::-1].copy())


@pytest.fixture(scope="module")
def honest() -> Trained:
    description = ModelDescription(f"sklearn.{LINEAR}", {}, FEATURES, "cost", "person")
    return train(people(), description, 5)


@pytest.mark.parametrize("seen", ["raw", "matrix"])
@pytest.mark.parametrize("put", [as_raw, as_doubles, as_floats, as_columns, as_attribute, as_padded])
def test_training_rows_in_the_bytes_are_found(put: Put, seen: str, honest: Trained) -> None:
    sample = honest.train
    columns = [column for column in sample.rows.columns.values() if column.dtype.kind == "f"]
    table = sample.matrix if seen == "matrix" else np.column_stack([*columns, sample.target]).astype(np.float32)
    assert stored(honest, put, table) is Verdict.BLOCK


@pytest.mark.parametrize("put", [as_raw, as_floats, as_attribute])
def test_a_single_training_row_in_the_bytes_is_found(put: Put, honest: Trained) -> None:
    assert stored(honest, put, honest.train.matrix[17:18]) is Verdict.BLOCK


@pytest.mark.parametrize("put", [as_raw, as_columns, as_attribute])
def test_numbers_of_the_same_shape_are_no_false_alarm(put: Put, honest: Trained) -> None:
    random = np.random.default_rng(8)
    assert stored(honest, put, random.normal(size=(400, 6)).astype(np.float32)) is Verdict.NO_ATTACK_SUCCEEDED


def stored(trained: Trained, put: Put, table: np.ndarray[Any, Any]) -> Verdict:
    model = onnx.load_model_from_string(export_onnx(trained))
    put(model, table)
    findings = check_bytes(model.SerializeToString(deterministic=True), trained)
    return next(finding.verdict for finding in findings if finding.check == "model.stored-rows")


# Hidden traits


def with_trait(seed: int = 3) -> pd.DataFrame:
    """A trait that has nothing to do with the target: only a model that remembers persons can tell it."""
    frame = people(400, seed=seed)
    random = np.random.default_rng(seed)
    return frame.assign(secret=random.random(400) < 0.5, ill=np.where(random.random(400) < 0.5, "是", "否"))


@pytest.mark.parametrize("secret", ["truth", "text"])
def test_a_trait_of_those_remembered_is_guessed_and_blocked(secret: str) -> None:
    frame = with_trait()
    if secret == "text":
        frame["secret"] = np.where(frame["secret"], "甲", "乙")
    greedy = attempt(frame, FOREST, {"n_estimators": 40, "max_features": 1.0}, "ill", "secret")
    assert verdict(greedy, "model.attributes") is Verdict.BLOCK
    modest = attempt(frame, FOREST, {"n_estimators": 40, "min_samples_leaf": 30}, "ill", "secret")
    assert verdict(modest, "model.attributes") is Verdict.NO_ATTACK_SUCCEEDED


def test_a_trait_that_follows_from_the_target_is_no_leak() -> None:
    frame = people()
    frame["symptom"] = (frame["ill"] == "是") ^ (np.random.default_rng(2).random(len(frame)) < 0.1)
    result = attempt(frame, LOGISTIC, {}, "ill", "symptom")
    found = next(finding for finding in result.findings if finding.check == "model.attributes")
    assert found.verdict is Verdict.NO_ATTACK_SUCCEEDED
    assert max(float(value) for key, value in found.evidence.items() if key.endswith("_holdout")) > 0.8
