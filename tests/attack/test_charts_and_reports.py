"""What people could try to carry out in a chart's description, a drawing or a report's text (B2, B11, B22, B23).

Each row is a planted leak, the same leak in a disguise, and an innocent twin of the same shape that must pass.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import struct
from dataclasses import dataclass
from typing import Any

import pytest

from export_gate.chart.grammar import read_spec
from export_gate.chart.numbers import Numbers
from export_gate.chart.picture import draw
from export_gate.chart.svg import rebuild
from export_gate.chart.wording import judge_words
from export_gate.finding import Verdict, worst
from export_gate.report.filling import Material
from export_gate.report.lane import drawn_lane
from jobs.spec import ReportProduct
from lineage.errors import DefinitionError


NUMBERS = Numbers(("district", "visits"), (("北城区", "1234"), ("南城区", "987"), ("东山区", None)))
CODE = base64.b64encode(hashlib.sha256(b"rows of a view").digest()).decode()
RESIDENT = "11010519491231002X"


@dataclass(frozen=True)
class Triplet:
    """A leak, its disguise, and an innocent twin."""

    name: str
    leak: Any
    disguise: Any
    innocent: Any


def spec(**changed: Any) -> dict[str, Any]:
    """A plain bar chart with something changed; ``x`` and ``y`` are merged into its channels."""
    x = {"field": "district", "type": "nominal", **changed.pop("x", {})}
    y = {"field": "visits", "type": "quantitative", **changed.pop("y", {})}
    encoding = {"x": x, "y": y, **changed.pop("encoding", {})}
    return {"mark": "bar", "encoding": encoding, **changed}


CHARTS = (
    Triplet(
        "data by address",
        spec(data={"url": "https://example.org/rows.csv"}),
        {"layer": [{**spec(), "data": {"url": "file:///in/visits"}}]},
        {"layer": [spec()], "$schema": "https://vega.github.io/schema/vega-lite/v6.json"},
    ),
    Triplet(
        "data in the description",
        spec(data={"values": [{"district": "x", "visits": 1}]}),
        spec(transform=[{"lookup": "district", "from": {"data": {"values": []}, "key": "district"}}]),
        spec(title="各区就诊人次"),
    ),
    Triplet(
        "expression",
        spec(transform=[{"calculate": "datum.c1 * 3", "as": "hidden"}]),
        spec(title={"text": {"expr": "'' + now()"}}),
        spec(title={"text": "各区就诊人次", "subtitle": "按所在区"}),
    ),
    Triplet(
        "parameter", spec(params=[{"name": "p", "value": 4}]), spec(width={"signal": "4"}), spec(width=300, height=200)
    ),
    Triplet(
        "tooltip",
        spec(encoding={"tooltip": {"field": "visits", "type": "quantitative"}}),
        spec(mark={"type": "bar", "tooltip": True}),
        spec(mark={"type": "bar", "filled": True}),
    ),
    Triplet(
        "numbers in a scale",
        spec(y={"scale": {"domain": [1181, 3421]}}),
        spec(y={"axis": {"values": [1181, 3421]}}),
        spec(y={"scale": {"zero": True}, "axis": {"grid": True}}),
    ),
    Triplet(
        "numbers in a size",
        spec(mark={"type": "point", "size": 3421}),
        spec(mark="point", encoding={"size": {"value": 3421}}),
        spec(mark="point", encoding={"size": {"field": "visits", "type": "quantitative"}}),
    ),
    Triplet(
        "numbers in the canvas",
        spec(width=3421),
        spec(width=300.3421),
        spec(width=320),
    ),
    Triplet(
        "constant marks",
        spec(encoding={"y2": {"datum": 3421}}),
        {"layer": [spec(), {"mark": "rule", "encoding": {"y": {"value": 34}}}]},
        {"layer": [spec(), {"mark": "rule", "encoding": {"y": {"field": "visits", "type": "quantitative"}}}]},
    ),
    Triplet(
        "picture or link",
        spec(mark="image", encoding={"url": {"field": "district", "type": "nominal"}}),
        spec(encoding={"href": {"field": "district", "type": "nominal"}}),
        spec(mark="rect", encoding={"color": {"field": "visits", "type": "quantitative"}}),
    ),
    Triplet("side data", spec(usermeta={"rows": CODE}), spec(description=CODE), spec(title="Visits by district")),
    Triplet(
        "text that nobody sees",
        spec(title={"text": "就诊", "color": "white"}),
        spec(mark="text", encoding={"text": {"field": "visits", "type": "quantitative"}, "color": {"value": "white"}}),
        spec(mark="text", encoding={"text": {"field": "visits", "type": "quantitative"}, "color": {"value": "black"}}),
    ),
    Triplet(
        "columns read as paths",
        spec(x={"field": "district.length"}),
        spec(x={"field": "c0"}),
        spec(x={"sort": "-y"}),
    ),
    Triplet(
        "identifier in the title",
        spec(title=RESIDENT),
        spec(title="１１０１０５-19491231-002Ｘ"),
        spec(title="2026年1月就诊"),
    ),
    Triplet(
        "code in the title",
        spec(title=CODE[:40]),
        spec(title=" ".join((CODE[:14], CODE[14:28], CODE[28:42]))),
        spec(title="Outpatient visits of internal medicine"),
    ),
    Triplet(
        "look-alike letters",
        spec(title="Visits by distri\u0441t"),
        spec(title="就诊\u200b人次"),
        spec(title="Visites à l'hôpital"),
    ),
    Triplet(
        "number in the title",
        spec(title="就诊 3421 人次"),
        spec(title="就诊三千四百二十一人次"),
        spec(title="一周就诊"),
    ),
)
TEXTS = (
    Triplet("typed numbers", "就诊 3421 人次。", "就诊３４２１人次，死亡三十七人。", "2026年1月的就诊情况见下表。"),
    Triplet("identifier", f"联系人 {RESIDENT}。", "联系人 110105 19491231 002x。", "联系人见医院公告。"),
    Triplet("phone", "电话 13812345678。", "电话 138-1234-5678。", "电话见医院公告。"),
    Triplet("e-mail", "写信到 zhang.san@example.org。", "写信到 ＺＨＡＮＧ＠example.org。", "写信到卫生健康委员会。"),
    Triplet(
        "code",
        f"附：{CODE}",
        f"附：{' '.join(re.findall('.{1,9}', CODE + CODE))}",
        "附：Department of Health, annual statistical report of outpatient visits",
    ),
    Triplet(
        "code in rare characters",
        "".join(chr(0x4E00 + 97 * number % 20_000) for number in range(60)),
        "就诊情况说明。" + "".join(chr(0x3400 + 53 * number % 6_000) for number in range(30)),
        "本市各区居民就诊情况总体平稳，北城区门诊量有所上升，其余各区与上年基本持平，详见下表所列各项数据。",
    ),
    Triplet("zero width", "就诊\u200b情况", "就诊\ufe00情况", "就诊情况"),
    Triplet("look-alikes", "Vis\u0456ts", "Visits\u00adby", "Visits by district"),
    Triplet("list numbers", "3421. 就诊", "> 37) 就诊", "1. 就诊"),
)


def said_of_chart(description: Any) -> Verdict:
    """What reviewers or the tenant hear: a refusal counts as the worst."""
    try:
        return worst(judge_words(read_spec(json.dumps(description), NUMBERS.columns).texts))
    except DefinitionError:
        return Verdict.CANNOT_CHECK


def report(text: str) -> dict[str, Any]:
    """Fill a report that ends in a released table."""
    return drawn_lane(ReportProduct("summary", text + "\n\n{{ v.table() }}\n"), {"v": Material(NUMBERS)})


def said_of_report(text: str) -> Verdict:
    try:
        return worst([_found(one) for one in report(text)["findings"]])
    except DefinitionError:
        return Verdict.CANNOT_CHECK


def _found(value: dict[str, Any]) -> Any:
    from export_gate.findings import findings_from_json

    return findings_from_json([value])[0]


PARTS = pytest.mark.parametrize("part", ["leak", "disguise", "innocent"])


@PARTS
@pytest.mark.parametrize("row", CHARTS, ids=lambda row: row.name)
def test_a_description_carries_nothing_of_its_own(row: Triplet, part: str) -> None:
    description = getattr(row, part)
    if part != "innocent":
        assert said_of_chart(description) is not Verdict.NO_ATTACK_SUCCEEDED
        return
    assert said_of_chart(description) is Verdict.NO_ATTACK_SUCCEEDED
    draw(read_spec(json.dumps(description), NUMBERS.columns), NUMBERS)


@PARTS
@pytest.mark.parametrize("row", TEXTS, ids=lambda row: row.name)
def test_a_text_is_told_for_what_it_holds(row: Triplet, part: str) -> None:
    assert (said_of_report(getattr(row, part)) is Verdict.NO_ATTACK_SUCCEEDED) is (part == "innocent")


def test_a_key_that_is_written_twice_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"chart\.not-json"):
        read_spec('{"title": "a", "title": "b", "mark": "bar", "encoding": {}}', NUMBERS.columns)


SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10" viewBox="0 0 10 10">{}</svg>'
DRAWINGS = (
    Triplet(
        "metadata",
        "<metadata>LEAK</metadata>",
        "<title>LEAK</title>",
        '<rect x="1" y="1" width="2" height="2" fill="#333"/>',
    ),
    Triplet("comment", "<!-- LEAK -->", "<?LEAK x?>", '<line x1="0" x2="1" y1="0" y2="1" stroke="black"/>'),
    Triplet(
        "script",
        "<script>LEAK</script>",
        "<foreignObject><p>LEAK</p></foreignObject>",
        '<circle r="3" fill="seagreen"/>',
    ),
    Triplet("attribute", '<rect data-x="LEAK"/>', '<g aria-label="LEAK"/>', '<g transform="translate(1,2)"/>'),
    Triplet("reference", '<image href="data:LEAK"/>', '<use xlink:href="#LEAK"/>', '<path d="M0,0L1,1Z" fill="none"/>'),
    Triplet(
        "light text",
        '<text fill="#fefefe">LEAK</text>',
        '<text fill="white">LEAK</text>',
        '<text fill="#000">1,234</text>',
    ),
    Triplet(
        "small text",
        '<text font-size="1px">LEAK</text>',
        '<text font-size="0.01px">LEAK</text>',
        '<text font-size="10px">北城区</text>',
    ),
    Triplet("unknown text", "<text>LEAK</text>", "<text><tspan>LEAK</tspan></text>", "<text>42</text>"),
    Triplet("fine digits", '<rect x="0.000123"/>', '<path d="M0.1234567,0"/>', '<rect x="12.5"/>'),
)


@PARTS
@pytest.mark.parametrize("row", DRAWINGS, ids=lambda row: row.name)
def test_a_drawing_is_ink_alone(row: Triplet, part: str) -> None:
    try:
        shown = rebuild(SVG.format(getattr(row, part)), "Noto Sans CJK SC", {"北城区"})
    except DefinitionError:
        assert part != "innocent"
        return
    if part == "innocent":
        assert len(shown) > len(SVG)
    assert not re.search(r"LEAK|0\.123|0001", shown)


def test_a_picture_ends_where_its_pixels_end_and_is_drawn_the_same_again() -> None:
    described = read_spec(json.dumps(spec(title="各区就诊人次")), NUMBERS.columns)
    first, second = draw(described, NUMBERS), draw(described, NUMBERS)
    assert first == second
    chunks, place = [], 8
    while place < len(first.png):
        (size,) = struct.unpack(">I", first.png[place : place + 4])
        chunks.append(first.png[place + 4 : place + 8])
        place += 12 + size
    assert chunks == [b"IHDR", b"IDAT", b"IEND"]
    assert place == len(first.png)


SHOWN = (
    '<span style="color:white">hidden</span>',
    "<!-- hidden -->",
    "[words](http://example.org/hidden)",
    "[hidden]: http://example.org",
    "![hidden](http://example.org/a.png)",
    "&#8203;hidden&nbsp;",
    "<http://example.org/hidden>",
    "`hidden`",
    '#image("hidden")',
    "```hidden",
)


@pytest.mark.parametrize("source", SHOWN)
def test_what_others_hide_is_shown_as_it_is_written(source: str) -> None:
    """There is no markup that a browser would follow or not show: every character of the source is on the page."""
    page = base64.b64decode(
        next(one["data"] for one in report(f"说明 {source} 完")["files"] if one["name"] == "report.html")
    ).decode()
    body = re.sub("<[^>]*>", "", page[page.index("<body>") :])
    assert source in html.unescape(body)
    assert not re.search(r"<(?:a|img|span|script|code|!--)\b", page)


def test_a_report_is_the_same_bytes_again_and_bears_no_date() -> None:
    first, second = report("# 简报"), report("# 简报")
    assert first == second
    data = {one["name"]: base64.b64decode(one["data"]) for one in first["files"]}
    assert data["report.pdf"].startswith(b"%PDF-")
    assert data["report.pdf"].rstrip().endswith(b"%%EOF")
    assert not re.search(rb"/(?:CreationDate|ModDate|Author)", data["report.pdf"])
