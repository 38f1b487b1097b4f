"""Companies of the city and the social insurance that they pay for the people they employ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from console.demo.city import vocabulary as words
from console.demo.city.draw import Ints, by_weight, falling, stream
from console.demo.city.identifiers import AREA_BASE, Strings, credit_codes
from console.demo.city.people import People


MONTHS = ("2026-04", "2026-05", "2026-06", "2026-07", "2026-08", "2026-09")
PEOPLE_PER_COMPANY = 40
# Least and highest base of contribution in fen, and the part that the person pays.
BASE_LOW = 390_000
BASE_HIGH = 2_050_000
PERSON_PERCENT = 8
EDUCATION_FACTOR = np.array([0.8, 0.8, 0.85, 0.95, 1.05, 1.25, 1.6, 2.0])


@dataclass(frozen=True)
class Companies:
    """Companies as columns of shape (m,); ``capital`` in yuan, ``legal_person`` is the row of a resident."""

    uscc: Strings
    name: Strings
    industry: Ints
    district: Ints
    capital: Ints
    legal_person: Ints


@dataclass(frozen=True)
class Payments:
    """Monthly contributions as columns of shape (k,): rows of person and company, index of ``MONTHS``, amounts in fen."""

    person: Ints
    company: Ints
    month: Ints
    base: Ints
    paid: Ints


def make_companies(seed: int, people: People) -> Companies:
    """Make the companies; their heads are grown-up residents."""
    rng = stream(seed, "companies")
    count = max(12, people.count // PEOPLE_PER_COMPANY)
    district = by_weight(rng, [district.share for district in words.DISTRICTS], count)
    grown = np.flatnonzero((people.age >= 25) & (people.age < 70))
    return Companies(
        uscc=credit_codes(rng, AREA_BASE + district),
        name=_company_names(rng, count),
        industry=by_weight(rng, [weight for _, weight in words.INDUSTRIES], count),
        district=district,
        capital=(rng.lognormal(13.8, 1.3, count) / 10_000).astype(np.int64).clip(3) * 10_000,
        legal_person=rng.choice(grown, count),
    )


def _company_names(rng: np.random.Generator, count: int) -> Strings:
    letters = np.array(words.COMPANY_WORDS)
    kinds = np.array(words.COMPANY_KINDS)[rng.integers(0, len(words.COMPANY_KINDS), count)]
    name = np.full(count, "长春")
    for _ in range(3):
        name = np.strings.add(name, letters[by_weight(rng, falling(letters.size, 8.0), count)])
    # The characters that only GB 18030 has are in the first name at any scale.
    name[0] = "长春䶮𬭎"
    return np.strings.add(np.strings.add(name, kinds), "有限公司")


def make_payments(seed: int, people: People, companies: Companies) -> Payments:
    """Make six months of contributions for everyone in insured employment, by month and person."""
    rng = stream(seed, "payments")
    employed = np.flatnonzero((people.calling < words.EMPLOYED) & (people.age >= 16))
    # One employer is far larger than the next.
    company = by_weight(rng, falling(companies.uscc.size, 2.0) ** 0.9, employed.size)
    level = rng.lognormal(0, 0.25, companies.uscc.size)
    level[0] = 2.2
    base = (
        620_000 * level[company] * EDUCATION_FACTOR[people.education[employed]] * rng.lognormal(0, 0.2, employed.size)
    )
    whole = (base.clip(BASE_LOW, BASE_HIGH) // 100).astype(np.int64) * 100
    months = len(MONTHS)
    # Some change their job or have gaps: one month in fifty is not paid.
    keep = np.flatnonzero(rng.random(employed.size * months) >= 0.02)
    rows = keep % employed.size
    return Payments(
        person=employed[rows],
        company=company[rows],
        month=keep // employed.size,
        base=whole[rows],
        paid=whole[rows] * PERSON_PERCENT // 100,
    )
