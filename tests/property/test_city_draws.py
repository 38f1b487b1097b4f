"""Whatever the seed and size: codes are valid and distinct, the hamlet is there, the same numbers give the same bytes."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from console.demo.city import generate
from console.demo.city.dirt import Fault, spread
from console.demo.city.identifiers import citizen_numbers, credit_codes, mobile_numbers
from console.demo.city.people import make_people
from console.demo.city.vocabulary import HAMLET


seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, count=st.integers(1, 300))
def test_citizen_numbers_are_valid_and_distinct_even_on_one_day(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    births = np.full(count, np.datetime64("1990-02-28"))
    numbers = citizen_numbers(rng, np.full(count, 220190), births, rng.random(count) < 0.5).tolist()
    assert len(set(numbers)) == count
    for number in numbers:
        values = [10 if letter == "X" else int(letter) for letter in number]
        assert sum(value * pow(2, 17 - place, 11) for place, value in enumerate(values)) % 11 == 1
        assert number[6:14] == "19900228"


@given(seed=seeds, count=st.integers(1, 300))
def test_codes_and_mobiles_are_distinct_and_nobodys(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    codes = credit_codes(rng, np.full(count, 220191)).tolist()
    assert len(set(codes)) == count
    assert {code[:10] for code in codes} == {"91220191MA"}
    mobiles = mobile_numbers(rng, count).tolist()
    assert len(set(mobiles)) == count
    assert {mobile // 100_000_000 for mobile in mobiles} == {154}


@given(seed=seeds, residents=st.integers(100, 3000))
@settings(max_examples=20, deadline=None)
def test_every_city_has_its_residents_and_its_hamlet(seed: int, residents: int) -> None:
    people = make_people(seed, residents)
    assert people.count == residents
    assert int((people.district == HAMLET).sum()) == 7
    assert people.age.min() >= 0
    assert people.age.max() <= 104


@given(seed=seeds, rows=st.integers(0, 500), share=st.floats(0, 1))
def test_faults_are_spread_evenly_and_counted(seed: int, rows: int, share: float) -> None:
    kinds = (Fault.MISSING_KEY, Fault.IMPOSSIBLE_DATE, Fault.NEGATIVE_NUMBER)
    dirt = spread(np.random.default_rng(seed), kinds, rows, share)
    counts = dirt.counts.values()
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == min(rows, max(3, round(rows * share))) == rows - int(dirt.clean.sum())


def _digests(seed: int, residents: int) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), residents, seed)
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).iterdir()}


@given(seed=seeds)
@settings(max_examples=5, deadline=None)
def test_same_numbers_same_bytes_other_seed_other_city(seed: int) -> None:
    first = _digests(seed, 200)
    assert _digests(seed, 200) == first
    assert len(first) == 5
    other = _digests(seed + 1, 200)
    assert all(other[name] != digest for name, digest in first.items())
