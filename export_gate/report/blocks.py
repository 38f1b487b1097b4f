"""A report's Markdown as a tree of few kinds of blocks: headings, paragraphs, lists, quotes, tables and what the gate puts in (B22).

There is no raw HTML, no link, no image, no comment, no reference and no character entity: the parser's rules for them are switched off, so
that such a source shows as the characters it is made of. Source: CommonMark 0.31.2; tables as on GitHub.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from export_gate.chart.wording import check_characters
from export_gate.report.placeholders import MARKED, Placeholder, mark
from lineage.errors import DefinitionError


if TYPE_CHECKING:
    from markdown_it.token import Token

Node = dict[str, Any]

LONGEST = 60_000
_OFF = (
    "link",
    "image",
    "autolink",
    "html_inline",
    "html_block",
    "reference",
    "entity",
    "fence",
    "code",
    "backticks",
    "lheading",
)
_BLOCKS = {
    "paragraph",
    "bullet_list",
    "ordered_list",
    "list_item",
    "blockquote",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
}
_SECTION = re.compile(r"^\d{1,2}(?:\.\d{1,2}){0,2}[ .、]")


def read_blocks(text: str) -> tuple[list[Node], tuple[Placeholder, ...]]:
    """Read a report's text; gives its blocks, in which a placeholder is ``{"slot": number}``, and the placeholders.

    Raises:
        DefinitionError: ``words.strange-character``, ``report.bad-placeholder``, ``report.too-long``, ``report.not-allowed``.
    """
    from markdown_it import MarkdownIt

    plain = text.replace("\r\n", "\n")
    if len(plain) > LONGEST:
        raise DefinitionError("report.too-long", most=LONGEST)
    for number, line in enumerate(plain.split("\n"), 1):
        check_characters(line, str(number))
    marked, placeholders = mark(plain)
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table").disable(list(_OFF))
    blocks = _children(iter(parser.parse(marked)), "")
    if not blocks:
        raise DefinitionError("report.no-source")
    return blocks, placeholders


def _children(tokens: Iterator[Token], until: str) -> list[Node]:
    found: list[Node] = []
    for token in tokens:
        if token.type == until:
            return found
        found.append(_block(token, tokens))
    return found


def _block(token: Token, tokens: Iterator[Token]) -> Node:
    name = token.type.removesuffix("_open")
    if token.type == "inline":
        return {"kind": "inline", "parts": _parts(token.children or [])}
    if token.type == "hr":
        return {"kind": "line"}
    if name == "heading":
        inside = _children(tokens, "heading_close")
        return {"kind": "heading", "level": int(token.tag[1]), "parts": inside[0]["parts"] if inside else []}
    if name not in _BLOCKS:
        raise DefinitionError("report.not-allowed", part=name[:40])
    # A list that begins at 41 shows a number that nobody filled in.
    if token.attrs.get("start", 1) != 1:
        raise DefinitionError("report.not-allowed", part="start")
    return {"kind": name, "blocks": _children(tokens, f"{name}_close")}


def _parts(tokens: Sequence[Token]) -> list[Node]:
    parts: list[Node] = []
    bold = slanted = 0
    for token in tokens:
        match token.type:
            case "strong_open" | "strong_close":
                bold += token.nesting
            case "em_open" | "em_close":
                slanted += token.nesting
            case "hardbreak":
                parts.append({"break": True})
            case "softbreak":
                parts.append({"text": " ", "bold": False, "slanted": False})
            case "text" | "text_special":
                parts += _texts(token.content, bold=bold > 0, slanted=slanted > 0)
            case other:
                raise DefinitionError("report.not-allowed", part=other[:40])
    return parts


def _texts(text: str, *, bold: bool, slanted: bool) -> Iterator[Node]:
    for place, piece in enumerate(MARKED.split(text)):
        if place % 2:
            yield {"slot": int(piece), "bold": bold, "slanted": slanted}
        elif piece:
            yield {"text": re.sub(" +", " ", piece), "bold": bold, "slanted": slanted}


def texts_of(blocks: Sequence[Node]) -> list[str]:
    """Give what people typed, block by block, without the section number that a heading begins with."""
    found: list[str] = []
    for block in blocks:
        text = "".join(part.get("text", " ") for part in block.get("parts", ()))
        found.append(_SECTION.sub("", text) if block["kind"] == "heading" else text)
        found += texts_of(block.get("blocks", ()))
    return [text for text in found if text.strip()]


def title_of(blocks: Sequence[Node], otherwise: str) -> str:
    """Give the first heading's typed text."""
    titles = ("".join(part.get("text", "") for part in one["parts"]) for one in blocks if one["kind"] == "heading")
    return next((title for title in titles if title.strip()), otherwise)
