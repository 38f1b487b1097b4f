from __future__ import annotations

import numpy as np
import pytest

from desensitize.kanonymity import Histogram, choose, classes_at
from lineage.errors import DefinitionError


def counts(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(numbers, dtype=np.int64)


NOBODY = (counts(), counts())


def ages(single: tuple[int, ...], repeated: tuple[np.ndarray, np.ndarray] = NOBODY) -> Histogram:
    """Four ages, then two bands, then nothing."""
    levels = (counts(0, 1, 2, 3), counts(0, 0, 1, 1), counts(0, 0, 0, 0))
    return Histogram((levels,), counts(*single), counts(*single), repeated)


def test_the_finest_level_is_kept_when_every_class_is_large() -> None:
    node, classes = choose(ages((10, 10, 10, 10)), 10, 0)
    assert node == (0,)
    assert classes.suppressed_subjects == 0


def test_it_climbs_until_classes_are_large() -> None:
    node, _ = choose(ages((9, 1, 5, 5)), 10, 0)
    assert node == (1,)


def test_a_small_class_is_suppressed_within_the_tolerance() -> None:
    node, classes = choose(ages((50, 50, 50, 2)), 10, 5)
    assert node == (0,)
    assert classes.suppressed_subjects == 2


def test_and_generalised_beyond_it() -> None:
    assert choose(ages((50, 50, 50, 9)), 10, 5)[0] == (1,)


def test_too_few_subjects_are_refused() -> None:
    with pytest.raises(DefinitionError, match="too-few-subjects"):
        choose(ages((2, 3, 2, 2)), 10, 20)


def test_a_subject_in_several_classes_counts_once_in_each_merged_class() -> None:
    histogram = ages((4, 4, 9, 9), (counts(0, 0, 1, 1), counts(0, 1, 1, 2)))
    fine, coarse, top = (classes_at(histogram, (level,), 10) for level in range(3))
    assert fine.subjects.tolist() == [5, 6, 10, 9]
    assert coarse.subjects.tolist() == [10, 19]
    assert top.subjects.tolist() == [28]
    assert fine.suppressed_subjects == 4 + 4 + 9 + 2
    assert coarse.suppressed_subjects == 0


def test_rows_do_not_count_as_subjects() -> None:
    levels = (counts(0, 1), counts(0, 0))
    histogram = Histogram((levels,), counts(1, 30), counts(1000, 30), NOBODY)
    node, classes = choose(histogram, 10, 5)
    assert node == (0,)
    assert classes.subjects.tolist() == [1, 30]
    assert classes.suppressed_subjects == 1


def test_a_table_without_quasi_identifiers_is_one_class() -> None:
    node, classes = choose(Histogram((), counts(12), counts(12), NOBODY), 10, 5)
    assert node == ()
    assert classes.subjects.tolist() == [12]


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(DefinitionError, match="too-few-subjects"):
        choose(Histogram(((counts(), counts()),), counts(), counts(), NOBODY), 2, 5)


def test_arrays_of_different_length_are_no_histogram() -> None:
    with pytest.raises(ValueError, match="one entry a class"):
        Histogram(((counts(0),),), counts(1, 2), counts(1, 2), NOBODY)
