from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from export_gate.finding import Verdict
from export_gate.model import ModelDescription
from export_gate.model.membership import LEAST_HOLDOUT, check_membership, measure, run_attacks
from export_gate.model.train import Sample, Trained, train


Describe = Callable[..., ModelDescription]


def test_the_area_is_that_of_the_roc_curve_also_with_ties() -> None:
    random = np.random.default_rng(2)
    members, others = np.round(random.normal(0.4, 1, 200), 1), np.round(random.normal(0, 1, 90), 1)
    truth, scores = np.repeat([1, 0], [200, 90]), np.concatenate([members, others])
    assert measure("x", members, others).auc == pytest.approx(roc_auc_score(truth, scores))


def test_a_score_that_knows_everything_blocks() -> None:
    attack = measure("x", np.arange(100, 200.0), np.arange(100.0))
    assert attack.auc == 1
    assert attack.rate == 1
    assert attack.blocks


def test_a_score_that_knows_nothing_hardly_ever_needs_a_review() -> None:
    random = np.random.default_rng(5)
    attacks = [measure("x", random.normal(size=280), random.normal(size=120)) for _ in range(200)]
    assert not any(attack.blocks for attack in attacks)
    assert sum(attack.needs_review for attack in attacks) <= 10
    assert np.mean([attack.auc_low <= 0.5 for attack in attacks]) > 0.93
    assert np.mean([attack.p_value for attack in attacks]) == pytest.approx(0.5, abs=0.06)


def test_a_leak_about_few_is_seen_though_the_area_is_small() -> None:
    random = np.random.default_rng(6)
    members = random.normal(size=500)
    members[:80] += 8
    attack = measure("x", members, random.normal(size=200))
    assert attack.auc_low < 0.65
    assert attack.blocks


@pytest.mark.parametrize("margin", [0.7, 1.3])
def test_the_interval_holds_the_rate_and_notices_a_third_more_or_less(margin: float) -> None:
    random = np.random.default_rng(7)
    members, others = random.normal(1.5, 1, 20_000), random.normal(0, 1, 20_000)
    attack = measure("x", members, others)
    expected = 0.2036  # share of N(1.5, 1) above the 99th percentile of N(0, 1)
    assert attack.rate_low - 0.01 < expected < attack.rate_high + 0.01
    assert not attack.rate_low < expected * margin < attack.rate_high


def test_calibration_sees_more_than_the_loss_alone(people: pd.DataFrame, describe: Describe) -> None:
    loss, calibrated = run_attacks(train(people, describe("ensemble.RandomForestClassifier", n_estimators=20), 3))
    assert calibrated.auc > loss.auc > 0.6
    assert calibrated.blocks


def test_attacks_are_the_same_for_the_same_seed(people: pd.DataFrame, describe: Describe) -> None:
    description = describe("tree.DecisionTreeRegressor", "cost", min_samples_leaf=5)
    first, second = (check_membership(train(people, description, 3)) for _ in range(2))
    assert first == second


def test_too_few_outsiders_cannot_be_checked(people: pd.DataFrame, describe: Describe) -> None:
    trained = train(people, describe("linear_model.LogisticRegression"), 3)
    few = np.unique(trained.holdout.subjects)[: LEAST_HOLDOUT - 1]
    chosen = np.isin(trained.holdout.subjects, few)
    holdout = Sample(trained.holdout.rows.take(chosen), trained.holdout.matrix[chosen])
    thin = Trained(**{**vars(trained), "holdout": holdout})
    assert check_membership(thin).verdict is Verdict.CANNOT_CHECK
