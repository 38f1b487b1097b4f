"""Drawing: the checked description and the released numbers become an SVG of ink alone and a PNG of few colours (B22, B23, law 2).

It happens inside the gate's jail, where the engine (Vega-Lite in V8) finds no network, no key and no row data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from export_gate.chart.fonts import FAMILY, font_folder
from export_gate.chart.grammar import Described
from export_gate.chart.numbers import Numbers
from export_gate.chart.svg import rebuild
from export_gate.chart.wording import check_characters
from export_gate.file.pixels import decode_pixels, png_bytes
from lineage.errors import DefinitionError


ENGINE: Final = "6.4"
"""The version of Vega-Lite; another one may draw otherwise, and a release must be drawn the same again."""
_SCALE: Final = 2
_WIDTH, _HEIGHT = 360, 240
_PLAIN: Final[Mapping[str, Any]] = {
    "background": "white",
    "font": FAMILY,
    "axis": {"labelFontSize": 11, "titleFontSize": 12, "labelLimit": 160},
    "axisX": {"labelAngle": 0},
    "legend": {"labelFontSize": 11, "titleFontSize": 12, "labelLimit": 160},
    "title": {"fontSize": 15, "subtitleFontSize": 12, "offset": 12},
    "text": {"fontSize": 11, "fill": "black"},
    "rule": {"color": "black"},
    "tick": {"color": "black"},
}


@dataclass(frozen=True)
class Picture:
    """A chart in two forms that show the same."""

    svg: str
    png: bytes


def draw(described: Described, numbers: Numbers) -> Picture:
    """Draw a chart.

    Raises:
        DefinitionError: the engine cannot draw it, a released text cannot be shown, or the drawing holds what it must not.
        MissingPartError: the font is missing.
    """
    import vl_convert

    vl_convert.register_font_directory(str(font_folder()))
    released = {check_characters(value, "data") for row in numbers.rows for value in row if value is not None}
    spec = {"width": _WIDTH, "height": _HEIGHT, **described.spec, "data": {"values": numbers.records()}}
    try:
        drawing = vl_convert.vegalite_to_svg(spec, vl_version=ENGINE, config=dict(_PLAIN), allowed_base_urls=[])
    except ValueError as error:
        raise DefinitionError("chart.engine-refused") from error
    svg = rebuild(drawing, FAMILY, {*released, *numbers.columns, *described.texts})
    width, height, pixels = decode_pixels(vl_convert.svg_to_png(svg, scale=_SCALE), "PNG", "file.png-broken")
    return Picture(svg, png_bytes(width, height, pixels))
