from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from desensitize import treatments
from desensitize.entities import Entity
from desensitize.treatments import (
    GeneraliseCategory,
    GeneraliseNumber,
    GeneraliseRegion,
    Mask,
    Prefix,
    RoundSignificant,
    Token,
    TopCode,
    Treatment,
    YearBand,
)
from lineage.canonical import encode


BAD: list[Callable[[], Treatment]] = [
    lambda: Mask(-1, 2),
    lambda: Mask(0, 17),
    lambda: GeneraliseNumber(1),
    lambda: GeneraliseNumber(10**16),
    lambda: RoundSignificant(0),
    lambda: RoundSignificant(7),
    lambda: TopCode(5, 5),
    lambda: TopCode(0, 10**16),
    lambda: YearBand(0),
    lambda: GeneraliseRegion(3),
    lambda: GeneraliseCategory((), "other"),
    lambda: GeneraliseCategory((("a", "x"), ("a", "y")), "other"),
    lambda: Prefix(0),
]


@pytest.mark.parametrize("make", BAD)
def test_a_treatment_out_of_range_cannot_be_made(make: Callable[[], Treatment]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        make()


def every_treatment(base: type[Treatment] = Treatment) -> set[type[Treatment]]:
    return {base}.union(*(every_treatment(below) for below in base.__subclasses__()))


def test_no_treatment_can_be_undone_and_names_are_distinct() -> None:
    concrete = [
        kind for kind in every_treatment() if not getattr(kind, "__abstractmethods__", None) and hasattr(kind, "name")
    ]
    assert len(concrete) == 13
    assert not any(kind.reversible for kind in concrete)
    assert len({kind.name for kind in concrete}) == len(concrete)
    assert all(kind.__module__ == treatments.__name__ for kind in concrete)


def test_parameters_are_plain_values() -> None:
    assert Mask(3, 4).parameters() == {"keep_first": 3, "keep_last": 4}
    assert Token(Entity.MOBILE).parameters() == {"entity": "mobile"}
    groups = GeneraliseCategory((("汉", "汉族"),), "少数民族").parameters()
    assert groups == {"groups": '[["汉","汉族"]]', "other": "少数民族"}
    encode(groups)
    assert get_args(int | str) == (int, str)
