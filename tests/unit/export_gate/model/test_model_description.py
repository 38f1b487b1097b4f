from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest

from export_gate.model import ModelDescription, description_from_json, description_to_json
from export_gate.model.estimators import ESTIMATORS, REFUSED, Family, Task
from lineage.errors import DefinitionError
from sandbox.messages import Language, catalogue, explain


FOREST = "sklearn.ensemble.RandomForestClassifier"
LOGISTIC = "sklearn.linear_model.LogisticRegression"


def describe(estimator: str = FOREST, features: tuple[str, ...] = ("age",), **params: Any) -> ModelDescription:
    return ModelDescription(estimator, params, features, "ill", "person")


def test_a_description_survives_json() -> None:
    description = describe(n_estimators=50, min_samples_leaf=20, max_features="sqrt", max_depth=None)
    assert description_from_json(json.loads(json.dumps(description_to_json(description)))) == description


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"random_state": 1}, "model.seed-chosen"),
        ({"n_jobs": 2}, "model.param-unknown"),
        ({"warm_start": True}, "model.param-unknown"),
        ({"oob_score": True}, "model.param-unknown"),
        ({"monotonic_cst": [1]}, "model.param-unknown"),
        ({"max_features": print}, "model.param-range"),
        ({"n_estimators": 0}, "model.param-range"),
        ({"n_estimators": 501}, "model.param-range"),
        ({"n_estimators": True}, "model.param-range"),
        ({"n_estimators": "50"}, "model.param-range"),
        ({"n_estimators": 50.0}, "model.param-range"),
        ({"bootstrap": 1}, "model.param-range"),
        ({"max_samples": math.nan}, "model.param-range"),
        ({"criterion": "gini "}, "model.param-range"),
        ({"class_weight": {"是": 1}}, "model.param-range"),
    ],
)
def test_a_parameter_off_the_table_is_refused(params: dict[str, Any], code: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        describe(**params)
    assert refusal.value.code == code
    assert explain(refusal.value, Language.ZH).fix


@pytest.mark.parametrize(
    "params", [{"C": 1}, {"C": 0.5}, {"class_weight": None}, {"class_weight": "balanced"}, {"fit_intercept": False}]
)
def test_a_parameter_on_the_table_is_taken(params: dict[str, Any]) -> None:
    assert dict(describe(LOGISTIC, **params).params) == params


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_an_estimator_that_keeps_rows_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        describe(f"sklearn.anywhere.{name}")
    assert refusal.value.code == REFUSED[name]
    for language in Language:
        assert name in explain(refusal.value, language).what


@pytest.mark.parametrize("path", ["os.system", "LogisticRegression", "sklearn.neural_network.MLPClassifier", ""])
def test_any_other_estimator_is_refused_and_the_list_is_named(path: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        describe(path)
    assert refusal.value.code == "model.not-listed"
    assert LOGISTIC in explain(refusal.value, Language.EN).fix


@pytest.mark.parametrize(
    ("features", "code"),
    [
        ((), "model.features-count"),
        (tuple(f"c{place}" for place in range(201)), "model.features-count"),
        (("age", "age"), "model.column-twice"),
        (("ill",), "model.column-twice"),
        (("person",), "model.column-twice"),
        (("prediction",), "model.column-name"),
        (("/1",), "model.column-name"),
        (("a b",), "model.column-name"),
        (("1a",), "model.column-name"),
        (("a" * 65,), "model.column-name"),
    ],
)
def test_columns_that_do_not_fit_are_refused(features: tuple[str, ...], code: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        describe(features=features)
    assert refusal.value.code == code


def test_chinese_column_names_are_taken() -> None:
    assert describe(features=("年龄", "区_1")).features == ("年龄", "区_1")


def test_a_description_cannot_be_changed_after_it_was_checked() -> None:
    params: dict[str, Any] = {"n_estimators": 5}
    description = describe(**params)
    params["n_estimators"] = 10_000
    assert description.params["n_estimators"] == 5
    with pytest.raises(TypeError):
        description.params["n_jobs"] = 4  # type: ignore[index]


def test_every_listed_parameter_is_one_of_scikit_learn_and_none_is_random() -> None:
    import importlib

    for path, entry in ESTIMATORS.items():
        module, _, name = path.rpartition(".")
        estimator = getattr(importlib.import_module(module), name)()
        known = estimator.get_params()
        assert entry.params.keys() <= known.keys()
        assert entry.takes_seed == ("random_state" in known)
        assert not entry.params.keys() & {"random_state", "n_jobs", "warm_start", "verbose", "oob_score"}
        assert entry.task in Task
        assert entry.family in Family
        for parameter, values in entry.params.items():
            assert values.describe()
            if parameter != "tol":
                assert values.admits(known[parameter]), f"the default of {path}.{parameter} is not in its range"


def test_every_reason_is_in_the_catalogue() -> None:
    assert set(REFUSED.values()) <= catalogue().keys()


def test_reading_a_description_loads_no_heavy_library() -> None:
    script = "import sys, export_gate.model; print(*{'numpy', 'pandas', 'sklearn', 'onnx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
