"""Membership inference: can it be told from the model that somebody was in the training data? (P2, E3)

Two attacks, both against data subjects the model never saw. The loss attack guesses "member" where the model errs little (Yeom et al.,
CSF 2018). The calibrated attack first takes away how hard a person is to predict, measured with reference models that the gate trains on
halves of all data subjects and asks only about the other half (Watson et al., ICLR 2022). Success is told as the area under the curve
with DeLong's interval (Biometrics 1988), and as the true positive rate at 1 % false positives with Clopper-Pearson's (Biometrika 1934),
because a leak about few people hides in the area (Carlini et al., S&P 2022). A data subject counts once, however many rows it has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export_gate.finding import Finding, Verdict
from export_gate.model.estimators import Task
from export_gate.model.rows import Array, Rows
from export_gate.model.train import Sample, Trained, class_shares, fit, round_learned
from lineage.errors import Param


BLOCK_AUC = 0.65
"""The lower bound of the area above which a model is blocked (the threshold of SACRO-ML)."""
REVIEW_AUC = 0.55
BLOCK_RATE = 0.10
"""The lower bound of the true positive rate at 1 % false positives: ten times chance blocks."""
REVIEW_RATE = 0.03
FALSE_POSITIVES = 0.01
CONFIDENCE = 0.95
LEAST_HOLDOUT = 30
REFERENCE_PAIRS = 4
"""Reference models come in pairs trained on complementary halves, so that everybody is left out equally often."""
SMALLEST_SHARE = 1e-6

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Attack:
    """How well one attack told members from others; all numbers 0 … 1, intervals two-sided at 95 %."""

    name: str
    auc: float
    auc_low: float
    p_value: float
    rate: float
    rate_low: float
    rate_high: float
    false_low: float
    false_high: float

    @property
    def blocks(self) -> bool:
        """Whether the model clearly gives members away."""
        return self.auc_low > BLOCK_AUC or self.rate_low > max(BLOCK_RATE, self.false_high)

    @property
    def needs_review(self) -> bool:
        """Whether something is there that people must weigh."""
        return self.auc_low > REVIEW_AUC or self.rate_low > max(REVIEW_RATE, self.false_high)


def check_membership(trained: Trained) -> Finding:
    """Carry out both attacks; too few people outside the training data is ``cannot check`` (law 7)."""
    settings: dict[str, Param] = {
        "block_auc": str(BLOCK_AUC),
        "review_auc": str(REVIEW_AUC),
        "block_rate": str(BLOCK_RATE),
        "review_rate": str(REVIEW_RATE),
        "false_positives": str(FALSE_POSITIVES),
        "references": 2 * REFERENCE_PAIRS,
    }
    if trained.holdout.rows.subject_count < LEAST_HOLDOUT:
        reason = "model.holdout-small"
        return Finding("model.membership", 1, Verdict.CANNOT_CHECK, reason, {"least": LEAST_HOLDOUT}, settings)
    attacks = run_attacks(trained)
    verdict, reason = Verdict.NO_ATTACK_SUCCEEDED, "model.members-hidden"
    if any(attack.blocks for attack in attacks):
        verdict, reason = Verdict.BLOCK, "model.members-visible"
    elif any(attack.needs_review for attack in attacks):
        verdict, reason = Verdict.REVIEW, "model.members-perhaps-visible"
    strongest = max(attacks, key=lambda attack: attack.auc)
    params = {"auc": f"{strongest.auc:.2f}", "rate": f"{max(attack.rate for attack in attacks):.2f}"}
    evidence = {key: value for attack in attacks for key, value in _evidence(attack).items()}
    return Finding("model.membership", 1, verdict, reason, params, settings, evidence)


def run_attacks(trained: Trained) -> tuple[Attack, ...]:
    """Give the results of the loss attack and of the calibrated attack."""
    sides = (trained.train, trained.holdout)
    plain = [by_subject(sample, -_loss(trained, trained.estimator, sample)) for sample in sides]
    hardness = _hardness(trained)
    calibrated = [scores + hardness[people] for people, scores in plain]
    return (
        measure("loss", plain[0][1], plain[1][1]),
        measure("calibrated", calibrated[0], calibrated[1]),
    )


def measure(name: str, members: Scores, others: Scores) -> Attack:
    """Measure how well a score (higher means "member") tells members from others; one entry a data subject."""
    from scipy import stats

    area, error = _area(members, others)
    quantile = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    allowed = math.floor(FALSE_POSITIVES * len(others))
    threshold = np.sort(others)[len(others) - 1 - allowed]
    hits, false = int((members > threshold).sum()), int((others > threshold).sum())
    low, high = (float(bound) for bound in _interval(hits, len(members)))
    false_low, false_high = (float(bound) for bound in _interval(false, len(others)))
    return Attack(
        name=name,
        auc=area,
        auc_low=area - quantile * error,
        p_value=float(stats.mannwhitneyu(members, others, alternative="greater").pvalue),
        rate=hits / len(members),
        rate_low=low,
        rate_high=high,
        false_low=false_low,
        false_high=false_high,
    )


def excess(seen: Scores, unseen: Scores, quantile: float) -> float:
    """Give the lower bound of how much larger the mean of ``seen`` is than that of ``unseen``; one entry a data subject."""
    error = math.sqrt(float(seen.var(ddof=1)) / len(seen) + float(unseen.var(ddof=1)) / len(unseen))
    return float(seen.mean() - unseen.mean()) - quantile * error


def _interval(hits: int, count: int) -> tuple[float, float]:
    """Clopper-Pearson's exact interval of a share."""
    from scipy import stats

    interval = stats.binomtest(hits, count).proportion_ci(CONFIDENCE, method="exact")
    return interval.low, interval.high


