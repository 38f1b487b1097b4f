"""Which few subjects do the published numbers of one cell tell apart?

A cell publishes sums over its subjects. If ``women``, ``men`` and ``all`` are published and ``all`` leaves out one person, then
``women + men - all`` is that person. In general: the matrix with a row for each subject and a column for each published sum has a
linear combination of its columns that is zero for all subjects but a few, and the same combination of the published sums is the
few subjects' own. Finding the sparsest such combination is hard in general (it is the minimum distance of a linear code), so this
search is a set of attacks, not a proof: single columns, ratios of two columns, what remains when the rarest kinds of subject are left
out, and null spaces of samples. The samples are the same each time, so that a finding can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


TOLERANCE = 1e-9
ROUNDS = 16
Matrix = Any


def smallest_support(totals: Matrix) -> int:
    """Give the fewest subjects, above none, in whom some combination of the columns is not zero.

    Args:
        totals: float64 array, one row a subject, one column a published sum; no NaN.

    Returns:
        A number of subjects; the number of all rows when nothing smaller was found.
    """
    import numpy as np

    columns = _independent(totals)
    best = int(totals.shape[0])
    if columns.shape[1] == 0:
        return best
    scale = np.abs(columns)
    for weights in _candidates(columns):
        residual = np.abs(columns @ weights)
        count = int(np.count_nonzero(residual > TOLERANCE * (scale @ np.abs(weights)) + 1e-300))
        if 0 < count < best:
            best = count
    return best


def _independent(totals: Matrix) -> Matrix:
    """Scale the columns and leave out those that the others give exactly: they tell nothing new."""
    import numpy as np

    kept: list[Matrix] = []
    basis: list[Matrix] = []
    for column in totals.T:
        top = np.abs(column).max(initial=0.0)
        if top == 0:
            continue
        scaled = column / top
        rest = scaled.copy()
        for _ in range(2):
            for direction in basis:
                rest = rest - direction * (direction @ rest)
        if np.abs(rest).max() > TOLERANCE:
            basis.append(rest / np.linalg.norm(rest))
            kept.append(scaled)
    return np.stack(kept, axis=1) if kept else np.zeros((totals.shape[0], 0))


def _candidates(columns: Matrix) -> Iterator[Matrix]:
    import numpy as np

    wide = columns.shape[1]
    yield from np.eye(wide)
    for first in range(wide):
        for second in range(wide):
            used = columns[:, first] != 0
            if first != second and used.any():
                weights = np.zeros(wide)
                weights[first], weights[second] = -_middle(columns[used, second] / columns[used, first]), 1.0
                yield weights
    for rows in _samples(columns):
        if len(rows):
            _, sizes, directions = np.linalg.svd(columns[rows], full_matrices=True)
            rank = int(np.count_nonzero(sizes > TOLERANCE * sizes.max(initial=0.0)))
            yield from directions[rank:]


def _middle(values: Matrix) -> float:
    """Give the lower median: a value that occurs, so that a ratio most subjects share is hit exactly."""
    import numpy as np

    return float(np.sort(values)[(len(values) - 1) // 2])


def _samples(columns: Matrix) -> Iterator[Matrix]:
    """Give sets of rows: all but the rarest kinds of row, and spread samples of several sizes."""
    import numpy as np

    count, wide = columns.shape
    _, kinds, sizes = np.unique(columns, axis=0, return_inverse=True, return_counts=True)
    frequency = sizes[np.ravel(kinds)]
    for limit in sorted(set(sizes.tolist()))[:ROUNDS]:
        yield np.flatnonzero(frequency > limit)
    index = np.arange(count, dtype=np.uint64)
    for size in {wide, 2 * wide, 4 * wide}:
        for turn in range(ROUNDS if size < count else 0):
            mixed = (index + np.uint64(turn + 1)) * np.uint64(0x9E3779B97F4A7C15)
            yield np.argsort((mixed ^ (mixed >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9))[:size]
