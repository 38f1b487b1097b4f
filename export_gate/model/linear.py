"""Linear models: no coefficient may be about a handful of people (attack: one-person dummies, the regression as a lookup).

A dummy for one person makes that person's value readable from the coefficients. The dummy may be hidden in a difference of two
harmless features, so besides the features themselves every direction of the design is judged by the data subjects who determine it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from export_gate.finding import Finding, Verdict
from export_gate.model.estimators import Family
from export_gate.model.rows import Array
from export_gate.model.train import Sample, Trained
from lineage.errors import Param


LEVERAGE = 0.5
"""A data subject who determines half of some direction of the fit (h ≥ 0.5: Huber, "Robust Statistics", 1981, section 7.2)."""
CONCENTRATION = 0.9
"""Fewer than the minimum of data subjects may not determine more than this share of a direction."""
REVIEW_CONCENTRATION = 0.5
DEGREES_OF_FREEDOM = 10
"""Least number of data subjects beyond the rank of the design (the rule of ACRO, https://github.com/AI-SDC/ACRO)."""


def check_linear(trained: Trained) -> tuple[Finding, ...]:
    """Judge the design of a linear model; nothing to say of a tree."""
    if trained.description.kind.family is not Family.LINEAR:
        return ()
    return (_check_support(trained), _check_directions(trained))


def support(sample: Sample) -> Array:
    """For each column of the matrix, how many data subjects differ from its commonest value."""
    counts = []
    for column in sample.matrix.T:
        values, where, sizes = np.unique(column, return_inverse=True, return_counts=True)
        common = where == np.argmax(sizes)
        counts.append(min(np.unique(sample.subjects[~common]).size, _others(common, sample, len(values))))
    return np.array(counts)


def _others(common: Array, sample: Sample, distinct: int) -> int:
    """Data subjects of the commonest value: with two values the smaller side may be either one."""
    return np.unique(sample.subjects[common]).size if distinct == 2 else sample.rows.subject_count


def _check_support(trained: Trained) -> Finding:
    """Every column of the design must vary over enough data subjects."""
    counts = support(trained.train)
    weak = int((counts < trained.minimum).sum())
    baseline = int((support(trained.holdout) < trained.minimum).sum())
    verdict = Verdict.BLOCK if weak else Verdict.NO_ATTACK_SUCCEEDED
    reason = "model.features-personal" if weak else "model.features-shared"
    evidence: dict[str, Param] = {
        "columns": len(counts),
        "weak": weak,
        "smallest": int(counts.min()),
        "weak_in_holdout": baseline,
    }
    settings: dict[str, Param] = {"minimum_subjects": trained.minimum}
    return Finding("model.features", 1, verdict, reason, {"minimum": trained.minimum}, settings, evidence)


def _check_directions(trained: Trained) -> Finding:
    """No direction may be determined by one data subject, nor by fewer than the minimum together."""
    basis, rank = orthonormal_basis(trained.train)
    highest, concentration = directions(basis, trained.train.subjects, trained.minimum)
    held_basis, _ = orthonormal_basis(trained.holdout)
    baseline, _ = directions(held_basis, trained.holdout.subjects, trained.minimum)
    freedom = trained.train.rows.subject_count - rank
    verdict, reason = Verdict.NO_ATTACK_SUCCEEDED, "model.directions-shared"
    if freedom < DEGREES_OF_FREEDOM:
        verdict, reason = Verdict.BLOCK, "model.saturated"
    elif highest >= LEVERAGE or concentration >= CONCENTRATION:
        verdict, reason = Verdict.BLOCK, "model.directions-personal"
    elif concentration >= REVIEW_CONCENTRATION:
        verdict, reason = Verdict.REVIEW, "model.directions-uneven"
    settings: dict[str, Param] = {
        "minimum_subjects": trained.minimum,
        "leverage": str(LEVERAGE),
        "concentration": str(CONCENTRATION),
        "review_concentration": str(REVIEW_CONCENTRATION),
        "degrees_of_freedom": DEGREES_OF_FREEDOM,
    }
    evidence: dict[str, Param] = {
        "leverage": f"{highest:.3f}",
        "leverage_in_holdout": f"{baseline:.3f}",
        "concentration": f"{concentration:.3f}",
        "degrees_of_freedom": freedom,
    }
    params = {"minimum": trained.minimum}
    return Finding("model.directions", 1, verdict, reason, params, settings, evidence)


def orthonormal_basis(sample: Sample) -> tuple[NDArray[np.float64], int]:
    """Give an orthonormal basis (rows, rank) of the design with its intercept, and the rank.

    Each column is scaled to length one first: whether two columns are the same must not depend on their units.
    """
    design = np.column_stack([np.ones(len(sample.matrix)), sample.matrix.astype(np.float64)])
    length = np.linalg.norm(design, axis=0)
    left, singular, _ = np.linalg.svd(design[:, length > 0] / length[length > 0], full_matrices=False)
    rank = int((singular > singular[0] * 1e-7).sum())
    return left[:, :rank], rank


def directions(basis: NDArray[np.float64], subjects: Array, minimum: int) -> tuple[float, float]:
    """Find how far one data subject, and how far fewer than ``minimum`` together, determine some direction.

    If no data subject's leverage reaches 1/minimum, no direction can rest on ``minimum`` or fewer, for the leverages of those who
    carry a direction add up to at least one. Only directions of people above that bound are therefore searched.

    Returns:
        The highest leverage of one data subject (largest eigenvalue of their block of the hat matrix), and the largest share that
        ``minimum`` - 1 data subjects have in the direction in which such a person is strongest; both 0 … 1.
    """
    order = np.argsort(subjects, kind="stable")
    people, starts = np.unique(subjects[order], return_index=True)
    sorted_basis = basis[order]
    bound = np.add.reduceat((sorted_basis**2).sum(axis=1), starts)
    highest, concentration = 0.0, 0.0
    blocks = np.split(sorted_basis, starts[1:])
    for place in np.argsort(-bound, kind="stable"):
        if bound[place] < min(highest, 1 / minimum):
            break
        _, singular, right = np.linalg.svd(blocks[place], full_matrices=False)
        highest = max(highest, float(singular[0] ** 2))
        if singular[0] ** 2 >= 1 / minimum:
            energy = np.add.reduceat((sorted_basis @ right[0]) ** 2, starts)
            few = min(minimum - 1, len(people))
            concentration = max(concentration, float(np.sort(energy)[len(energy) - few :].sum()))
    return highest, concentration
