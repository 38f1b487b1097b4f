"""The noise: OpenDP's discrete Gaussian, used only after OpenDP's own privacy map agrees with the price (law 3, law 9).

Importing OpenDP takes seconds and a panic in it ends the process: this module runs inside a jailed child.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from export_gate.statistic.price import Noise, Price
from lineage.errors import GateRefusedError


@functools.cache
def _opendp() -> Any:
    import opendp.prelude as dp

    dp.enable_features("contrib")
    return dp


def check(price: Price) -> None:
    """Compare every claim of a price with OpenDP's maps and the whole with its conversion to (ε, δ).

    Raises:
        GateRefusedError: ``statistic.price-too-low``, the price claims less than OpenDP computes.
    """
    losses = [_loss(noise, price.group_cap) for noise in price.noises]
    rho = sum((loss[0] for loss in losses), Fraction(0))
    delta = sum((loss[1] for loss in losses), Fraction(0))
    within = all(loss[0] <= noise.rho for loss, noise in zip(losses, price.noises, strict=True))
    if not within or rho > price.rho or delta > price.delta or _epsilon(price) > price.epsilon:
        raise GateRefusedError("statistic.price-too-low")


def named(noise: Noise, totals: Sequence[int]) -> dict[int, int]:
    """Add noise to the totals of the groups and keep those at or above the threshold.

    The groups are numbered here; which number a group gets changes nothing in the distribution of its result.

    Returns:
        number of the group → noisy total, of the groups that may be named.
    """
    result: dict[int, int] = _thresholded(noise, noise.threshold)(dict(enumerate(totals)))
    return {group: value for group, value in result.items() if noise.threshold is not None and value >= noise.threshold}


def noisy(noise: Noise, totals: Sequence[int]) -> list[int]:
    """Add noise to every total."""
    result: list[int] = _gaussian(noise)(list(totals)) if totals else []
    return result


def serialised(noise: Noise) -> dict[str, Any]:
    """Give the measurement in OpenDP's JSON form, from which OpenDP rebuilds it."""
    from opendp.mod import serialize

    measurement = _gaussian(noise) if noise.threshold is None else _thresholded(noise, noise.threshold)
    form = dict(measurement.__opendp_dict__)
    form["__kwargs__"] = {name: _plain(value) for name, value in form["__kwargs__"].items()}
    form["__version__"] = _opendp_version()
    result: dict[str, Any] = json.loads(serialize(form))
    return result


def _opendp_version() -> str:
    import importlib.metadata

    return importlib.metadata.version("opendp")


def _plain(value: Any) -> Any:
    """Write a type descriptor by its name: OpenDP 0.16.0 cannot serialise the composed ones, but reads their names."""
    from opendp.typing import RuntimeType

    return str(value) if isinstance(value, RuntimeType) else value


def _gaussian(noise: Noise) -> Any:
    dp = _opendp()
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
    return dp.m.make_gaussian(*space, scale=float(noise.scale))


def _thresholded(noise: Noise, threshold: int | None) -> Any:
    dp = _opendp()
    number = dp.atom_domain(T="i64")
    space = dp.map_domain(number, number), dp.l02inf_distance(dp.absolute_distance(T="f64"))
    return dp.m.make_gaussian_threshold(*space, scale=float(noise.scale), threshold=threshold)


def _loss(noise: Noise, cap: int | None) -> tuple[Fraction, Fraction]:
    """Ask OpenDP for (ρ, δ) at the declared distance.

    OpenDP 0.16.0 releases a value equal to the threshold while its map counts only those above it: so the map of a measurement
    whose threshold is one lower is asked (opendp/opendp#2922).
    """
    if noise.threshold is None:
        return _finite(_gaussian(noise).map(float(noise.radius))), Fraction(0)
    if cap is None:
        raise GateRefusedError("statistic.price-too-low")
    distance = (cap, float(noise.radius), float(noise.largest))
    rho, delta = _thresholded(noise, noise.threshold - 1).map(distance)
    return _finite(rho), _finite(delta)


def _epsilon(price: Price) -> Fraction:
    """Convert the whole ρ to ε by OpenDP, through a Gaussian that spends exactly it."""
    dp = _opendp()
    unit = dp.m.make_gaussian(
        dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64"), scale=float(1 / (2 * price.rho)) ** 0.5
    )
    fixed = dp.c.make_fix_delta(dp.c.make_zCDP_to_approxDP(unit), delta=float(price.conversion_delta))
    return _finite(fixed.map(1.0)[0])


def _finite(loss: float) -> Fraction:
    """Take a loss exactly; an infinite or undefined one is more than any price."""
    if not math.isfinite(loss):
        raise GateRefusedError("statistic.price-too-low")
    return Fraction(loss)
