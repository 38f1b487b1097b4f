"""Pictures of answers: everything is on them, nothing overlaps, nothing a tenant named becomes markup."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import partial
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest

from lineage.answer import Answer
from lineage.derivation import Derivation
from lineage.errors import Param
from lineage.graph import Graph
from lineage.kinds import Kind
from lineage.log import Actor, Entry
from lineage.picture import LARGEST, mermaid, svg
from sandbox.messages import Language, text


SVG = "{http://www.w3.org/2000/svg}"


def zh(code: str, /, **params: Param) -> str:
    return text(code, Language.ZH, **params)


def en(code: str, /, **params: Param) -> str:
    return text(code, Language.EN, **params)


def graph_of(edges: list[tuple[str, str]], nodes: dict[str, Any] | None = None) -> Graph:
    told = []
    for seq, (source, target) in enumerate(edges):
        facts = {node: known for node, known in (nodes or {}).items() if node in {source, target}}
        payload = Derivation((source,), (target,), nodes=facts).payload
        told.append(Entry(seq, Kind.PRODUCT_MADE, "2026-11-21T12:00:00.000Z", Actor("p", "o"), (), payload))
    return Graph.build(told)


def parse(drawn: str) -> ET.Element:
    return ET.fromstring(drawn)  # noqa: S314 - our own output


def boxes(picture: ET.Element) -> list[tuple[float, float, float, float]]:
    return [
        (float(item.attrib["x"]), float(item.attrib["y"]), float(item.attrib["width"]), float(item.attrib["height"]))
        for item in picture.iter(f"{SVG}rect")
    ]


def overlaps(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return all(
        first[side] < second[side] + second[side + 2] and second[side] < first[side] + first[side + 2]
        for side in (0, 1)
    )


DIAMOND = [
    ("source:a", "dataset:b@1"),
    ("dataset:b@1", "table:c"),
    ("dataset:b@1", "table:d"),
    ("table:c", "release:e"),
    ("table:d", "release:e"),
]


def test_every_node_is_a_box_and_a_link_and_data_flows_to_the_right() -> None:
    picture = parse(svg(graph_of(DIAMOND).origins("release:e"), zh))
    links = {
        unquote(link.attrib["href"]): float(next(link.iter(f"{SVG}rect")).attrib["x"])
        for link in picture.iter(f"{SVG}a")
    }
    assert set(links) == {"#source:a", "#dataset:b@1", "#table:c", "#table:d", "#release:e"}
    assert links["#source:a"] < links["#dataset:b@1"] < links["#table:c"] == links["#table:d"] < links["#release:e"]
    assert len(list(picture.iter(f"{SVG}polyline"))) == len(DIAMOND)


def test_lines_join_the_boxes_they_should() -> None:
    edges = [*DIAMOND, ("source:a", "release:e"), ("source:a", "table:d")]
    picture = parse(svg(graph_of(edges).origins("release:e"), zh))
    left, right = {}, {}
    for link in picture.iter(f"{SVG}a"):
        x, y, width, height = boxes(link)[0]
        right[f"{x + width:g},{y + height / 2:g}"] = left[f"{x:g},{y + height / 2:g}"] = unquote(link.attrib["href"])[
            1:
        ]
    drawn = set()
    for line in picture.iter(f"{SVG}polyline"):
        points = line.attrib["points"].split()
        drawn.add((right[points[0]], left[points[-1]]))
    assert drawn == set(edges)


@pytest.mark.parametrize("seed", range(8))
def test_boxes_do_not_overlap_and_lie_inside(seed: int) -> None:
    chance = random.Random(seed)
    count = chance.randrange(2, 120)
    edges = [
        (f"table:{chance.randrange(node)}", f"table:{node}")
        for node in range(1, count)
        for _ in range(chance.randrange(1, 4))
    ]
    picture = parse(svg(graph_of(edges).destinations("table:0"), en))
    drawn = boxes(picture)
    _, _, width, height = (float(part) for part in picture.attrib["viewBox"].split())
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in drawn)
    assert not [
        pair
        for number, first in enumerate(drawn)
        for pair in [first]
        for second in drawn[:number]
        if overlaps(first, second)
    ]


def test_several_unrelated_parts_stand_apart() -> None:
    edges = [
        ("source:1", "dataset:a@1"),
        ("source:2", "dataset:a@2"),
        ("source:3", "dataset:a@3"),
        ("source:4", "table:x"),
    ]
    drawn = boxes(parse(svg(graph_of(edges).origins("a"), zh)))
    assert len(drawn) == 6
    assert not any(overlaps(first, second) for number, first in enumerate(drawn) for second in drawn[:number])


def test_a_node_without_edges_is_drawn() -> None:
    told = [Entry(0, Kind.JOB_SUBMITTED, "t", Actor("p", "o"), (), Derivation((), ("job:j",)).payload)]
    picture = parse(svg(Graph.build(told).origins("job:j"), zh))
    assert len(boxes(picture)) == 1
    assert mermaid(Graph.build(told).origins("job:j"), zh) == 'flowchart LR\n  n0["任务: j"]\n'


HOSTILE = [
    '<script>alert("1")</script>',
    "\"><image href=x onerror='alert(1)'>",
    "&amp;]]><!--",
    "end\x00\x1b[2J\ufffe",
    "\u202eexe.stisiv",
    'a"] --> n0; click n0 "javascript:alert(1)"; n9["',
    "a\n  n0 --> n1\n%%{init: {}}%%",
    "#quot;`**bold**`",
]


@pytest.mark.parametrize("title", HOSTILE)
def test_what_others_named_is_never_markup(title: str) -> None:
    edges = [
        (
            "source:"
            + title.replace("#", "").replace("\n", "").replace("\x00", "").replace("\x1f", "").replace("\x1b", ""),
            "release:e",
        )
    ]
    answer = graph_of(edges, {"release:e": {"title": title, "date": title}}).origins("release:e")
    drawn = svg(answer, zh)
    picture = parse(drawn)
    assert {item.tag.removeprefix(SVG) for item in picture.iter()} == {
        "svg",
        "title",
        "defs",
        "marker",
        "path",
        "polyline",
        "a",
        "rect",
        "text",
    }
    assert not any(
        name.lower().startswith("on") or name in {"style", "class"} for item in picture.iter() for name in item.attrib
    )
    assert not any(char in drawn for char in "\u202e\x00\x1b\ufffe")
    flow = mermaid(answer, zh).splitlines()
    assert len(flow) == 4
    assert flow[3] == "  n1 --> n0"
    assert all(line.count('"') == 2 and "<" not in line and "`" not in line for line in flow[1:3])


def test_chinese_labels_are_cut_to_the_box_and_whole_in_the_tooltip() -> None:
    title = "二〇二六年上半年全市各级医疗机构门诊就诊记录明细"
    answer = graph_of([("source:a", "dataset:b@1")], {"source:a": {"title": title, "date": "2026-06-30"}}).origins(
        "dataset:b@1"
    )
    picture = parse(svg(answer, zh))
    texts = [item.text or "" for item in picture.iter(f"{SVG}text")]
    assert "来源文件 · 2026-06-30" in texts
    assert any(shown.endswith("…") and title.startswith(shown[:-1]) and len(shown) > 10 for shown in texts)
    assert any(title in (item.text or "") for item in picture.iter(f"{SVG}title"))
    assert next(picture.iter(f"{SVG}title")).text == "dataset:b@1 的来源"


def wide(count: int) -> Answer:
    return graph_of([("dataset:a@1", f"table:{node}") for node in range(count)]).destinations("dataset:a@1")


@pytest.mark.parametrize(
    ("tables", "shown", "hidden"), [(LARGEST - 1, LARGEST, 0), (LARGEST, LARGEST, 2), (1000, LARGEST, 702)]
)
def test_a_large_answer_is_collapsed_and_says_how_much(tables: int, shown: int, hidden: int) -> None:
    answer = wide(tables)
    drawn = svg(answer, zh)
    assert len(boxes(parse(drawn))) == shown
    assert (f"另有 {hidden} 个节点未画出" in drawn) == bool(hidden)
    assert (f"{hidden} more nodes not drawn" in mermaid(answer, en)) == bool(hidden)
    assert len(answer.rows()) == tables + 1


def test_a_long_chain_is_collapsed_too_and_has_no_circle() -> None:
    edges = [(f"table:{node}", f"table:{node + 1}") for node in range(400)] + [("table:0", "table:399")]
    picture = parse(svg(graph_of(edges).origins("table:400"), zh))
    assert len(boxes(picture)) == LARGEST


DRAW = """
from tests.unit.lineage.test_picture import DIAMOND, graph_of, mermaid, svg, zh
edges = DIAMOND + [(f"table:{n % 7}", f"table:{n}") for n in range(7, 60)] + [(f"table:{n}", "release:e") for n in range(60)]
answer = graph_of(edges).origins("release:e")
print(svg(answer, zh) + mermaid(answer, zh))
"""


def test_the_same_answer_is_the_same_bytes_in_every_process() -> None:
    run = partial(subprocess.run, [sys.executable, "-c", DRAW], capture_output=True, check=True, encoding="utf-8")
    first, second = (run(env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "."}).stdout for seed in ("1", "2"))
    assert first == second
    assert first.count("<rect") > 50
