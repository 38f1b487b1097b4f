"""Room and classes: how much a model could hold of its training data, and who stands behind each class it names.

The capacity is no attack: it bounds what any attack could get. A model told in fewer bits than its training data cannot hold all of it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from export_gate.finding import Finding, Verdict
from export_gate.model.estimators import Task
from export_gate.model.precision import PROBABILITY_STEPS
from export_gate.model.rows import distinct_subjects
from export_gate.model.train import Sample, Trained


def check_classes(trained: Trained) -> tuple[Finding, ...]:
    """Every class the model can name must be that of enough data subjects (attack: the class of nine)."""
    if trained.description.kind.task is not Task.CLASS:
        return ()
    counts = class_subjects(trained, trained.train)
    held = class_subjects(trained, trained.holdout)
    small = int((counts < trained.minimum).sum())
    verdict = Verdict.BLOCK if small else Verdict.NO_ATTACK_SUCCEEDED
    reason = "model.classes-small" if small else "model.classes-large"
    evidence = {
        "classes": len(counts),
        "small": small,
        "smallest": int(counts.min()),
        "smallest_in_holdout": int(held.min()),
    }
    settings = {"minimum_subjects": trained.minimum}
    return (Finding("model.classes", 1, verdict, reason, {"minimum": trained.minimum}, settings, evidence),)


def class_subjects(trained: Trained, sample: Sample) -> np.ndarray:
    """Distinct data subjects of each class of the model, in the order of its ``classes_``."""
    classes = trained.estimator.classes_
    known = np.isin(sample.target, classes)
    codes = np.searchsorted(classes, sample.target[known])
    return distinct_subjects(codes, sample.subjects[known], len(classes))


def check_capacity(trained: Trained) -> Finding:
    """Compare the bits the model tells with those of its training data; more room than data asks for people's judgement."""
    model, data = model_bits(trained), data_bits(trained.train)
    roomy = model >= data
    verdict = Verdict.REVIEW if roomy else Verdict.NO_ATTACK_SUCCEEDED
    reason = "model.capacity-above-data" if roomy else "model.capacity-below-data"
    params = {"percent": min(round(100 * model / max(data, 1)), 99_999)}
    evidence = {
        "model_bits": round(model),
        "training_bits": round(data),
        "holdout_bits": round(data_bits(trained.holdout)),
    }
    return Finding("model.capacity", 1, verdict, reason, params, {"percent": 100}, evidence)


def data_bits(sample: Sample) -> float:
    """Bits to write the matrix and the target, each value as one of its column's distinct values."""
    columns = [*sample.matrix.T, sample.target]
    return len(sample.target) * sum(math.log2(max(np.unique(column).size, 1)) for column in columns)


def model_bits(trained: Trained) -> float:
    """Bits the learned numbers take: coefficients, or for each tree its split features, thresholds and leaf values."""
    if not trained.trees:
        coefficients = np.concatenate([np.ravel(trained.estimator.coef_), np.ravel(trained.estimator.intercept_)])
        return sum(_bits(abs(value) / trained.told) for value in coefficients)
    thresholds = [math.log2(max(np.unique(column).size, 2)) for column in trained.train.matrix.T]
    choice = math.log2(max(len(thresholds), 2))
    return sum(_tree_bits(trained, tree, thresholds, choice) for tree in trained.trees)


def _tree_bits(trained: Trained, tree: Any, thresholds: list[float], choice: float) -> float:
    """Bits of one tree; its shape takes one bit a node."""
    inner = tree.tree_
    splits = inner.feature[inner.children_left >= 0]
    leaves = inner.value[inner.children_left < 0][:, 0, :]
    if trained.description.kind.task is Task.CLASS:
        told = leaves.shape[0] * (leaves.shape[1] - 1) * math.log2(PROBABILITY_STEPS + 1)
    else:
        told = sum(_bits(abs(value) / trained.told) for value in leaves[:, 0])
    shape = inner.node_count + sum(thresholds[place] + choice for place in splits)
    return float(shape + told)


def _bits(steps: float) -> float:
    """Bits of a number of so many steps, with its sign."""
    return math.log2(2 * steps + 2)
