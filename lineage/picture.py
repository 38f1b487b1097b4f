"""Pictures of a lineage answer: SVG and Mermaid text, the same bytes for the same answer (L1).

An answer of more than ``LARGEST`` nodes is drawn with its nearest nodes and one box that states how many are left out; the rows of the
answer always hold all. Nothing in the picture is markup of ours but shapes: every text is escaped, no style, no script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol
from unicodedata import category, east_asian_width
from urllib.parse import quote

from lineage.answer import Answer, Direction, Reached
from lineage.errors import Param


LARGEST = 300
"""Boxes in one picture; beyond that nobody reads it."""

_MORE = ""
_WIDTH, _HEIGHT = 210, 44
_STEP_X, _STEP_Y = 280, 64
_MARGIN = 16
_CELLS = 28
"""Text cells in one line of a box; a Chinese character takes two."""

Point = tuple[float, float]


class Say(Protocol):
    """Renders a plain message of the catalogue in the reader's language."""

    def __call__(self, code: str, /, **params: Param) -> str:
        """Give the text of a message code."""


@dataclass(frozen=True)
class _Box:
    node: str
    head: str
    label: str
    start: bool


@dataclass(frozen=True)
class _Drawing:
    """Boxes and lines left after collapsing; a line runs from source to target."""

    boxes: Mapping[str, _Box]
    lines: tuple[tuple[str, str], ...]


def svg(answer: Answer, say: Say) -> str:
    """Draw the answer; data flows from left to right, each box links to ``#<node>``."""
    drawing = _collapse(answer, say)
    places, bends = _layout(sorted(drawing.boxes), drawing.lines)
    width = max((x for x, _ in places.values()), default=0) + _WIDTH + 2 * _MARGIN
    height = max((y for _, y in places.values()), default=0) + _HEIGHT + 2 * _MARGIN
    title = escape(_clean(say(f"lineage.title-{answer.direction.value}", node=answer.question)))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"',
        ' role="img" font-family="sans-serif" font-size="13">',
        f"<title>{title}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">',
        '<path d="M0 0 8 4 0 8z" fill="#5b6b7a"/></marker></defs>',
    ]
    parts += [
        _line(places[source], bends.get((source, target), ()), places[target]) for source, target in drawing.lines
    ]
    parts += [_box(drawing.boxes[node], places[node]) for node in sorted(drawing.boxes)]
    return "\n".join([*parts, "</svg>", ""])


def mermaid(answer: Answer, say: Say) -> str:
    """Give the answer as a Mermaid flowchart, for reports."""
    drawing = _collapse(answer, say)
    names = {node: f"n{number}" for number, node in enumerate(sorted(drawing.boxes))}
    lines = ["flowchart LR"]
    for node in sorted(drawing.boxes):
        box = drawing.boxes[node]
        lines.append(f'  {names[node]}["{_entity(f"{box.head}: {box.label}" if box.label else box.head)}"]')
    lines += [f"  {names[source]} --> {names[target]}" for source, target in drawing.lines]
    return "\n".join(lines) + "\n"


def _collapse(answer: Answer, say: Say) -> _Drawing:
    """Keep the nearest nodes; the others become one box that says how many they are."""
    kept = answer.nodes if len(answer.nodes) <= LARGEST else answer.nodes[: LARGEST - 1]
    boxes = {reached.node: _Box(reached.node, *_text(reached, say), start=reached.depth == 0) for reached in kept}
    hidden = len(answer.nodes) - len(kept)
    if hidden:
        boxes[_MORE] = _Box(_MORE, say("lineage.more-nodes", count=hidden), "", start=False)
    lines = set()
    for edge in answer.edges:
        ends = (edge.source if edge.source in boxes else _MORE, edge.target if edge.target in boxes else _MORE)
        # Lines of the box of left-out nodes are drawn outwards only, so that the picture has no cycle that the graph has not.
        if _MORE not in ends or ends.index(_MORE) == (0 if answer.direction is Direction.ORIGINS else 1):
            lines.add(ends)
    lines.discard((_MORE, _MORE))
    return _Drawing(boxes, tuple(sorted(lines)))


def _text(reached: Reached, say: Say) -> tuple[str, str]:
    kind, _, rest = reached.node.partition(":")
    known = kind if kind in {"source", "dataset", "table", "job", "run", "product", "release"} else "other"
    date = f" · {reached.facts['date']}" if "date" in reached.facts else ""
    return say(f"lineage.node-{known}") + date, str(reached.facts.get("title") or rest)


