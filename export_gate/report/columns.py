"""Which columns of which releases a chart or report shows, for the lineage graph (L1, E6)."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from export_gate.chart.numbers import Numbers
from export_gate.report.placeholders import Placeholder, mark
from export_gate.statistic.question import SUFFIXES
from jobs.spec import ChartProduct, Product, ReportProduct


def shown_columns(
    product: ChartProduct | ReportProduct,
    described: Iterable[Product],
    numbers: Mapping[str, Numbers],
    nodes: Mapping[str, str],
) -> dict[str, list[str]]:
    """Map each column that is shown to ``node#column`` of the release that it is taken from.

    Args:
        product: what is drawn; its description was carried out already, so it can be read.
        described: the products of its job.
        numbers: the numbers of each released table by product; the errors of a statistic belong to their number's column.
        nodes: node of the lineage of each released product.
    """
    if isinstance(product, ChartProduct):
        return {name: [f"{nodes[product.of]}#{name}"] for name in sorted(_of_chart(product.spec))}
    charts = {one.name: one.spec for one in described if isinstance(one, ChartProduct)}
    shown: dict[str, list[str]] = {}
    for one in mark(product.text)[1]:
        asked = _of_chart(charts[one.product]) if one.asked == "chart" else _asked(one, numbers[one.product])
        shown |= {f"{one.product}.{name}": [f"{nodes[one.product]}#{name}"] for name in sorted(asked)}
    return shown


def fields_of(spec: str) -> Iterator[str]:
    """Give the columns that a chart's description names."""

    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("field"), str):
                yield value["field"]
            value = list(value.values())
        for one in value if isinstance(value, list) else ():
            yield from walk(one)

    return walk(json.loads(spec))


def _of_chart(spec: str) -> set[str]:
    names = set(fields_of(spec))
    return {_base(name, names) for name in names}


def _asked(one: Placeholder, numbers: Numbers) -> set[str]:
    names = {one.column, *one.keys} if one.asked == "cell" else set(numbers.columns)
    return {_base(name, numbers.columns) for name in names}


def _base(name: str, names: Container[str]) -> str:
    """Give the number that an error or an end of an interval belongs to."""
    bases = (name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix))
    return next((base for base in bases if base in names), name)