def _area(members: Scores, others: Scores) -> tuple[float, float]:
    """Area under the curve with DeLong's standard error, from ranks (Sun and Xu, IEEE SPL 2014)."""
    from scipy import stats

    count, rest = len(members), len(others)
    ranks = stats.rankdata(np.concatenate([members, others]))
    beaten = (ranks[:count] - stats.rankdata(members)) / rest
    beats = 1 - (ranks[count:] - stats.rankdata(others)) / count
    variance = beaten.var(ddof=1) / count + beats.var(ddof=1) / rest
    return float(beaten.mean()), math.sqrt(float(variance))


def _loss(trained: Trained, estimator: Any, sample: Sample) -> Scores:
    """Loss of each row: logarithmic for classes, squared for numbers."""
    if trained.description.kind.task is Task.NUMBER:
        error: Scores = (sample.target - estimator.predict(sample.matrix)) ** 2
        return error
    classes = np.unique(np.concatenate([trained.train.target, trained.holdout.target]))
    shares = class_shares(estimator, sample.matrix, classes)
    own = shares[np.arange(len(sample.target)), np.searchsorted(classes, sample.target)]
    loss: Scores = -np.log(np.maximum(own, SMALLEST_SHARE))
    return loss


def by_subject(sample: Sample, scores: Scores) -> tuple[Array, Scores]:
    """Average over the rows of each data subject; gives the subjects' codes beside their scores."""
    people, where = np.unique(sample.subjects, return_inverse=True)
    return people, np.bincount(where, weights=scores) / np.bincount(where)


def _hardness(trained: Trained) -> Scores:
    """Mean loss of each data subject, by code, under reference models that never saw it."""
    pool = _join(trained.train, trained.holdout)
    people = np.unique(pool.subjects)
    total = np.zeros(int(people.max()) + 1)
    randomness = np.random.default_rng((trained.seed, 1))
    for _ in range(REFERENCE_PAIRS):
        half = np.isin(pool.subjects, randomness.permutation(people)[: len(people) // 2])
        seed = int(randomness.integers(2**32))
        for side in (half, ~half):
            loss = _reference_loss(trained, pool, side, seed)
            outside, scores = by_subject(_part(pool, ~side), loss)
            total[outside] += scores
    return total / REFERENCE_PAIRS


def _reference_loss(trained: Trained, pool: Sample, side: Array, seed: int) -> Scores:
    """Train a reference model on one side and give the loss of each row of the other."""
    inside, outside = _part(pool, side), _part(pool, ~side)
    if np.unique(inside.target).size < 2:
        return np.zeros(len(outside.target))
    reference, _ = fit(trained.description, inside.matrix, inside.target, seed)
    round_learned(reference, trained.description, inside)
    return _loss(trained, reference, outside)


def _join(first: Sample, second: Sample) -> Sample:
    """Put two samples under each other; their raw columns are not needed."""
    target, subjects = (
        np.concatenate(pair) for pair in ((first.target, second.target), (first.subjects, second.subjects))
    )
    return Sample(Rows({}, target, subjects), np.concatenate([first.matrix, second.matrix]))


def _part(sample: Sample, chosen: Array) -> Sample:
    """Give some rows of a sample."""
    return Sample(sample.rows.take(chosen), sample.matrix[chosen])


def _evidence(attack: Attack) -> dict[str, str]:
    """Write the measures of one attack as decimal strings."""
    names = ("auc", "auc_low", "rate", "rate_low", "rate_high", "false_low", "false_high")
    measures = {f"{attack.name}_{name}": f"{getattr(attack, name):.3f}" for name in names}
    return {**measures, f"{attack.name}_p_value": f"{attack.p_value:.2e}"}
