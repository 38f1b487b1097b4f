"""What a question costs, computed before any data is read: ρ, δ, noise scales and the threshold, as exact rationals (law 3).

The claims and why they hold are written down in ``docs/proofs/l2-ball.md``; the engine checks them again with OpenDP's own maps
before it draws any noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from export_gate.statistic.conversion import RHO_STEP, rho_within, root_above, tail_quantile
from export_gate.statistic.measures import ROWS, SUBJECTS, Kind, Measure
from export_gate.statistic.question import Question
from lineage.errors import DefinitionError


FINE = 1000
"""Fixed-point steps in one unit: what a scaled-down subject loses to rounding stays below a thousandth."""

WIDEST_FINE_RADIUS = 10**8
WIDEST_RADIUS = 2**31
"""With at most 2^31 subjects (above the number of citizens and companies) no total reaches 2^63."""

SCALE_STEPS = 1024
FEWEST_GROUP_CAP = 50
MAP_SLACK = Fraction(1, 10**9)
"""OpenDP's maps round upwards in doubles; a scale that is larger by this share keeps them below the exact claim."""


@dataclass(frozen=True)
class Noise:
    """How one measure is bounded and noised; lengths are in fixed-point steps of 1/``fixed_point`` unit.

    Attributes:
        measure: what is measured.
        fixed_point: steps in one unit.
        radius: most that one subject can move the vector by, in L2.
        largest: most that one subject can move one component by.
        scale: scale of the discrete Gaussian; exactly a double.
        rho: claimed privacy loss, never below radius² / (2 scale²).
        threshold: smallest noisy component whose group is named; None when this measure decides about no group.
    """

    measure: Measure
    fixed_point: int
    radius: int
    largest: int
    scale: Fraction
    rho: Fraction
    threshold: int | None = None

    def __post_init__(self) -> None:
        """Refuse a scale of zero, which OpenDP would accept, and one that a double would round."""
        if min(self.fixed_point, self.radius, self.largest) < 1 or self.scale <= 0 or self.rho <= 0:
            raise ValueError("fixed point, radius, largest component, scale and rho are above zero")
        if Fraction(float(self.scale)) != self.scale:
            raise ValueError("a scale is exactly a double")
        if self.threshold is not None and self.threshold <= self.largest:
            raise ValueError("a threshold is above the largest component")


@dataclass(frozen=True)
class Price:
    """What the ledger is charged and what the engine may do for it.

    Attributes:
        rho: zero-concentrated privacy loss of the whole answer; to be charged together with ``delta``.
        delta: chance that a threshold names a group of a single subject; 0 when the groups are public.
        epsilon: what was asked for: (ρ, δ) implies (epsilon, delta + conversion_delta).
        conversion_delta: the share of the question's δ that goes into reading ρ as ε.
        group_cap: most groups of one subject that are looked at at all; None when the groups are public.
        noises: one entry a measure; the one with the threshold, if any, comes first.
    """

    rho: Fraction
    delta: Fraction
    epsilon: Fraction
    conversion_delta: Fraction
    group_cap: int | None
    noises: tuple[Noise, ...]

    def __post_init__(self) -> None:
        """Refuse a price with nothing to measure, and secret groups without a threshold."""
        if not self.noises or self.rho <= 0 or self.delta < 0 or self.conversion_delta <= 0:
            raise ValueError("a price has measures, a rho and a delta")
        if (self.group_cap is None) != (self.noises[0].threshold is None):
            raise ValueError("secret groups have a cap and a threshold, public ones neither")
        if any(noise.threshold is not None for noise in self.noises[1:]):
            raise ValueError("the first measure alone decides which groups are named")

    def of(self, measure: Measure) -> Noise:
        """Find a measure's entry."""
        return next(noise for noise in self.noises if noise.measure == measure)


def price(question: Question) -> Price:
    """Price a question from its text alone (law 3).

    Raises:
        DefinitionError: ``statistic.bounds-too-wide`` when a sum could overflow, ``statistic.epsilon-too-small``.
    """
    secret = question.keys is None
    half = question.delta / 2
    conversion = half if secret else question.delta
    try:
        total = rho_within(question.epsilon, conversion)
    except ValueError as reason:
        raise DefinitionError("statistic.epsilon-too-small", epsilon=str(question.epsilon)) from reason
    cap = max(FEWEST_GROUP_CAP, 4 * question.groups_per_subject) if secret else None
    shares = _shares(question, total)
    judge = _judge(question) if secret else None
    noises = [_noise(question, measure, share) for measure, share in shares.items()]
    if judge is not None and cap is not None:
        noises = [_with_threshold(n, cap, half) if n.measure == judge else n for n in noises]
        noises.sort(key=lambda noise: noise.threshold is None)
    return Price(
        rho=sum((noise.rho for noise in noises), Fraction(0)),
        delta=half if secret else Fraction(0),
        epsilon=question.epsilon,
        conversion_delta=conversion,
        group_cap=cap,
        noises=tuple(noises),
    )


def _judge(question: Question) -> Measure:
    """Choose the measure that decides whether a secret group is named: subjects, or rows when a subject has one row in it."""
    asked = {measure for measures in question.measures for measure in measures}
    return ROWS if question.rows_per_group == 1 and ROWS in asked and SUBJECTS not in asked else SUBJECTS


def _shares(question: Question, total: Fraction) -> dict[Measure, Fraction]:
    """Split ρ: every measure that is shown weighs two, one that only serves the threshold weighs one."""
    weights = dict.fromkeys((measure for measures in question.measures for measure in measures), 2)
    if question.keys is None:
        weights.setdefault(_judge(question), 1)
    whole = sum(weights.values())
    shares = {measure: (total * weight / whole // RHO_STEP) * RHO_STEP for measure, weight in weights.items()}
    if min(shares.values()) <= 0:
        raise DefinitionError("statistic.epsilon-too-small", epsilon=str(question.epsilon))
    return shares


def _noise(question: Question, measure: Measure, rho: Fraction) -> Noise:
    groups = (
        question.groups_per_subject if question.keys is None else min(question.groups_per_subject, len(question.keys))
    )
    cell = 1 if measure.kind is Kind.SUBJECTS else question.rows_per_group * measure.weight
    fixed_point = FINE if FINE**2 * cell**2 * groups <= WIDEST_FINE_RADIUS**2 else 1
    radius = int(root_above(Fraction((fixed_point * cell) ** 2 * groups)))
    if radius > WIDEST_RADIUS:
        raise DefinitionError("statistic.bounds-too-wide", aggregate=measure.argument or measure.kind.value)
    scale = root_above(Fraction(radius**2) / (2 * rho * (1 - MAP_SLACK)), SCALE_STEPS)
    largest = fixed_point if measure.kind is Kind.SUBJECTS else radius
    return Noise(measure, fixed_point, radius, largest, scale, rho)


def _with_threshold(noise: Noise, cap: int, delta: Fraction) -> Noise:
    """Add the threshold: ``cap`` groups that only one subject has are all left out but for a chance of ``delta``.

    Two steps are added to the tail: one because the noise is discrete, one because OpenDP 0.16.0 names a group whose noisy
    value equals the threshold while its map counts only those above (opendp/opendp#2922).
    """
    tail = tail_quantile(delta / cap)
    return Noise(
        noise.measure,
        noise.fixed_point,
        noise.radius,
        noise.largest,
        noise.scale,
        noise.rho,
        threshold=noise.largest + math.ceil(tail * noise.scale) + 2,
    )
