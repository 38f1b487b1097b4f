"""The search over the histogram against counting by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from desensitize.kanonymity import Histogram, choose, classes_at
from lineage.errors import DefinitionError


# Rows of (subject, age, district). Bands: age by 1, 2, 4, dropped; district by code, by tens, dropped.
AGES = (lambda a: a, lambda a: a // 2, lambda a: a // 4, lambda _: 0)
DISTRICTS = (lambda d: d, lambda d: d // 10, lambda _: 0)
ROWS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 9), st.sampled_from([11, 12, 13, 21, 22])), min_size=1, max_size=120
)


def histogram_of(rows: list[tuple[int, int, int]]) -> Histogram:
    classes = sorted({row[1:] for row in rows})
    of_subject: dict[int, set[int]] = {}
    for subject, *values in rows:
        of_subject.setdefault(subject, set()).add(classes.index((values[0], values[1])))
    single, repeated = [0] * len(classes), []
    for subject, places in of_subject.items():
        if len(places) == 1:
            single[next(iter(places))] += 1
        else:
            repeated += [(subject, place) for place in sorted(places)]
    counts = [sum(row[1:] == one for row in rows) for one in classes]

    def codes(level: object, place: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([level(one[place]) for one in classes], dtype=np.int64)  # type: ignore[operator]

    pairs = np.array(repeated, dtype=np.int64).reshape(-1, 2)
    return Histogram(
        (tuple(codes(level, 0) for level in AGES), tuple(codes(level, 1) for level in DISTRICTS)),
        np.array(single, dtype=np.int64),
        np.array(counts, dtype=np.int64),
        (pairs[:, 0], pairs[:, 1]),
    )


def by_hand(rows: list[tuple[int, int, int]], node: tuple[int, ...], k: int) -> tuple[list[int], int]:
    """Sizes of all classes, and subjects that lose a row."""
    members: dict[tuple[int, int], set[int]] = {}
    for subject, age, district in rows:
        members.setdefault((AGES[node[0]](age), DISTRICTS[node[1]](district)), set()).add(subject)
    lost = set().union(*(subjects for subjects in members.values() if len(subjects) < k))
    return sorted(len(subjects) for subjects in members.values()), len(lost)


@given(rows=ROWS, k=st.integers(2, 12))
def test_classes_of_every_node_are_exact(rows: list[tuple[int, int, int]], k: int) -> None:
    histogram = histogram_of(rows)
    assert histogram.subjects == len({row[0] for row in rows})
    for node in product(range(4), range(3)):
        found = classes_at(histogram, node, k)
        assert (sorted(found.subjects.tolist()), found.suppressed_subjects) == by_hand(rows, node, k)


@given(rows=ROWS, k=st.integers(2, 12), tolerance=st.integers(0, 20))
def test_the_chosen_node_does_and_no_finer_one_would(rows: list[tuple[int, int, int]], k: int, tolerance: int) -> None:
    subjects = len({row[0] for row in rows})
    try:
        node, found = choose(histogram_of(rows), k, tolerance)
    except DefinitionError:
        assert subjects < k
        return
    assert by_hand(rows, node, k)[1] == found.suppressed_subjects
    assert found.suppressed_subjects * 100 <= tolerance * subjects
    finer = [other for other in product(range(node[0] + 1), range(node[1] + 1)) if other != node]
    assert all(by_hand(rows, other, k)[1] * 100 > tolerance * subjects for other in finer)
