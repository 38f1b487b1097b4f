"""Reports: placeholders read strictly, values put in whole, everything escaped (law 2)."""

from __future__ import annotations

import pytest

from export_gate.chart.numbers import Numbers
from export_gate.report.blocks import read_blocks, texts_of, title_of
from export_gate.report.filling import Material, fill
from export_gate.report.html import to_html
from export_gate.report.pdf import to_pdf
from export_gate.report.placeholders import mark, products_of
from lineage.errors import DefinitionError
from tests.factories import refused


MATERIALS = {
    "v": Material(Numbers(("district", "visits"), (("<b>北</b>", "7"), ("south", None)))),
    "m": Material(picture=b"\x89PNG"),
}


def page(text: str) -> str:
    blocks, placeholders = read_blocks(text)
    return to_html(fill(blocks, placeholders, MATERIALS), title_of(blocks, "summary"), {"m": b"\x89PNG"})


def test_values_are_put_in_and_escaped() -> None:
    cells = '北：**{{ v.cell("visits", district="<b>北</b>") }}**，南：{{v.cell("visits",district="south")}}'
    written = page(f"# 简报\n\n{cells}\n\n{{{{ v.table() }}}}\n\n{{{{ m.chart() }}}}\n")
    assert "<p>北：<strong>7</strong>，南：—</p>" in written
    assert "<td>&lt;b&gt;北&lt;/b&gt;</td><td>7</td>" in written
    assert '<img alt="m" src="data:image/png;base64,iVBORw==">' in written
    assert "<title>简报</title>" in written


@pytest.mark.parametrize(
    "text",
    [
        "{{ v }}",
        "{{ v.rows() }}",
        "{{ v.table(1) }}",
        "{{ v.cell(visits) }}",
        '{{ v.cell("visits", district=north) }}',
        '{{ v.cell("visits", a="1", a="2") }}',
        '{{ __import__("os").cell("x") }}',
        "{{ v.table()",
        "v.table() }}",
        "{{ {{ v.table() }} }}",
    ],
)
def test_what_is_no_placeholder_is_refused(text: str) -> None:
    with refused(DefinitionError, "report.bad-placeholder"):
        mark(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("表：{{ v.table() }}", "report.not-alone"),
        ("{{ v.chart() }}", "report.other-kind"),
        ("{{ m.table() }}", "report.other-kind"),
        ('就诊 {{ m.cell("visits") }}', "report.other-kind"),
        ("4. 就诊 {{ v.table() }}", "report.not-allowed"),
    ],
)
def test_what_cannot_be_filled_is_refused(text: str, code: str) -> None:
    with refused(DefinitionError, code):
        page(text)


def test_sources_are_named_once_and_there_is_one() -> None:
    assert products_of('{{ a.table() }} {{ b.chart() }} {{ a.cell("x") }}') == ("a", "b")
    with refused(DefinitionError, "report.no-source"):
        products_of("words alone")


def test_what_people_typed_is_told_without_placeholders_and_section_numbers() -> None:
    blocks, _ = read_blocks(
        '# 1.2 概况\n\n- 北城区 {{ v.cell("visits") }} 人次\n\n| 甲 | 乙 |\n|---|---|\n| 丙 | 丁 |\n'
    )
    assert texts_of(blocks) == ["概况", "北城区   人次", "甲", "乙", "丙", "丁"]


def test_a_page_is_set_with_what_typst_would_read_as_code() -> None:
    blocks, placeholders = read_blocks(
        '# $x$ #read("/etc/passwd")\n\n- *a* **b**\n\n1. 一\n\n> 引\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n\n{{ v.table() }}\n'
    )
    filled = fill(blocks, placeholders, MATERIALS)
    assert to_pdf(filled, "t", {}) == to_pdf(filled, "t", {})
