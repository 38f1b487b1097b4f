"""Attribute inference: does the model tell more about a hidden trait of those it was trained on than of anybody else? (E3)

The attacker knows a person's target and all features but one, tries every value of that one and keeps the value under which
the model finds the known target likeliest, weighted by how common the value is (Fredrikson et al., USENIX Security 2014). What
holds for people in general is knowledge and not a leak, so only the difference between training and hold-out data subjects
counts. Traits are the categories and truth values; exact numbers are not guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export_gate.finding import Finding, Verdict
from export_gate.model.encoder import Matrix
from export_gate.model.estimators import Task
from export_gate.model.membership import CONFIDENCE, SMALLEST_SHARE, by_subject, excess
from export_gate.model.rows import ColumnKind
from export_gate.model.train import Sample, Trained, class_shares
from lineage.errors import Param


BLOCK_EXCESS = 0.10
"""The lower bound of the difference in correct guesses above which a model is blocked; no standard names a number."""
REVIEW_EXCESS = 0.03
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Trait:
    """One feature an attacker may want to know: its columns of the matrix, and each value as it stands there (values, columns)."""

    name: str
    columns: slice
    values: Matrix


@dataclass(frozen=True)
class Guesses:
    """How often one trait was guessed, as shares of data subjects, and the lower bound of the difference."""

    name: str
    training: float
    holdout: float
    excess_low: float


def check_attributes(trained: Trained) -> Finding:
    """Guess every trait of every data subject; a model without categories and truth values has none."""
    settings: dict[str, Param] = {"block_excess": str(BLOCK_EXCESS), "review_excess": str(REVIEW_EXCESS)}
    guesses = guess_traits(trained)
    if not guesses:
        reason = "model.attributes-none"
        return Finding("model.attributes", 1, Verdict.NO_ATTACK_SUCCEEDED, reason, {}, settings)
    worst = max(guesses, key=lambda entry: entry.excess_low)
    verdict, reason = Verdict.NO_ATTACK_SUCCEEDED, "model.attributes-hidden"
    if worst.excess_low > BLOCK_EXCESS:
        verdict, reason = Verdict.BLOCK, "model.attributes-visible"
    elif worst.excess_low > REVIEW_EXCESS:
        verdict, reason = Verdict.REVIEW, "model.attributes-perhaps-visible"
    evidence: dict[str, Param] = {"traits": len(guesses)}
    for place, entry in enumerate(guesses):
        evidence |= {
            f"{place}_feature": entry.name,
            f"{place}_training": f"{entry.training:.3f}",
            f"{place}_holdout": f"{entry.holdout:.3f}",
            f"{place}_excess_low": f"{entry.excess_low:.3f}",
        }
    params: dict[str, Param] = {
        "feature": worst.name,
        "training": _percent(worst.training),
        "holdout": _percent(worst.holdout),
    }
    return Finding("model.attributes", 1, verdict, reason, params, settings, evidence)


def traits(trained: Trained) -> tuple[Trait, ...]:
    """List the categories and truth values among the features."""
    found = []
    for place, column in enumerate(trained.encoder.numbers):
        if column.kind is ColumnKind.BOOLEAN:
            values = np.unique(trained.train.matrix[:, place])[:, None]
            found.append(Trait(column.name, slice(place, place + 1), values))
    start = len(trained.encoder.numbers)
    for text in trained.encoder.texts:
        found.append(Trait(text.name, slice(start, start + text.width), np.eye(text.width, dtype=np.float32)))
        start += text.width
    return tuple(found)


def guess_traits(trained: Trained) -> tuple[Guesses, ...]:
    """Carry out the attack on every trait, for training and hold-out data subjects."""
    from scipy import stats

    listed = traits(trained)
    # every trait is another try, so the bound is drawn for all of them together (Bonferroni)
    quantile = float(stats.norm.ppf(1 - (1 - CONFIDENCE) / (2 * max(len(listed), 1))))
    results = []
    for trait in listed:
        rates = [by_subject(sample, _correct(trained, trait, sample))[1] for sample in (trained.train, trained.holdout)]
        seen, unseen = (float(rate.mean()) for rate in rates)
        low = excess(rates[0], rates[1], quantile)
        results.append(Guesses(trait.name, seen, unseen, low))
    return tuple(results)


def _correct(trained: Trained, trait: Trait, sample: Sample) -> Scores:
    """Say for each row, 1 or 0, whether the guess is its true value."""
    common = np.array([np.mean(_equals(trained.train, trait, value)) for value in trait.values])
    support = np.stack([_support(trained, _put(sample.matrix, trait, value), sample) for value in trait.values])
    guess = np.argmax(support + np.log(np.maximum(common, SMALLEST_SHARE))[:, None], axis=0)
    true = np.stack([_equals(sample, trait, value) for value in trait.values])
    correct: Scores = true[guess, np.arange(len(guess))].astype(np.float64)
    return correct


def _equals(sample: Sample, trait: Trait, value: Matrix) -> NDArray[np.bool_]:
    """Whether each row has this value of the trait."""
    same: NDArray[np.bool_] = (sample.matrix[:, trait.columns] == value).all(axis=1)
    return same


def _put(matrix: Matrix, trait: Trait, value: Matrix) -> Matrix:
    """Give the matrix with the trait set to one value in every row."""
    changed = matrix.copy()
    changed[:, trait.columns] = value
    return changed


def _support(trained: Trained, matrix: Matrix, sample: Sample) -> Scores:
    """Logarithm of the likelihood of each row's true target under the model."""
    if trained.description.kind.task is Task.NUMBER:
        variance = float(np.mean((trained.holdout.target - trained.estimator.predict(trained.holdout.matrix)) ** 2))
        fit: Scores = -((sample.target - trained.estimator.predict(matrix)) ** 2) / (2 * max(variance, 1e-12))
        return fit
    classes = np.unique(np.concatenate([trained.train.target, trained.holdout.target]))
    shares = class_shares(trained.estimator, matrix, classes)
    own = shares[np.arange(len(sample.target)), np.searchsorted(classes, sample.target)]
    likely: Scores = np.log(np.maximum(own, SMALLEST_SHARE))
    return likely


def _percent(share: float) -> int:
    """A share in whole percent."""
    return round(100 * share)