def _layout(
    nodes: Sequence[str], lines: Sequence[tuple[str, str]]
) -> tuple[dict[str, Point], dict[tuple[str, str], tuple[Point, ...]]]:
    """Place the boxes and bend long lines around them: the one place that knows the layout library (fast-sugiyama).

    Gives the upper left corner of each box and the points of each line that passes other layers, in pixels.
    """
    from fast_sugiyama import from_edges

    number = {node: index for index, node in enumerate(nodes)}
    laid = from_edges(
        [(number[source], number[target]) for source, target in lines], vertex_spacing=1, dummy_vertices=True
    )
    # Parts that do not touch come in no promised order.
    parts = sorted((sorted(positions), list(made or [])) for positions, _, _, made in laid)
    places: dict[str, Point] = {}
    bends: dict[tuple[str, str], tuple[Point, ...]] = {}
    below = float(_MARGIN)
    for positions, made in parts:
        pixels, below = _pixels(positions, below)
        places |= {nodes[index]: point for index, point in pixels.items() if index < len(nodes)}
        bends |= _bends(nodes, pixels, made)
    for node in nodes:
        if node not in places:
            places[node], below = (float(_MARGIN), below), below + _STEP_Y
    return places, bends


def _pixels(positions: Sequence[tuple[int, Point]], below: float) -> tuple[dict[int, Point], float]:
    """Turn the library's columns and layers on their side: its layers run downwards from the highest y, ours to the right."""
    top = max(y for _, (_, y) in positions)
    first = min(x for _, (x, _) in positions)
    pixels = {
        index: (float(_MARGIN + round(top - y) * _STEP_X), round(below + (x - first) * _STEP_Y, 1))
        for index, (x, y) in positions
    }
    return pixels, max(y for _, y in pixels.values()) + _STEP_Y


def _bends(
    nodes: Sequence[str], pixels: Mapping[int, Point], made: Sequence[tuple[int, int]]
) -> dict[tuple[str, str], tuple[Point, ...]]:
    """Follow each chain of stand-ins that the library put where a line passes a layer."""
    follow = {source: target for source, target in made if source >= len(nodes)}
    bends: dict[tuple[str, str], tuple[Point, ...]] = {}
    for source, step in made:
        if source >= len(nodes) or step < len(nodes):
            continue
        chain, here = [], step
        while here >= len(nodes):
            chain.append(pixels[here])
            here = follow[here]
        bends[nodes[source], nodes[here]] = tuple(chain)
    return bends


def _line(source: Point, bends: Sequence[Point], target: Point) -> str:
    middle = _HEIGHT / 2
    points = [(source[0] + _WIDTH, source[1] + middle)]
    for x, y in bends:
        points += [(x, y + middle), (x + _WIDTH, y + middle)]
    points.append((target[0], target[1] + middle))
    drawn = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polyline points="{drawn}" fill="none" stroke="#5b6b7a" stroke-width="1.2" marker-end="url(#tip)"/>'


def _box(box: _Box, place: Point) -> str:
    x, y = place
    stroke, fill = ("#0b5cad", "#e8f1fb") if box.start else ("#5b6b7a", "#ffffff")
    full = f"{box.head} {box.label}" if box.node == _MORE else f"{box.head} {box.label} ({box.node})"
    drawn = [
        f"<title>{escape(_clean(full))}</title>",
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="5" fill="{fill}" stroke="{stroke}"/>',
        f'<text x="{x + 10:g}" y="{y + 17:g}" font-size="11" fill="#44525f">{escape(_short(box.head))}</text>',
        f'<text x="{x + 10:g}" y="{y + 35:g}" fill="#14202b">{escape(_short(box.label))}</text>',
    ]
    inner = "".join(drawn)
    if box.node == _MORE:
        return f"<g>{inner}</g>"
    return f'<a href="#{escape(quote(box.node, safe=":@/.-_"))}">{inner}</a>'


def _clean(text: str) -> str:
    """Replace what XML 1.0 cannot hold, and marks that would reorder the text around them."""
    return "".join("\ufffd" if category(char) in {"Cc", "Cf", "Cs", "Cn"} else char for char in text)


def _short(text: str) -> str:
    room, kept = _CELLS, ""
    for char in _clean(text):
        room -= 2 if east_asian_width(char) in "WF" else 1
        if room < 1:
            return kept + "…"
        kept += char
    return kept


def _entity(text: str) -> str:
    """Write everything but letters, digits and a few harmless marks as Mermaid's entity codes."""
    return "".join(char if char.isalnum() or char in " .-_@/:·" else f"#{ord(char)};" for char in _clean(text))
