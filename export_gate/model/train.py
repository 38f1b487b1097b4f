"""Train one described model: the gate's own fit, on the rows it was given and the seed it drew, and on nothing else (law 2, law 9).

The fitted numbers are rounded (see `precision`) before anything is measured, so that every metric, check and attack is about the
model that would leave and not about a finer one.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export_gate.model.description import ModelDescription
from export_gate.model.encoder import Encoder, Matrix, fit_encoder
from export_gate.model.estimators import Family, Task
from export_gate.model.precision import round_probabilities, round_to, told_step
from export_gate.model.rows import Array, Rows, read_rows, split
from lineage.errors import DefinitionError


if TYPE_CHECKING:
    import pandas as pd

LOGIT_SPREAD = 2.0
"""Standard deviation of a logit's score at p = 1/2: its sampling error is 2 / √n."""


@dataclass(frozen=True)
class Sample:
    """One side of the hold-out split: the rows, and the matrix the estimator sees of them."""

    rows: Rows
    matrix: Matrix

    @property
    def target(self) -> Array:
        """What is to be predicted, one entry a row."""
        return self.rows.target

    @property
    def subjects(self) -> Array:
        """Code of the data subject, one entry a row."""
        return self.rows.subjects


@dataclass(frozen=True)
class Trained:
    """A fitted model with everything the checks need; it never leaves the gate.

    Attributes:
        description: what was asked for.
        estimator: the fitted scikit-learn estimator, its numbers rounded.
        encoder: how named columns become its matrix.
        train: what it was fitted on.
        holdout: rows of other data subjects.
        metrics: by name, on the hold-out; ``baseline_*`` is the same of the best constant answer.
        train_metrics: the same on the training rows, for the evidence only.
        told: rounding step of the learned numbers, for the card.
        converged: whether an iterative fit reached its tolerance.
        seed: what the gate drew; needed to train the reference models of the attack.
        minimum: least number of data subjects behind anything that is told.
    """

    description: ModelDescription
    estimator: Any
    encoder: Encoder
    train: Sample
    holdout: Sample
    metrics: Mapping[str, float]
    train_metrics: Mapping[str, float]
    told: float
    converged: bool
    seed: int
    minimum: int

    @property
    def trees(self) -> tuple[Any, ...]:
        """The fitted scikit-learn trees; none for a linear model."""
        if self.description.kind.family is Family.LINEAR:
            return ()
        return tuple(getattr(self.estimator, "estimators_", (self.estimator,)))


def train(frame: pd.DataFrame, description: ModelDescription, seed: int, minimum: int = 10) -> Trained:
    """Train a model on 70 % of the data subjects and measure it on the others.

    Args:
        frame: one row an observation, with the columns the description names.
        description: what to train.
        seed: 0 … 2³² - 1, drawn by the gate; decides the hold-out and every random choice of the fit.
        minimum: least number of data subjects behind anything that is told.

    Raises:
        DefinitionError: the rows do not fit the description.
    """
    rows, kinds = read_rows(frame, description)
    kept, held = split(rows, seed)
    linear = description.kind.family is Family.LINEAR
    encoder = fit_encoder(kept, kinds, minimum=minimum, scaled=linear)
    training, holdout = (Sample(part, encoder.encode(part)) for part in (kept, held))
    if np.unique(kept.target).size < 2:
        raise DefinitionError("model.target-constant", column=description.target)
    estimator, converged = fit(description, training.matrix, training.target, seed)
    told = round_learned(estimator, description, training)
    told_metrics, train_metrics = (
        _metrics(description, estimator, sample, training.target) for sample in (holdout, training)
    )
    return Trained(
        description=description,
        estimator=estimator,
        encoder=encoder,
        train=training,
        holdout=holdout,
        metrics=told_metrics,
        train_metrics=train_metrics,
        told=told,
        converged=converged,
        seed=seed,
        minimum=minimum,
    )


