"""Trees: nobody may be alone in a leaf, and nobody may make up most of one (attack: the overfit tree; E3).

A leaf is told by those rows only that the tree was fitted on: with bagging these are fewer than those that reach the leaf, so the
bags are drawn again from the tree's own seed and counted. What is counted is data subjects, never rows: ten rows of one patient are
one patient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from export_gate.finding import Finding, Verdict
from export_gate.model.estimators import Family, Task
from export_gate.model.rows import Array, distinct_subjects
from export_gate.model.train import Trained
from lineage.errors import Param


DOMINANCE = 0.9
"""(n, k) rule with n = 2: two data subjects may not make up more than this share of a leaf (SDC handbook's NK(2, 90))."""
EXCESS_VALUES = 0.1
"""How much oftener a leaf value may be one training value than it is one hold-out value."""
SIGNIFICANCE = 1e-6
"""Small, because leaf values crowd where training values do, so that chance alone makes some difference."""


@dataclass(frozen=True)
class Leaves:
    """The leaves of one tree, all arrays with one entry a leaf.

    Attributes:
        counts: distinct data subjects the leaf was fitted on.
        dominance: share of the two largest data subjects in what the leaf tells.
        values: what the leaf tells, (leaves, classes) or (leaves, 1).
        sound: whether the bag drawn again is the one the tree was fitted on.
    """

    counts: Array
    dominance: Array
    values: Array
    sound: bool


def read_leaves(trained: Trained) -> Iterator[Leaves]:
    """Go through the trees of a model and count who stands behind each leaf."""
    everyone = np.arange(len(trained.train.target))
    forest = trained.description.kind.family is Family.FOREST
    bags = trained.estimator.estimators_samples_ if forest else [everyone]
    for tree, bag in zip(trained.trees, bags, strict=True):
        yield _leaves_of(tree, np.asarray(bag), trained)


def check_leaves(trained: Trained) -> tuple[Finding, ...]:
    """Judge the leaves of a tree or forest; nothing to say of a linear model."""
    if not trained.trees:
        return ()
    leaves = list(read_leaves(trained))
    counts = np.concatenate([entry.counts for entry in leaves])
    small = int((counts < trained.minimum).sum())
    dominated = sum(int((entry.dominance > DOMINANCE).sum()) for entry in leaves)
    evidence: dict[str, Param] = {
        "leaves": len(counts),
        "smallest_leaf": int(counts.min()),
        "small_leaves": small,
        "dominated_leaves": dominated,
    }
    verdict, reason = Verdict.NO_ATTACK_SUCCEEDED, "model.leaves-large"
    if not all(entry.sound for entry in leaves):
        verdict, reason = Verdict.CANNOT_CHECK, "model.leaves-unknown"  # law 7
    elif small:
        verdict, reason = Verdict.BLOCK, "model.leaves-small"
    elif dominated:
        verdict, reason = Verdict.BLOCK, "model.leaves-dominated"
    parameters: dict[str, Param] = {"minimum_subjects": trained.minimum, "dominance": str(DOMINANCE)}
    finding = Finding("model.leaves", 1, verdict, reason, {"minimum": trained.minimum}, parameters, evidence)
    return (finding, *_check_values(trained, leaves))


def _leaves_of(tree: Any, bag: Array, trained: Trained) -> Leaves:
    """Count one tree's leaves from the rows in its bag, given with repetitions."""
    members, weights = np.unique(bag, return_counts=True)
    is_leaf = tree.tree_.children_left < 0
    place = np.cumsum(is_leaf) - 1
    reached = place[tree.apply(trained.train.matrix[members])]
    size = int(is_leaf.sum())
    subjects = trained.train.subjects[members]
    return Leaves(
        counts=distinct_subjects(reached, subjects, size),
        dominance=_dominance(reached, subjects, _contribution(trained, members, weights), size),
        values=tree.tree_.value[is_leaf][:, 0, :],
        sound=bool((np.bincount(reached, minlength=size) == tree.tree_.n_node_samples[is_leaf]).all()),
    )


def _contribution(trained: Trained, members: Array, weights: Array) -> Array:
    """What each row adds to its leaf: one for a class or a truth value, its magnitude for an amount."""
    target = trained.train.target
    if trained.description.kind.task is Task.CLASS or np.unique(target).size <= 2:
        return weights.astype(np.float64)
    return np.abs(target[members]) * weights


def _dominance(reached: Array, subjects: Array, amount: Array, size: int) -> Array:
    """Share of the two data subjects who add most, for each of ``size`` leaves; 0 where nothing is added at all."""
    width = int(subjects.max()) + 1
    pairs, where = np.unique(reached.astype(np.int64) * width + subjects, return_inverse=True)
    sums = np.bincount(where, weights=amount)
    leaf = pairs // width
    order = np.lexsort([-sums, leaf])
    leaf, sums = leaf[order], sums[order]
    first = np.searchsorted(leaf, leaf)
    top = np.bincount(leaf[np.arange(len(leaf)) - first < 2], sums[np.arange(len(leaf)) - first < 2], minlength=size)
    total = np.bincount(leaf, sums, minlength=size)
    return np.divide(top, total, out=np.zeros(size), where=total > 0)


def _check_values(trained: Trained, leaves: list[Leaves]) -> tuple[Finding, ...]:
    """A regressor's leaf value may not be one person's value oftener than chance, measured with people it never saw."""
    if trained.description.kind.task is not Task.NUMBER:
        return ()
    values = _steps(np.concatenate([entry.values[:, 0] for entry in leaves]), trained.told)
    target, held = (_steps(sample.target, trained.told) for sample in (trained.train, trained.holdout))
    same_size = np.random.default_rng(trained.seed).choice(target, size=min(len(target), len(held)), replace=False)
    seen, unseen = (np.isin(values, told) for told in (same_size, held))
    shares = [float(hits.mean()) for hits in (seen, unseen)]
    verdict, reason = Verdict.NO_ATTACK_SUCCEEDED, "model.leaf-values-mixed"
    if shares[0] - shares[1] > EXCESS_VALUES and _oftener(seen, unseen) < SIGNIFICANCE:
        verdict, reason = Verdict.BLOCK, "model.leaf-values-personal"
    evidence: dict[str, Param] = {"values": len(values), "training": f"{shares[0]:.3f}", "holdout": f"{shares[1]:.3f}"}
    return (Finding("model.leaf-values", 1, verdict, reason, {}, {"excess": str(EXCESS_VALUES)}, evidence),)


def _oftener(seen: Array, unseen: Array) -> float:
    """McNemar's exact test: p-value of values being found on the one side only as often as on the other only."""
    from scipy import stats

    only = int((seen & ~unseen).sum())
    discordant = only + int((unseen & ~seen).sum())
    return float(stats.binomtest(only, discordant, 0.5, "greater").pvalue) if discordant else 1.0


def _steps(values: Array, step: float) -> Array:
    """Write values as whole numbers of steps, so that they can be compared exactly."""
    return np.rint(values / step).astype(np.int64)
