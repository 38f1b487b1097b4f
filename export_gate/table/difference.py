"""Which few subjects do the published numbers of one cell tell apart?

A cell publishes sums over its subjects. If ``women``, ``men`` and ``all`` are published and ``all`` leaves out one person, then
``women + men - all`` is that person. In general: the matrix with a row for each subject and a column for each published sum has a
linear combination of its columns that is zero for all subjects but a few, and the same combination of the published sums is the
few subjects' own. Finding the sparsest such combination is hard in general (it is the minimum distance of a linear code), so this
search is a set of attacks, not a proof: single columns, ratios of two columns, what remains when the rarest kinds of subject are left
out, and null spaces of samples. The samples are the same each time, so that a finding can be repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any


TOLERANCE = 1e-9
ROUNDS = 16
MOST_DROPPED = 100
MOST_SORTED = 200_000
Matrix = Any


def smallest_support(totals: Matrix, must: Sequence[Collection[int]] = ()) -> int:
    """Give the fewest subjects, above none, in whom some combination of the columns is not zero.

    Args:
        totals: float64 array, one row a subject, one column a published sum; no NaN.
        must: sets of columns; only combinations that use a column of each of them are looked at.

    Returns:
        A number of subjects; the number of all rows when nothing smaller was found.
    """
    import numpy as np

    columns, kept = _independent(totals)
    groups = [[place for place, number in enumerate(kept) if number in wanted] for wanted in must]
    best = int(totals.shape[0])
    if columns.shape[1] == 0 or not all(groups):
        return best
    scale = np.abs(columns)
    for weights in _candidates(columns):
        if any(np.abs(weights[group]).max() <= TOLERANCE for group in groups):
            continue
        residual = np.abs(columns @ weights)
        count = int(np.count_nonzero(residual > TOLERANCE * (scale @ np.abs(weights)) + 1e-300))
        if 0 < count < best:
            best = count
    return best


def _independent(totals: Matrix) -> tuple[Matrix, list[int]]:
    """Scale the columns and leave out those that the ones before give exactly: they tell nothing new. Gives which stay, too."""
    import numpy as np

    kept: list[Matrix] = []
    basis: list[Matrix] = []
    places: list[int] = []
    for place, column in enumerate(totals.T):
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
            places.append(place)
    return (np.stack(kept, axis=1) if kept else np.zeros((totals.shape[0], 0))), places


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
            # The triangular factor has the same null space and is as small as the number of columns.
            triangle = np.linalg.qr(columns[rows], mode="r")
            _, sizes, directions = np.linalg.svd(triangle, full_matrices=True)
            rank = int(np.count_nonzero(sizes > TOLERANCE * sizes.max(initial=0.0)))
            yield from directions[rank:]


def _middle(values: Matrix) -> float:
    """Give the lower median: a value that occurs, so that a ratio most subjects share is hit exactly."""
    import numpy as np

    middle = (len(values) - 1) // 2
    return float(np.partition(values, middle)[middle])


def _samples(columns: Matrix) -> Iterator[Matrix]:
    """Give sets of rows: all but the rarest kinds of row, and spread samples of several sizes."""
    import numpy as np

    count, wide = columns.shape
    if count <= MOST_SORTED:
        yield from _without_rare(columns)
    # Among very many subjects a sample misses the few nearly always.
    rounds = ROUNDS if count <= MOST_SORTED // 10 else 3
    index = np.arange(count, dtype=np.uint64)
    for size in (wide, 2 * wide, 4 * wide, 32 * wide):
        for turn in range(rounds if size < count else 0):
            mixed = (index + np.uint64(turn + 1)) * np.uint64(0x9E3779B97F4A7C15)
            order = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
            yield np.argpartition(order, size)[:size]


def _without_rare(columns: Matrix) -> Iterator[Matrix]:
    """Leave out the kinds of row that occur least, as long as few rows go with them."""
    import numpy as np

    _, kinds, sizes = np.unique(columns, axis=0, return_inverse=True, return_counts=True)
    frequency = sizes[np.ravel(kinds)]
    for limit in sorted(set(sizes.tolist())):
        kept = np.flatnonzero(frequency > limit)
        if len(columns) - len(kept) > MOST_DROPPED:
            return
        yield kept