def fit(description: ModelDescription, matrix: Matrix, target: Array, seed: int) -> tuple[Any, bool]:
    """Fit a new estimator; say also whether an iterative fit converged.

    Raises:
        DefinitionError: scikit-learn refuses this combination of parameters or data.
    """
    from sklearn.exceptions import ConvergenceWarning

    module, _, name = description.estimator.rpartition(".")
    params = dict(description.params)
    if description.kind.takes_seed:
        params["random_state"] = seed
    estimator = getattr(importlib.import_module(module), name)(**params)
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        try:
            estimator.fit(matrix, target)
        except ValueError as error:
            # the library's text may quote data, so it is not passed on (law 8)
            raise DefinitionError("model.cannot-fit", estimator=description.estimator) from error
    return estimator, not any(issubclass(entry.category, ConvergenceWarning) for entry in raised)


def round_learned(estimator: Any, description: ModelDescription, sample: Sample) -> float:
    """Round leaf values, or coefficients and intercept, in place, and give the step."""
    numeric = description.kind.task is Task.NUMBER
    spread = float(np.std(sample.target)) if numeric else LOGIT_SPREAD
    step = told_step(spread, sample.rows.subject_count)
    if description.kind.family is Family.LINEAR:
        estimator.coef_ = round_to(estimator.coef_, step)
        estimator.intercept_ = round_to(estimator.intercept_, step)
        return step
    for tree in getattr(estimator, "estimators_", (estimator,)):
        values = tree.tree_.value
        values[:, 0, :] = round_to(values[:, 0, :], step) if numeric else round_probabilities(values[:, 0, :])
    return step if numeric else 0.01


def class_shares(estimator: Any, matrix: Matrix, classes: Array) -> NDArray[np.float64]:
    """Give the predicted probabilities (rows, classes) in the order of ``classes``; 0 for a class the estimator never saw."""
    shares = np.zeros((len(matrix), len(classes)))
    places = np.searchsorted(classes, estimator.classes_)
    shares[:, places] = estimator.predict_proba(matrix)
    return shares


def _metrics(description: ModelDescription, estimator: Any, sample: Sample, seen: Array) -> dict[str, float]:
    """Measure the model on a sample, each measure beside that of the best constant answer for the ``seen`` targets."""
    if description.kind.task is Task.NUMBER:
        return _number_metrics(estimator, sample, seen)
    values, counts = np.unique(seen, return_counts=True)
    measured = {
        "accuracy": float(np.mean(estimator.predict(sample.matrix) == sample.target)),
        "baseline_accuracy": float(np.mean(sample.target == values[np.argmax(counts)])),
    }
    auc = _auc(estimator, sample)
    return measured if auc is None else {**measured, "auc": auc, "baseline_auc": 0.5}


def _number_metrics(estimator: Any, sample: Sample, seen: Array) -> dict[str, float]:
    """Measure a regressor: share of variance explained (R²) and mean absolute error."""
    error = sample.target - estimator.predict(sample.matrix)
    constant = sample.target - seen.mean()
    variance = float(np.mean(constant**2))
    return {
        "r2": 1 - float(np.mean(error**2)) / variance if variance > 0 else 0.0,
        "baseline_r2": 0.0,
        "mean_absolute_error": float(np.mean(np.abs(error))),
        "baseline_mean_absolute_error": float(np.mean(np.abs(constant))),
    }


def _auc(estimator: Any, sample: Sample) -> float | None:
    """Area under the ROC curve, averaged one class against the rest; None when the sample lacks two known classes."""
    from sklearn.metrics import roc_auc_score

    shares = class_shares(estimator, sample.matrix, estimator.classes_)
    present = [place for place, name in enumerate(estimator.classes_) if 0 < np.mean(sample.target == name) < 1]
    if not present:
        return None
    areas = [roc_auc_score(sample.target == estimator.classes_[place], shares[:, place]) for place in present]
    return float(np.mean(areas))
