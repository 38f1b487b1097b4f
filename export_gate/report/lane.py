"""The lane of charts and reports: from a frozen description and released products to files, inside the jail (law 2)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from export_gate.artefact import File
from export_gate.chart.grammar import read_spec
from export_gate.chart.numbers import Numbers
from export_gate.chart.picture import Picture, draw
from export_gate.chart.wording import judge_words
from export_gate.finding import Finding
from export_gate.findings import findings_to_json
from export_gate.report.blocks import read_blocks, texts_of, title_of
from export_gate.report.filling import Material, fill
from export_gate.report.html import to_html
from export_gate.report.pdf import to_pdf
from export_gate.report.placeholders import products_of
from export_gate.statistic.answer import number_columns
from jobs.query import parse_query
from jobs.spec import ChartProduct, Job, Product, ReportProduct, StatisticProduct, TableProduct
from lineage.errors import DefinitionError


Drawn = ChartProduct | ReportProduct
Materials = Mapping[str, Material]


def drawn_lane(product: Drawn, materials: Materials) -> dict[str, Any]:
    """Draw or fill; gives files (base64) and what reviewers must know of the typed words."""
    files, findings = _chart(product, materials) if isinstance(product, ChartProduct) else _report(product, materials)
    return {
        "files": [{"name": one.name, "data": base64.b64encode(one.data).decode()} for one in files],
        "findings": findings_to_json(findings),
    }


def sources_of(product: Drawn) -> tuple[str, ...]:
    """Give the names of the products that one is drawn or filled from."""
    return (product.of,) if isinstance(product, ChartProduct) else products_of(product.text)


def materials_from_json(value: Mapping[str, Mapping[str, Any]]) -> dict[str, Material]:
    """Read what :func:`materials_to_json` wrote."""
    return {
        name: Material(Numbers.from_json(one["numbers"]))
        if "numbers" in one
        else Material(picture=base64.b64decode(one["picture"], validate=True))
        for name, one in value.items()
    }


def materials_to_json(materials: Materials) -> dict[str, Any]:
    """Write materials as plain values, to cross the wall of the jail."""
    return {
        name: {"numbers": one.numbers.json}
        if one.numbers is not None
        else {"picture": base64.b64encode(one.picture or b"").decode()}
        for name, one in materials.items()
    }


def materials_of_view(
    product: Drawn, spec: Job, columns: Mapping[str, Any], lane: Callable[[Product], Mapping[str, Any]]
) -> dict[str, Material]:
    """Make from a view what a preview is drawn from; ``lane`` previews one described product.

    A view is counted, not measured: the interval of a statistic is shown as having no width.
    """
    described = {one.name: one for one in spec.products}
    materials: dict[str, Material] = {}
    for name in sources_of(product):
        match described.get(name):
            case StatisticProduct() as statistic:
                numbers = parse_query(statistic.sql, columns, spec.steps)
                materials[name] = Material(_widened(lane(statistic)["table"], len(numbers.keys)))
            case TableProduct() as table:
                materials[name] = Material(Numbers.from_json(lane(table)["table"]))
            case ChartProduct() as chart if isinstance(product, ReportProduct):
                below = materials_of_view(chart, spec, columns, lane)
                materials[name] = Material(picture=_picture(chart, below)[0].png)
            case _:
                raise DefinitionError("chart.not-drawable", product=name)
    return materials


def _widened(table: Mapping[str, Any], keys: int) -> Numbers:
    columns = [*table["columns"][:keys], *(each for name in table["columns"][keys:] for each in number_columns(name))]
    rows = [
        [*row[:keys], *(each for value in row[keys:] for each in (value, "0", value, value))] for row in table["rows"]
    ]
    return Numbers.from_json({"columns": columns, "rows": rows})


def _picture(product: ChartProduct, materials: Materials) -> tuple[Picture, tuple[str, ...]]:
    numbers = materials[product.of].numbers
    if numbers is None:
        raise DefinitionError("chart.not-drawable", product=product.of)
    described = read_spec(product.spec, numbers.columns)
    return draw(described, numbers), described.texts


def _chart(product: ChartProduct, materials: Materials) -> tuple[tuple[File, ...], tuple[Finding, ...]]:
    picture, texts = _picture(product, materials)
    return (File("chart.png", picture.png), File("chart.svg", picture.svg.encode())), judge_words(texts)


def _report(product: ReportProduct, materials: Materials) -> tuple[tuple[File, ...], tuple[Finding, ...]]:
    blocks, placeholders = read_blocks(product.text)
    filled, title = fill(blocks, placeholders, materials), title_of(blocks, product.name)
    pictures = {name: one.picture for name, one in materials.items() if one.picture is not None}
    files = (
        File("report.html", to_html(filled, title, pictures).encode()),
        File("report.pdf", to_pdf(filled, title, pictures)),
    )
    return files, judge_words(texts_of(blocks))
