"""From (ε, δ) to ρ, and from δ to a tail of the Gaussian: exact rationals, always rounded against ourselves.

Decimal arithmetic with 60 digits; Python's ``ln`` and ``exp`` of decimals are correctly rounded, so that the last steps, which
round to twelve digits, absorb every error. No floating point number decides about privacy here.
"""

from __future__ import annotations

import math
from decimal import ROUND_FLOOR, Context, Decimal, localcontext
from fractions import Fraction


RHO_STEP = Fraction(1, 10**12)
TAIL_STEPS = 1024
_DIGITS = 60
_SLACK = Fraction(1, 10**9)


def rho_within(epsilon: Fraction, delta: Fraction) -> Fraction:
    """Give a ρ whose zero-concentrated differential privacy implies (ε, δ); a multiple of 1e-12.

    Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (arXiv:2004.00010v3, page 13): for every α > 1,
    δ = exp((α−1)(αρ−ε)) / (α−1) · (1 − 1/α)^α. Any α proves the claim, so a rough search for the best one is enough.

    Raises:
        ValueError: (ε, δ) leaves no ρ.
    """
    low, high = math.log(1e-6), math.log(1e9)
    for _ in range(200):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if _rho_float(math.exp(left), epsilon, delta) < _rho_float(math.exp(right), epsilon, delta):
            low = left
        else:
            high = right
    rho = _rho_exact(Fraction(math.exp(low)), epsilon, delta) * (1 - _SLACK)
    rounded = (rho // RHO_STEP) * RHO_STEP
    if rounded <= 0:
        raise ValueError("no rho is small enough for this epsilon and delta")
    return rounded


def tail_quantile(chance: Fraction) -> Fraction:
    """Give z with P[N(0, 1) ≥ z] ≤ chance, by Mills' bound exp(−z²/2) / (z √(2π)); a multiple of 1/1024, at least 1."""
    with localcontext(Context(prec=_DIGITS)):
        limit = _decimal(chance).ln() + _PI_2.ln() / 2
        low, high = TAIL_STEPS, 64 * TAIL_STEPS
        while low < high:
            middle = (low + high) // 2
            z = Decimal(middle) / TAIL_STEPS
            if -z * z / 2 - z.ln() <= limit - Decimal("1e-30"):
                high = middle
            else:
                low = middle + 1
        return Fraction(low, TAIL_STEPS)


def root_above(value: Fraction, step: int = 1) -> Fraction:
    """Give the smallest multiple of 1/step that is at least the square root of a value ≥ 0; exact."""
    scaled = math.ceil(value * step * step)
    root = math.isqrt(scaled)
    return Fraction(root if root * root == scaled else root + 1, step)


_PI_2 = Decimal("6.28318530717958647692528676655900576839433879875021164194989")


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _rho_float(excess: float, epsilon: Fraction, delta: Fraction) -> float:
    """Give ρ(α) at α = 1 + excess in doubles; only to find a good α."""
    alpha = 1 + excess
    gain = math.log(delta) + math.log(excess) + alpha * math.log1p(1 / excess)
    return (float(epsilon) + gain / excess) / alpha


def _rho_exact(excess: Fraction, epsilon: Fraction, delta: Fraction) -> Fraction:
    with localcontext(Context(prec=_DIGITS, rounding=ROUND_FLOOR)):
        less, alpha = _decimal(excess), _decimal(1 + excess)
        gain = _decimal(delta).ln() + less.ln() + alpha * (alpha / less).ln()
        return Fraction((_decimal(epsilon) + gain / less) / alpha)
