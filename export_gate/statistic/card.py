"""The release card: what was done to protect the subjects, in the shape of the deployments registry of OpenDP (E3).

Source of the shape: the YAML schema of github.com/opendp/deployments-registry-data; NIST SP 800-226 asks for the same facts.
Prose stands in both languages; measures are strings, never floats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Any

from export_gate.statistic.measures import Measure
from export_gate.statistic.price import Noise, Price
from export_gate.statistic.question import Question
from lineage.errors import Param
from sandbox.messages import Language, text


def release_card(question: Question, price: Price, measurements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write the card of an answer.

    Args:
        question: what was asked.
        price: what it cost.
        measurements: OpenDP's serialised measurements, in the order of the price.
    """
    secret = question.keys is None
    facts: dict[str, Param] = {
        "groups": question.groups_per_subject,
        "rows": question.rows_per_group,
        "cap": price.group_cap or 0,
        "subject": question.subject,
    }
    return {
        "dp_flavor": {
            "name": "Approximate zero-concentrated DP" if secret else "Zero-concentrated DP",
            "input_metric": "add or remove all rows of one subject",
            "bound_on_input_distance": "1",
            "output_measure": "ZeroConcentratedDivergence",
            "unprotected_quantities": _prose("card-unprotected-none", {}),
        },
        "privacy_loss": {
            "privacy_unit": question.subject,
            "privacy_unit_description": _prose("card-unit", facts),
            "privacy_parameters": {
                "rho": _exact(price.rho),
                "rho_delta": _exact(price.delta),
                "epsilon": _exact(price.epsilon),
                "delta": _exact(price.delta + price.conversion_delta),
            },
        },
        "model": {"model_name": "Central", "release_type": "One release", "access_type": "Non-interactive"},
        "accounting": {
            "post_processing": _prose("card-post-processing", facts),
            "composition": _prose("card-composition", {"measures": len(price.noises)}),
        },
        "implementation": {
            "mechanisms": [
                _mechanism(question, noise, form) for noise, form in zip(price.noises, measurements, strict=True)
            ],
            "bounding": _prose("card-bounding", facts),
            "groups": _prose("card-secret-groups" if secret else "card-public-groups", facts),
            "justification": _prose("card-justification", facts),
        },
    }


def _mechanism(question: Question, noise: Noise, form: Mapping[str, Any]) -> dict[str, Any]:
    """Describe one measure; lengths in the aggregate's own unit."""
    name = "discrete Gaussian" if noise.threshold is None else "discrete Gaussian with threshold"
    shares = {
        "rho": _exact(noise.rho),
        "l2_sensitivity": _exact(Fraction(noise.radius, noise.fixed_point)),
        "scale": _exact(noise.scale / noise.fixed_point),
    }
    if noise.threshold is not None:
        shares["threshold"] = _exact(Fraction(noise.threshold, noise.fixed_point))
    measure = noise.measure
    return {
        "aggregates": _used_by(question, measure),
        "measure": measure.kind.value,
        "bounds": [measure.low, measure.high] if measure.low != measure.high else None,
        "unit": measure.unit,
        "mechanism": name,
        **shares,
        "measurement": form,
    }


def _used_by(question: Question, measure: Measure) -> list[str]:
    """Name the aggregates that a measure serves; none when it only decides which groups are named."""
    pairs = zip(question.query.aggregates, question.measures, strict=True)
    return [aggregate.name for aggregate, measures in pairs if measure in measures]


def _prose(code: str, params: Mapping[str, Param]) -> dict[str, str]:
    return {language.value: text(f"statistic.{code}", language, **params) for language in Language}


def _exact(value: Fraction) -> str:
    """Write a rational as a decimal where that is exact, else as a fraction."""
    denominator = value.denominator
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    if denominator != 1:
        return str(value)
    with localcontext(Context(prec=60)):
        return f"{(Decimal(value.numerator) / Decimal(value.denominator)).normalize():f}"
