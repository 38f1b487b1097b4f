"""Measure a question: bound, check the price once more, draw the noise, write the answer (E3, E5, law 3, law 9).

Runs inside a jailed child process: it reads rows. What it hands out is a function of noisy numbers and of the question alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from export_gate.statistic import noise as opendp
from export_gate.statistic.answer import NOT_KNOWN, Answer, Number, Value, mean, number_columns
from export_gate.statistic.bounding import Bounded, bounded
from export_gate.statistic.card import release_card
from export_gate.statistic.measures import Kind, Measure
from export_gate.statistic.price import Noise, Price
from export_gate.statistic.price import price as price_of
from export_gate.statistic.question import Question
from lineage.errors import GateRefusedError


if TYPE_CHECKING:
    import duckdb


SALT_BYTES = 32


def measure(connection: duckdb.DuckDBPyConnection, question: Question, price: Price) -> Answer:
    """Answer a question with noise.

    Args:
        connection: DuckDB with the question's tables under their names; nothing is written to them.
        question: what is asked.
        price: what the ledger was charged for it.

    Raises:
        GateRefusedError: ``statistic.price-of-another``, the price is not this question's; ``statistic.price-too-low``, it claims
            less loss than OpenDP computes, and nothing was drawn; ``statistic.not-measured``, the rows could not be read.
        DefinitionError: ``statistic.does-not-bind``, the rows do not have the columns or types the question needs.
    """
    if price != price_of(question):
        raise GateRefusedError("statistic.price-of-another")
    opendp.check(price)
    vectors = bounded(connection, question, price, os.urandom(SALT_BYTES))
    groups, drawn = draw(price, vectors)
    rows = [
        (*vectors.keys[group], *_numbers(question, price, {m: values[at] for m, values in drawn.items()}))
        for at, group in enumerate(groups)
    ]
    columns = [key.name for key in question.query.keys]
    columns += [column for aggregate in question.query.aggregates for column in number_columns(aggregate.name)]
    card = release_card(question, price, [opendp.serialised(each) for each in price.noises])
    return Answer(tuple(columns), tuple(rows), card)


def draw(price: Price, vectors: Bounded) -> tuple[list[int], Mapping[Measure, Sequence[int]]]:
    """Add noise to the vectors.

    With secret groups the first measure decides which groups are named; the others are measured on those alone, which is a
    choice made from a noisy result and costs nothing more.

    Returns:
        numbers of the groups that may be named, ascending, and for each measure their noisy totals.
    """
    judge = price.noises[0]
    drawn: dict[Measure, Sequence[int]] = {}
    groups = list(range(len(vectors.keys)))
    rest = price.noises
    if judge.threshold is not None:
        kept = opendp.named(judge, vectors.totals[judge.measure])
        groups = sorted(kept)
        drawn[judge.measure] = [kept[group] for group in groups]
        rest = price.noises[1:]
    for each in rest:
        totals = vectors.totals[each.measure]
        drawn[each.measure] = opendp.noisy(each, [totals[group] for group in groups])
    return groups, drawn


def _numbers(question: Question, price: Price, noisy: Mapping[Measure, int]) -> list[Value]:
    """Turn one group's noisy totals into the numbers asked for."""
    shown: list[Value] = []
    for measures in question.measures:
        parts = [_number(price.of(each), noisy[each]) for each in measures]
        first = measures[0]
        if len(parts) == 1:
            shown += parts[0].shown(whole=first.kind is not Kind.SUM or first.unit >= 0, finest=first.unit)
            continue
        low, high = (Decimal(end).scaleb(first.unit) for end in (first.low, first.high))
        average = mean(parts[0], parts[1], low, high)
        shown += NOT_KNOWN if average is None else average.shown(whole=False, finest=-9 + min(first.unit, 0))
    return shown


def _number(noise: Noise, total: int) -> Number:
    """Bring a noisy total back from fixed point to the aggregate's unit."""
    unit = noise.measure.unit if noise.measure.kind is Kind.SUM else 0
    return Number(_decimal(Fraction(total, noise.fixed_point), unit), _decimal(noise.scale / noise.fixed_point, unit))


def _decimal(value: Fraction, unit: int) -> Decimal:
    return (Decimal(value.numerator) / Decimal(value.denominator)).scaleb(unit)
