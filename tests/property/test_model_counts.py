"""What the model checks count, counted again another way."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export_gate.model import ModelDescription
from export_gate.model.encoder import fit_encoder
from export_gate.model.leaves import read_leaves
from export_gate.model.linear import directions
from export_gate.model.onnx_export import export_onnx, predict
from export_gate.model.precision import round_probabilities
from export_gate.model.rows import ColumnKind, Rows, distinct_subjects
from export_gate.model.train import Trained, train


def frame_of(seed: int, people: int, rows: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    person = random.integers(0, people, people * rows)
    person[:people] = np.arange(people)
    x = random.normal(size=(len(person), 2)).round(2)
    return pd.DataFrame(
        {
            "person": person,
            "a": x[:, 0],
            "b": x[:, 1],
            "c": random.choice(["u", "v"], len(person)),
            "label": np.where(x[:, 0] + random.normal(size=len(person)) > 0, "yes", "no"),
            "amount": x[:, 0] * 10 + random.normal(size=len(person)),
        }
    )


def members_of_leaves(tree: object, row: np.ndarray) -> int:
    """Walk one row down the tree by hand."""
    node, inner = 0, tree.tree_  # type: ignore[attr-defined]
    while inner.children_left[node] >= 0:
        left = np.float32(row[inner.feature[node]]) <= inner.threshold[node]
        node = inner.children_left[node] if left else inner.children_right[node]
    return int(node)


def count_by_hand(trained: Trained) -> list[int]:
    counts: list[int] = []
    everyone = range(len(trained.train.target))
    bags = getattr(trained.estimator, "estimators_samples_", [everyone])
    for tree, bag in zip(trained.trees, bags, strict=True):
        found: dict[int, set[int]] = {}
        for place in set(bag):
            leaf = members_of_leaves(tree, trained.train.matrix[place])
            found.setdefault(leaf, set()).add(int(trained.train.subjects[place]))
        counts += [len(found[leaf]) for leaf in sorted(found)]
    return counts


ESTIMATORS = (
    "tree.DecisionTreeClassifier",
    "tree.DecisionTreeRegressor",
    "ensemble.RandomForestClassifier",
    "ensemble.RandomForestRegressor",
)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 4),
    leaf=st.integers(1, 30),
    estimator=st.sampled_from(ESTIMATORS),
    bootstrap=st.booleans(),
)
def test_people_in_leaves_equal_an_independent_count(
    seed: int, rows: int, leaf: int, estimator: str, bootstrap: bool
) -> None:
    forest = {"n_estimators": 3, "bootstrap": bootstrap} if "Forest" in estimator else {}
    target = "amount" if "Regressor" in estimator else "label"
    description = ModelDescription(
        f"sklearn.{estimator}", {"min_samples_leaf": leaf, **forest}, ("a", "b", "c"), target, "person"
    )
    trained = train(frame_of(seed, 110, rows), description, seed)
    leaves = list(read_leaves(trained))
    assert all(entry.sound for entry in leaves)
    assert [int(count) for entry in leaves for count in entry.counts] == count_by_hand(trained)
    assert all(((entry.dominance >= 0) & (entry.dominance <= 1 + 1e-9)).all() for entry in leaves)
    told = predict(export_onnx(trained), trained.encoder, trained.holdout.rows)[0].ravel()
    expected = trained.estimator.predict(trained.holdout.matrix)
    if target == "amount":
        assert told == pytest.approx(expected, rel=1e-4, abs=1e-4)
    else:
        shares = np.sort(trained.estimator.predict_proba(trained.holdout.matrix), axis=1)
        clear = shares[:, -1] - shares[:, -2] > 1e-5
        assert (told == expected)[clear].all()


@settings(max_examples=100, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=60),
)
def test_distinct_subjects_equal_sets(pairs: list[tuple[int, int]]) -> None:
    groups, subjects = (np.array([pair[place] for pair in pairs], dtype=np.int64) for place in (0, 1))
    expected = [len({subject for group, subject in pairs if group == wanted}) for wanted in range(6)]
    assert distinct_subjects(groups, subjects, 6).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 79)), min_size=80, max_size=250),
    minimum=st.integers(3, 12),
)
def test_no_indicator_and_no_rest_is_of_few_people(rows: list[tuple[str, int]], minimum: int) -> None:
    both = [*rows, *(("i", person) for person in range(20)), *(("j", person) for person in range(20))]
    values, subjects = (np.array([pair[place] for pair in both]) for place in (0, 1))
    table = Rows({"c": values}, np.zeros(len(both)), subjects)
    encoder = fit_encoder(table, {"c": ColumnKind.TEXT}, minimum=minimum, scaled=False)
    for column in encoder.encode(table).T:
        assert np.unique(subjects[column > 0]).size >= minimum


def test_a_direction_that_rests_on_few_people_is_nearly_always_found() -> None:
    """The search for concentrated directions is a heuristic: it must find nine in ten of the planted ones, leverage all of them."""
    found = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        few, weight = int(random.integers(1, 5)), float(random.uniform(0.05, 20))
        subjects = np.repeat(np.arange(60), 2)
        design = random.normal(size=(120, 4))
        hidden = np.where(subjects < few, weight, 0.0)
        mixed = np.column_stack([np.ones(120), design, hidden + design[:, 0] * 3 - design[:, 1]])
        basis, _ = np.linalg.qr(mixed)
        highest, concentration = directions(basis, subjects, minimum=5)
        assert highest >= 1 / few - 0.02
        found += highest >= 0.5 or concentration >= 0.9
    assert found >= 54


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_below_the_bound_no_small_group_determines_any_direction(seed: int) -> None:
    random = np.random.default_rng(seed)
    subjects = np.arange(14)
    basis, _ = np.linalg.qr(random.normal(size=(14, 3)))
    highest, _ = directions(basis, subjects, minimum=3)
    largest = max(np.linalg.norm(basis[list(pair)], 2) ** 2 for pair in combinations(range(14), 2))
    assert highest == pytest.approx(max((basis**2).sum(axis=1)))
    assert largest <= 2 * highest + 1e-9


@settings(max_examples=60, deadline=None)
@given(
    shares=st.lists(st.lists(st.floats(0.001, 1), min_size=3, max_size=3), min_size=1, max_size=20),
)
def test_rounded_probabilities_are_hundredths_that_add_up(shares: list[list[float]]) -> None:
    values = np.array(shares)
    rounded = round_probabilities(values)
    assert rounded.sum(axis=1) == pytest.approx(1)
    assert (rounded >= 0).all()
    assert np.abs(rounded - values / values.sum(axis=1, keepdims=True)).max() <= 0.0101
