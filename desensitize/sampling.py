"""Which subjects a view shows: a keyed sample of subjects, never of rows (P2).

A subject is in iff the keyed hash of its token lies below the rate, so every table of a scenario shows the same subjects, a refresh
shows them again, and no seed lies about that could be leaked or chosen (law 9). Samples at two rates are nested.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from lineage.errors import DefinitionError


@dataclass(frozen=True)
class SampleRate:
    """The share of subjects a view shows.

    ``floor`` and ``cap`` are numbers of subjects: a table too small for the rate is sampled more densely up to the floor, never
    beyond a half, so that a view stays a sample; a very large one is held at the cap.

    Raises:
        DefinitionError: the rate is outside (0, 10 %], or floor and cap contradict each other.
    """

    rate: Fraction
    floor: int = 1_000
    cap: int = 100_000

    HIGHEST: ClassVar[Fraction] = Fraction(1, 10)
    DENSEST: ClassVar[Fraction] = Fraction(1, 2)

    def __post_init__(self) -> None:
        if not 0 < self.rate <= self.HIGHEST:
            raise DefinitionError("desensitize.sample-rate", highest=str(self.HIGHEST))
        if not 1 <= self.floor <= self.cap:
            raise DefinitionError("desensitize.sample-bounds", floor=self.floor, cap=self.cap)

    @classmethod
    def development(cls) -> SampleRate:
        """One per cent, at most 100 000 subjects."""
        return cls(Fraction(1, 100))

    @classmethod
    def training(cls) -> SampleRate:
        """Ten per cent, for training models; the authority approves it with the request."""
        return cls(Fraction(1, 10), cap=1_000_000)

    def effective(self, subjects: int) -> Fraction:
        """The rate for a table of so many subjects, after floor and cap."""
        if subjects < 1:
            return self.rate
        raised = max(self.rate, min(self.DENSEST, Fraction(self.floor, subjects)))
        return min(raised, Fraction(self.cap, subjects))


def threshold(rate: Fraction) -> int:
    """The bound below which a keyed hash of 64 bits keeps its subject; exact, so no float decides who is seen."""
    return int(rate * (1 << 64))
