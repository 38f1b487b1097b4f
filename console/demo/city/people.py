"""Households and the people in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from console.demo.city import vocabulary as words
from console.demo.city.draw import Ints, by_band, by_weight, falling, stream
from console.demo.city.identifiers import AREA_BASE, AREA_ELSEWHERE, Strings, citizen_numbers, mobile_numbers


AS_OF = np.datetime64("2026-09-30", "D")
HAMLET_HOUSEHOLDS = (3, 2, 2)
SIZES = (0.22, 0.30, 0.27, 0.12, 0.06, 0.03)
FEWEST = 100


@dataclass(frozen=True)
class People:
    """Residents as columns, each of shape (n,); ``district``, ``education``, ``calling``, … index ``vocabulary``'s tuples."""

    resident_id: Strings
    name: Strings
    mobile: Ints
    male: NDArray[np.bool_]
    birth_date: NDArray[np.datetime64]
    age: Ints
    household: Ints
    district: Ints
    address: Strings
    education: Ints
    calling: Ints
    ethnicity: Ints
    marital: Ints

    @property
    def count(self) -> int:
        """Number of residents."""
        return self.resident_id.size


def make_people(seed: int, residents: int) -> People:
    """Make the residents of the city.

    Raises:
        ValueError: fewer residents than a city needs.
    """
    if residents < FEWEST:
        raise ValueError(f"a city has at least {FEWEST} residents")
    rng = stream(seed, "people")
    sizes = _household_sizes(rng, residents)
    household = np.repeat(np.arange(sizes.size), sizes)
    role = np.arange(residents) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    male = _sexes(rng, household, role, sizes.size)
    birth_date, age = _births(rng, sizes, household, role)
    district = _districts(rng, sizes.size)
    band = np.digitize(age, words.LIFE_BANDS)
    born_here = rng.random(residents) < 0.85
    areas = np.where(born_here, AREA_BASE + district[household], AREA_ELSEWHERE)
    clan = by_weight(rng, [weight for _, weight in words.ETHNICITIES], sizes.size)
    return People(
        resident_id=citizen_numbers(rng, areas, birth_date, male),
        name=_names(rng, household, role, male, sizes.size),
        mobile=mobile_numbers(rng, residents),
        male=male,
        birth_date=birth_date,
        age=age,
        household=household,
        district=district[household],
        address=_addresses(rng, district)[household],
        education=by_band(rng, words.EDUCATION_BY_BAND, band),
        calling=by_band(rng, words.CALLINGS_BY_BAND, band),
        ethnicity=clan[household],
        marital=by_band(rng, words.MARITAL_BY_BAND, band),
    )


def _household_sizes(rng: np.random.Generator, residents: int) -> Ints:
    room = residents - sum(HAMLET_HOUSEHOLDS)
    drawn = 1 + by_weight(rng, SIZES, room)
    ends = np.cumsum(drawn)
    last = int(np.searchsorted(ends, room))
    sizes = drawn[: last + 1]
    sizes[-1] -= ends[last] - room
    return np.concatenate([sizes, np.array(HAMLET_HOUSEHOLDS, dtype=np.int64)])


def _sexes(rng: np.random.Generator, household: Ints, role: Ints, households: int) -> NDArray[np.bool_]:
    head = rng.random(households) < 0.62
    male = rng.random(household.size) < 0.51
    male[role == 0] = head
    partners = role == 1
    male[partners] = ~head[household[partners]]
    return male


def _births(rng: np.random.Generator, sizes: Ints, household: Ints, role: Ints) -> tuple[NDArray[np.datetime64], Ints]:
    count = household.size
    head = np.where(sizes >= 3, rng.normal(43, 10, sizes.size), rng.normal(54, 17, sizes.size)).clip(23, 93)
    base = head[household]
    years = np.select(
        [role == 0, role == 1, (role == 2) | ((role == 3) & (rng.random(count) < 0.6))],
        [base, base + rng.normal(-1, 3, count), base - rng.uniform(22, 37, count)],
        base + rng.uniform(21, 34, count),
    )
    # A child that would not be born yet is a baby.
    years = np.where(years < 0, rng.uniform(0, 2, count), years).clip(0, 102)
    days = (years * 365.2425).astype(np.int64) + rng.integers(0, 365, count)
    return AS_OF - days.astype("timedelta64[D]"), (days / 365.2425).astype(np.int64)


def _districts(rng: np.random.Generator, households: int) -> Ints:
    district = by_weight(rng, [district.share for district in words.DISTRICTS], households)
    district[-len(HAMLET_HOUSEHOLDS) :] = words.HAMLET
    return district


def _names(rng: np.random.Generator, household: Ints, role: Ints, male: NDArray[np.bool_], households: int) -> Strings:
    count = household.size
    surnames = np.array(words.SURNAMES)
    family = by_weight(rng, falling(surnames.size), households)[household]
    # A wife or husband keeps the name of another family.
    family = np.where(role == 1, by_weight(rng, falling(surnames.size), count), family)
    parts = []
    for _ in range(2):
        men, women = (
            np.array(given)[by_weight(rng, falling(len(given), 6), count)]
            for given in (words.GIVEN_MALE, words.GIVEN_FEMALE)
        )
        parts.append(np.where(male, men, women))
    second = np.where(rng.random(count) < 0.22, "", parts[1])
    return np.strings.add(np.strings.add(surnames[family], parts[0]), second)


def _addresses(rng: np.random.Generator, district: Ints) -> Strings:
    count = district.size
    names = np.array([f"长春市{district.name}" for district in words.DISTRICTS])
    street = np.array(words.STREETS)[by_weight(rng, falling(len(words.STREETS)), count)]
    estate = np.array(words.ESTATES)[rng.integers(0, len(words.ESTATES), count)]
    numbers = [rng.integers(1, high, count).astype(np.str_) for high in (3000, 40, 7, 21, 5)]
    pieces = (
        names[district],
        street,
        numbers[0],
        "号",
        estate,
        numbers[1],
        "栋",
        numbers[2],
        "单元",
        numbers[3],
        "0",
        numbers[4],
        "室",
    )
    address = pieces[0]
    for piece in pieces[1:]:
        address = np.strings.add(address, piece)
    return np.asarray(address, dtype=np.str_)
