"""The report as one HTML page that loads nothing: written with everything escaped, then held against a sanitizer (B22).

Two walls: our own writer knows only a few tags, and nh3 (ammonia) must find nothing to take out. Style and pictures are the gate's.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from export_gate.report.blocks import Node
from lineage.errors import DefinitionError


_TAGS = {
    "paragraph": "p",
    "bullet_list": "ul",
    "ordered_list": "ol",
    "list_item": "li",
    "blockquote": "blockquote",
    "table": "table",
    "thead": "thead",
    "tbody": "tbody",
    "tr": "tr",
    "th": "th",
    "td": "td",
}
_KNOWN = {*_TAGS.values(), "h1", "h2", "h3", "h4", "h5", "h6", "hr", "br", "strong", "em"}
_STYLE = (
    "body{max-width:44em;margin:2em auto;padding:0 1em;color:#111;background:#fff;line-height:1.7;"
    "font-family:'Noto Sans CJK SC','PingFang SC','Microsoft YaHei',sans-serif}"
    "table{border-collapse:collapse;margin:1em 0}th,td{border:1px solid #999;padding:.25em .7em;text-align:left}"
    "th{background:#eee}img{max-width:100%}em{font-style:normal;text-decoration:underline}"
)
_HEAD = (
    '<!doctype html>\n<html lang="zh-CN">\n<head>\n<meta charset="utf-8">\n'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
    "<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
)


def to_html(blocks: Sequence[Node], title: str, pictures: Mapping[str, bytes]) -> str:
    """Write the page.

    Raises:
        DefinitionError: the sanitizer would have taken something out.
    """
    import nh3

    body = "\n".join(_block(one, {}) for one in blocks)
    if nh3.clean(body, tags=set(_KNOWN), attributes={}, url_schemes=set(), strip_comments=True, link_rel=None) != body:
        raise DefinitionError("report.not-clean")
    drawn = {name: _picture(name, data) for name, data in pictures.items()}
    whole = "\n".join(_block(one, drawn) for one in blocks)
    return _HEAD.format(title=_escaped(title), style=_STYLE, body=whole)


def _block(block: Node, pictures: Mapping[str, str]) -> str:
    kind = block["kind"]
    if kind == "inline":
        return "".join(_part(one) for one in block["parts"])
    if kind == "heading":
        tag = f"h{block['level']}"
        return f"<{tag}>{''.join(_part(one) for one in block['parts'])}</{tag}>"
    if kind == "line":
        return "<hr>"
    if kind == "numbers":
        return _numbers(block)
    if kind == "picture":
        return f"<p>{pictures.get(block['product'], '')}</p>"
    inside = "".join(_block(one, pictures) for one in block["blocks"])
    return f"<{_TAGS[kind]}>{inside}</{_TAGS[kind]}>"


def _part(part: Node) -> str:
    if "break" in part:
        return "<br>"
    text = _escaped(part["text"])
    text = f"<em>{text}</em>" if part["slanted"] else text
    return f"<strong>{text}</strong>" if part["bold"] else text


def _numbers(block: Node) -> str:
    head = "".join(f"<th>{_escaped(one)}</th>" for one in block["columns"])
    rows = "".join("<tr>" + "".join(f"<td>{_escaped(one)}</td>" for one in row) + "</tr>" for row in block["rows"])
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _picture(name: str, data: bytes) -> str:
    return f'<img alt="{escape(name)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def _escaped(text: str) -> str:
    return escape(text, quote=False)
