"""Citizen numbers (GB 11643-1999) and unified social credit codes (GB 32100-2015), valid in form and nobody's.

The area part is one that GB/T 2260 has never given to a place (2201 90 … 2201 97, 2290 01), and the mobile numbers begin with 154,
which no operator has been given: whatever is drawn here cannot be a living person's or a real company's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


Ints = NDArray[np.int64]
Strings = NDArray[np.str_]

AREA_BASE = 220190
AREA_ELSEWHERE = 229001
MOBILE_BASE = 15_400_000_000

ID_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])
ID_CHECKS = np.array(list("10X98765432"))

USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
USCC_WEIGHTS = np.array([pow(3, place, 31) for place in range(17)])
ORGANISATION_WEIGHTS = np.array([3, 7, 9, 10, 5, 8, 4, 2])
USCC_CHARACTERS = np.array(list(USCC_ALPHABET))
# GB 11714 counts letters from A = 10 without leaving any out.
ORGANISATION_VALUES = np.array(["0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(letter) for letter in USCC_ALPHABET])


def distinct(rng: np.random.Generator, drawn: Ints, low: int, high: int, key: Ints) -> Ints:
    """Redraw values in [low, high) until no two rows have the same ``key`` and value.

    Args:
        rng: where redrawn values come from.
        drawn: first draw, shape (n,).
        low: least value.
        high: first value that is too high; ``key * high + value`` must fit 64 bits.
        key: group of each row, shape (n,).
    """
    values = drawn.copy()
    while True:
        _, first = np.unique(key * high + values, return_index=True)
        if first.size == values.size:
            return values
        again = np.ones(values.size, dtype=bool)
        again[first] = False
        values[again] = rng.integers(low, high, int(again.sum()))


def citizen_numbers(
    rng: np.random.Generator, areas: Ints, births: NDArray[np.datetime64], male: NDArray[np.bool_]
) -> Strings:
    """Make distinct citizen numbers.

    Args:
        rng: source of the sequence part.
        areas: six-digit area part, shape (n,).
        births: birth dates, shape (n,), unit days.
        male: whether the sequence part is odd, shape (n,).

    Returns:
        18 characters each, shape (n,).
    """
    months = births.astype("datetime64[M]")
    years = months.astype("datetime64[Y]")
    day = (births - months.astype("datetime64[D]")).astype(np.int64) + 1
    month = (months - years.astype("datetime64[M]")).astype(np.int64) + 1
    date = (years.astype(np.int64) + 1970) * 10_000 + month * 100 + day
    key = (areas * 100_000_000 + date) * 2 + male
    half = distinct(rng, rng.integers(1, 500, areas.size), 1, 500, key)
    body = (areas * 100_000_000 + date) * 1000 + half * 2 - male
    digits = body[:, None] // 10 ** np.arange(16, -1, -1) % 10
    return np.strings.add(body.astype(np.str_), ID_CHECKS[digits @ ID_WEIGHTS % 11])


def mobile_numbers(rng: np.random.Generator, count: int) -> Ints:
    """Make distinct mobile numbers of eleven digits."""
    space = 100_000_000
    drawn = rng.integers(0, space, count)
    return MOBILE_BASE + distinct(rng, drawn, 0, space, np.zeros(count, dtype=np.int64))


def credit_codes(rng: np.random.Generator, areas: Ints) -> Strings:
    """Make distinct unified social credit codes of companies, one for each six-digit area part.

    Returns:
        18 characters each, shape (n,).
    """
    count = areas.size
    space = 31**6
    serial = distinct(rng, rng.integers(0, space, count), 0, space, np.zeros(count, dtype=np.int64))
    values = np.empty((count, 18), dtype=np.int64)
    values[:, :2] = (9, 1)
    values[:, 2:8] = areas[:, None] // 10 ** np.arange(5, -1, -1) % 10
    values[:, 8:10] = (USCC_ALPHABET.index("M"), USCC_ALPHABET.index("A"))
    values[:, 10:16] = serial[:, None] // 31 ** np.arange(5, -1, -1) % 31
    check = (11 - ORGANISATION_VALUES[values[:, 8:16]] @ ORGANISATION_WEIGHTS % 11) % 11
    values[:, 16] = np.where(check == 10, USCC_ALPHABET.index("X"), check)
    values[:, 17] = (31 - values[:, :17] @ USCC_WEIGHTS % 31) % 31
    return np.ascontiguousarray(USCC_CHARACTERS[values]).view("U18").ravel()
