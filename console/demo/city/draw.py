"""Drawing by weights, a whole column at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


Ints = NDArray[np.int64]


def stream(seed: int, name: str) -> np.random.Generator:
    """Give a random stream of its own for each part of the city, so that a change to one leaves the others as they were."""
    return np.random.default_rng([seed, *name.encode()])


def by_weight(rng: np.random.Generator, weights: ArrayLike, count: int) -> Ints:
    """Draw ``count`` indices with chances in proportion to the weights."""
    total = np.cumsum(np.asarray(weights, dtype=np.float64))
    return np.searchsorted(total / total[-1], rng.random(count), side="right").astype(np.int64)


def by_band(rng: np.random.Generator, tables: Sequence[ArrayLike], band: Ints) -> Ints:
    """Draw an index for each row from the weights of the row's band."""
    drawn = np.empty(band.size, dtype=np.int64)
    for number, weights in enumerate(tables):
        rows = np.flatnonzero(band == number)
        drawn[rows] = by_weight(rng, weights, rows.size)
    return drawn


def falling(count: int, head: float = 3.0) -> NDArray[np.float64]:
    """Give weights that fall off as 1 / (rank + head), as the frequencies of words and names do."""
    weights: NDArray[np.float64] = 1.0 / (np.arange(count, dtype=np.float64) + head)
    return weights
