"""How finely a learned number is told: never finer than the data can support.

Digits below the sampling error carry no use for the recipient, yet they are a channel: the low digits of a mean can spell an
identifier, a threshold half-way between two incomes gives away both, and exact leaf proportions let the training set of a forest be
solved for (Ferry et al., "Trained Random Forests Completely Reveal your Dataset", ICML 2024). So every step here is a power of ten at or
below the sampling error of what is told.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


Numbers = NDArray[Any]

STEPS_PER_SPREAD = 50
"""A feature is read to about a fiftieth of its spread."""
PROBABILITY_STEPS = 100
"""A leaf tells a probability in hundredths."""


def power_of_ten_below(value: float) -> float:
    """Give the largest power of ten that is at most ``value``; 1.0 when there is nothing to measure."""
    return float(10.0 ** math.floor(math.log10(value))) if value > 0 and math.isfinite(value) else 1.0


def feature_step(values: Numbers) -> float:
    """Step of a numeric feature, in its own unit, from the training values without NaN.

    The interquartile range is used first, because one extreme income would otherwise stretch the step for everyone.
    """
    low, high = np.quantile(values, (0.25, 0.75))
    spread = (high - low) / 1.349
    return power_of_ten_below(float(spread if spread > 0 else np.std(values)) / STEPS_PER_SPREAD)


def told_step(spread: float, subjects: int) -> float:
    """Step of a number learned from ``subjects`` people: the sampling error of a mean, rounded down to a power of ten."""
    return power_of_ten_below(spread / math.sqrt(max(subjects, 1)))


def round_to(values: Numbers, step: float) -> Numbers:
    """Round to multiples of ``step``, half to even, as the ``Round`` operator of ONNX does."""
    rounded: Numbers = np.rint(np.asarray(values, dtype=np.float64) / step) * step
    return rounded


def round_probabilities(values: Numbers) -> Numbers:
    """Round rows of class shares (n, classes) to hundredths that still add up to one, by largest remainder."""
    scaled = values / values.sum(axis=1, keepdims=True) * PROBABILITY_STEPS
    floor = np.floor(scaled + 1e-9)
    missing = np.rint(PROBABILITY_STEPS - floor.sum(axis=1)).astype(int)
    order = np.argsort(-(scaled - floor), axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    rounded: Numbers = (floor + (rank < missing[:, None])) / PROBABILITY_STEPS
    return rounded
