"""A drawing taken apart and built anew from an allow-list of elements and attributes, every number rounded (B22, B23).

What the drawing engine adds for screen readers repeats each row in words; it is left out with everything else that is not ink.
Numbers keep two decimals of a pixel. A text that a reader would not see (light or tiny)
is refused, and so is one that nobody released or typed.
Source: SVG 1.1 (W3C, 2011).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from lineage.errors import DefinitionError


_SPACE = "{http://www.w3.org/2000/svg}"
_ELEMENTS = {
    "svg",
    "g",
    "path",
    "rect",
    "line",
    "circle",
    "text",
    "tspan",
    "clipPath",
    "defs",
    "linearGradient",
    "stop",
}
_NUMBER = r"-?\d*\.?\d+(?:e-?\d+)?"
_NUMBERS = re.compile(_NUMBER)
_COLOUR = r"#[0-9a-fA-F]{3,8}|[a-z]{3,20}|rgba?\([\d., ]{5,30}\)"
_OWN = r"url\(#[A-Za-z0-9_]{1,40}\)"
_NAME = r"[A-Za-z0-9_]{1,40}"
_PATTERNS = {
    **dict.fromkeys(("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "offset"), _NUMBER + "%?"),
    **dict.fromkeys(("stroke-width", "stroke-miterlimit", "opacity", "fill-opacity", "stroke-opacity"), _NUMBER),
    **dict.fromkeys(("fill", "stroke", "stop-color"), f"{_COLOUR}|{_OWN}"),
    "transform": rf"(?:\s*(?:translate|rotate|scale)\((?:[,\s]*{_NUMBER})+\))+\s*",
    "d": rf"(?:[MLHVCSQTAZmlhvcsqtaz,\s]|{_NUMBER})*",
    "viewBox": rf"(?:\s*{_NUMBER}){{4}}",
    "font-size": rf"{_NUMBER}(?:px)?",
    "font-weight": "bold|normal",
    "text-anchor": "start|middle|end",
    "stroke-dasharray": rf"(?:[,\s]*{_NUMBER})*",
    "stroke-linecap": "butt|round|square",
    "stroke-linejoin": "miter|round|bevel",
    "clip-path": _OWN,
    "id": _NAME,
    "gradientUnits": "objectBoundingBox|userSpaceOnUse",
}
_ALLOWED = {name: re.compile(pattern) for name, pattern in _PATTERNS.items()}
_LARGEST = 4000
_SMALLEST_TEXT = 8.0
_WIDEST_LIGHT = 0.6
_LABEL = re.compile(
    r"[\u2212-]?[\d,]+(?:\.\d+)?[%kMGTmµ]?|\d{1,2}:\d{2}|(?:19|20)\d{2}(?:-\d{2}){0,2}|(?:[A-Z][a-z]{2,8})(?: \d{2})?|Q[1-4]"
)
"""What an axis writes by itself: numbers, dates and the English names of months and days."""


def rebuild(drawing: str, family: str, known: AbstractSet[str]) -> str:
    """Build a drawing anew.

    Args:
        drawing: SVG as the engine wrote it.
        family: the one font.
        known: every text that may be drawn: released values, column names, and what the author typed.

    Raises:
        DefinitionError: ``chart.not-drawn``: it holds what no chart of ours has; ``chart.too-large``, ``chart.hidden-text``,
            ``chart.unknown-text``.
    """
    # No document type and no entity: the engine writes none, and one that is there was smuggled in.
    if "<!" in drawing or "<?" in drawing:
        raise DefinitionError("chart.not-drawn", part="<!")
    try:
        root = ET.fromstring(drawing)  # noqa: S314 -- without a document type there is nothing to expand
    except ET.ParseError as error:
        raise DefinitionError("chart.not-drawn", part="xml") from error
    if root.tag != f"{_SPACE}svg" or max(float(root.get("width", "inf")), float(root.get("height", "inf"))) > _LARGEST:
        raise DefinitionError("chart.too-large", pixels=_LARGEST)
    check = _text_check(known)
    return "".join(_element(root, family, check)) + "\n"


def _element(element: ET.Element, family: str, check: Callable[[ET.Element], str]) -> Iterator[str]:
    name = element.tag.removeprefix(_SPACE)
    if name not in _ELEMENTS:
        raise DefinitionError("chart.not-drawn", part=name[:40])
    if element.get("display") == "none" or (name == "path" and not element.get("d")):
        return
    yield f"<{name}{_attributes(name, element, family)}>"
    if name in {"text", "tspan"}:
        yield escape(check(element))
    for child in element:
        yield from _element(child, family, check)
    yield f"</{name}>"


def _attributes(name: str, element: ET.Element, family: str) -> str:
    space = ' xmlns="http://www.w3.org/2000/svg"' if name == "svg" else ""
    font = f' font-family="{family}"' if name == "text" else ""
    kept = "".join(
        f" {key}={quoteattr(_value(key, element.attrib[key]))}" for key in sorted(element.attrib) if key in _ALLOWED
    )
    return space + kept + font


def _value(key: str, value: str) -> str:
    if not _ALLOWED[key].fullmatch(value):
        raise DefinitionError("chart.not-drawn", part=key)
    if key in {"id", "clip-path", "font-weight", "text-anchor"} or value.startswith(("#", "url")):
        return value
    return _NUMBERS.sub(lambda found: f"{round(float(found[0]), 2) or 0.0:.2f}".rstrip("0").rstrip("."), value)


def _text_check(known: AbstractSet[str]) -> Callable[[ET.Element], str]:
    beginnings = tuple(known)

    def check(element: ET.Element) -> str:
        text = (element.text or "").strip()
        size = float((element.get("font-size") or "10").removesuffix("px"))
        if text and (size < _SMALLEST_TEXT or _light(element.get("fill", "#000"))):
            raise DefinitionError("chart.hidden-text")
        cut = text.removesuffix("…")
        fits = (
            text in known or _LABEL.fullmatch(text) or (cut != text and any(one.startswith(cut) for one in beginnings))
        )
        if text and not fits:
            raise DefinitionError("chart.unknown-text")
        return text

    return check


def _light(colour: str) -> bool:
    """Whether ink is too light to be read on white (relative luminance as in WCAG 2, without its gamma)."""
    digits = colour.removeprefix("#")
    if colour.startswith("#"):
        whole = digits if len(digits) == 6 else "".join(2 * one for one in digits[:3])
        red, green, blue = (int(whole[place : place + 2], 16) / 255 for place in (0, 2, 4))
    elif found := re.fullmatch(r"rgb\((\d+), ?(\d+), ?(\d+)\)", colour):
        red, green, blue = (int(one) / 255 for one in found.groups())
    else:
        return colour not in {"steelblue", "seagreen", "firebrick", "slateblue", "dimgray", "black"}
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > _WIDEST_LIGHT
