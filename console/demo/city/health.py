"""Visits to clinics: who falls ill with what, where they go, what it costs, whether they come back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from console.demo.city import vocabulary as words
from console.demo.city.draw import Ints, by_band, by_weight, falling, stream
from console.demo.city.people import AS_OF, People


ILLNESSES = words.ILLNESSES + words.RARE_ILLNESSES
SEVERITY = np.array([illness.severity for illness in ILLNESSES])
MEAN_VISITS = 4.0
DAYS_COVERED = 730
RARE_SHARE = 0.0006
# Share of residents' visits that arrive one day after the first file, and the days back that they may come from.
LATE_SHARE = 0.03
LATE_DAYS = 60
HOSPITAL_DAY_FEN = 65_000


@dataclass(frozen=True)
class Visits:
    """Visits as columns, each of shape (n,).

    ``person`` is the row of the resident, ``clinic`` indexes ``clinic_names()``, ``diagnosis`` indexes ``ILLNESSES``, ``date`` is in days,
    ``cost`` in fen (hundredths of a yuan), ``readmitted`` is 0 or 1.
    """

    person: Ints
    clinic: Ints
    diagnosis: Ints
    date: NDArray[np.datetime64]
    days: Ints
    cost: Ints
    readmitted: Ints

    @property
    def count(self) -> int:
        """Number of visits."""
        return self.person.size

    def take(self, rows: Ints) -> Visits:
        """Give the visits of these rows, in this order."""
        return Visits(**{name: column[rows] for name, column in vars(self).items()})

    def with_cost(self, cost: Ints) -> Visits:
        """Give the same visits at another cost."""
        return replace(self, cost=cost)


def clinic_names() -> list[str]:
    """Name the clinics: five a district, then those of the whole city."""
    local = [district.name + kind for district in words.DISTRICTS for kind in words.CLINIC_KINDS]
    return [*local, *words.CITY_CLINICS]


def make_visits(seed: int, people: People) -> tuple[Visits, Visits]:
    """Make two years of visits: those in the first file, by date, and those that arrive a day later."""
    rng = stream(seed, "visits")
    person = np.repeat(np.arange(people.count), _visit_counts(rng, people))
    date = AS_OF - rng.integers(0, DAYS_COVERED, person.size).astype("timedelta64[D]")
    order = np.lexsort((date, person))
    date = date[order]
    diagnosis = _diagnoses(rng, people, person)
    days = _days(rng, SEVERITY[diagnosis])
    visits = Visits(
        person=person,
        clinic=_clinics(rng, people.district[person], diagnosis),
        diagnosis=diagnosis,
        date=date,
        days=days,
        cost=_costs(rng, diagnosis, days),
        readmitted=_readmitted(rng, people.age[person], days, diagnosis, _previous(person)),
    )
    return _split(rng, visits)


def _visit_counts(rng: np.random.Generator, people: People) -> Ints:
    by_age = np.array([1.1, 0.6, 0.9, 1.6, 2.2])[np.digitize(people.age, words.ILLNESS_BANDS)]
    # A gamma mixture of Poissons: many come never, a few come dozens of times.
    rate = by_age * rng.gamma(0.7, 1.0, people.count)
    counts: Ints = rng.poisson(rate / rate.mean() * MEAN_VISITS)
    return counts


def _diagnoses(rng: np.random.Generator, people: People, person: Ints) -> Ints:
    def draw(rows: Ints) -> Ints:
        band = np.digitize(people.age[rows], words.ILLNESS_BANDS) * 2 + people.male[rows]
        return by_band(rng, _tables(), band)

    usual = draw(np.arange(people.count))
    rare = np.flatnonzero(rng.random(people.count) < RARE_SHARE)
    usual[rare] = len(words.ILLNESSES) + by_weight(rng, falling(len(words.RARE_ILLNESSES), 1.0), rare.size)
    # What people have they have again: half of the visits are for the illness that is theirs.
    return np.where(rng.random(person.size) < 0.5, usual[person], draw(person))


def _tables() -> list[NDArray[np.float64]]:
    bands = range(len(words.ILLNESS_BANDS) + 1)
    return [
        np.array([illness.weights[band] * (illness.sex in {"", sex}) for illness in words.ILLNESSES], dtype=np.float64)
        for band in bands
        for sex in ("女", "男")
    ]


def _clinics(rng: np.random.Generator, district: Ints, diagnosis: Ints) -> Ints:
    kinds = len(words.CLINIC_KINDS)
    near = district * kinds + by_weight(rng, falling(kinds, 1.0), district.size)
    far = kinds * len(words.DISTRICTS) + by_weight(rng, (6, 3, 2, 0.1), district.size)
    stays_near = rng.random(district.size) < 0.85 - 0.2 * SEVERITY[diagnosis]
    return np.where(stays_near, near, far)


def _days(rng: np.random.Generator, severity: Ints) -> Ints:
    chance = np.array([0.03, 0.2, 0.45, 0.7])[severity]
    stay = 1 + rng.gamma(1.6, 1.4 + severity * 1.3).astype(np.int64)
    return np.where(rng.random(severity.size) < chance, stay.clip(1, 60), 0)


def _costs(rng: np.random.Generator, diagnosis: Ints, days: Ints) -> Ints:
    base = np.array([illness.cost for illness in ILLNESSES])[diagnosis] * 100
    spread = rng.lognormal(0, 0.45, (2, diagnosis.size))
    fen: Ints = (base * spread[0] + days * HOSPITAL_DAY_FEN * spread[1]).astype(np.int64) + 100
    return fen


def _previous(person: Ints) -> Ints:
    starts = np.searchsorted(person, person)
    return np.arange(person.size) - starts


def _readmitted(rng: np.random.Generator, age: Ints, days: Ints, diagnosis: Ints, previous: Ints) -> Ints:
    score = -3.9 + 0.015 * age + 0.12 * days.clip(0, 14) + 0.36 * SEVERITY[diagnosis] + 0.25 * np.log1p(previous)
    return (rng.random(age.size) < 1 / (1 + np.exp(-score))).astype(np.int64)


def _split(rng: np.random.Generator, visits: Visits) -> tuple[Visits, Visits]:
    order = np.argsort(visits.date, kind="stable")
    fresh = np.flatnonzero(visits.date[order] > AS_OF - np.timedelta64(LATE_DAYS, "D"))
    wanted = min(round(visits.count * LATE_SHARE), fresh.size)
    late = np.zeros(visits.count, dtype=bool)
    late[rng.permutation(fresh)[:wanted]] = True
    return visits.take(order[~late]), visits.take(order[late])
