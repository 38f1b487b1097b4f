"""The charts that may be described: a subset of Vega-Lite 6 in which everything that is not named here is refused (B22).

There is no data, transform, expression, signal, parameter, image, link, tooltip, condition or constant position: whatever is drawn
comes from the columns of one released product, and the description only chooses how. Source: Satyanarayan et al., Vega-Lite (2017);
https://vega.github.io/vega-lite/docs/.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from export_gate.chart.wording import check_characters
from jobs.manifest_files import visible
from lineage.errors import DefinitionError


SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
MARKS = ("bar", "line", "area", "point", "circle", "square", "rect", "tick", "rule", "arc", "text")
KINDS = ("quantitative", "nominal", "ordinal", "temporal")
SCHEMES = ("tableau10", "category10", "set2", "dark2", "blues", "greens", "oranges", "viridis")
INKS = ("steelblue", "darkorange", "seagreen", "firebrick", "slateblue", "dimgray", "black")
FORMATS = ("d", ",d", ",.1f", ",.2f", ".0%", ".1%", "~s", "%Y", "%Y-%m", "%Y-%m-%d")
SORTS = ("ascending", "descending", "x", "-x", "y", "-y", None)
SIZE = (80, 1000)
MOST_LAYERS = 4
LONGEST_TITLE = 80
_DEEPEST = 64 * 1024

Rule = Callable[["Reading", Any, str], Any]


@dataclass
class Reading:
    """One description being read: the columns it may name, and the texts that were typed into it."""

    columns: Sequence[str]
    texts: list[str] = field(default_factory=list)

    def column(self, value: Any, place: str) -> str:
        """Give the engine's name of a column: its place, so that no column name is ever read as a path."""
        if not isinstance(value, str) or value not in self.columns:
            raise DefinitionError("chart.no-such-column", place=place, columns=", ".join(self.columns)[:200])
        return f"c{self.columns.index(value)}"


@dataclass(frozen=True)
class Described:
    """A chart that passed: the specification written anew without data, and every text that its author typed."""

    spec: Mapping[str, Any]
    texts: tuple[str, ...]


def read_spec(text: str, columns: Sequence[str]) -> Described:
    """Read a chart's description against the columns of its product.

    Raises:
        DefinitionError: ``chart.not-allowed`` names the first place that is outside the subset; ``chart.no-such-column``,
            ``words.strange-character``, ``chart.not-json``.
    """
    reading = Reading(columns)
    checked = _WHOLE(reading, _parse(text), "spec")
    if "layer" not in checked and not {"mark", "encoding"} <= set(checked):
        raise _refused("spec.mark")
    if "layer" in checked and {"mark", "encoding"} & set(checked):
        raise _refused("spec.layer")
    checked.pop("$schema", None)
    titles: dict[str, str] = {}
    for unit in checked.get("layer", [checked]):
        _name_axes(unit["encoding"], columns, titles)
    return Described(checked, tuple(reading.texts))


def _parse(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise DefinitionError("chart.not-json")
        return dict(pairs)

    try:
        if len(text) > _DEEPEST:
            raise DefinitionError("chart.not-json")
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise DefinitionError("chart.not-json") from error


def _name_axes(encoding: dict[str, Any], columns: Sequence[str], titles: dict[str, str]) -> None:
    """Title each channel with its column's own name; a later layer shares the first one's axes and their titles."""
    for channel, one in encoding.items():
        if "type" not in one or "title" in (one.get("axis") or one.get("legend") or {}):
            continue
        own = one.get("title", titles.get(channel, columns[int(one["field"][1:])]))
        one["title"] = titles.setdefault(channel, own)


def _refused(place: str) -> DefinitionError:
    return DefinitionError("chart.not-allowed", place=visible(place)[:120])


def _text(reading: Reading, value: Any, place: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TITLE or "\n" in value:
        raise _refused(place)
    shown = check_characters(value, place)
    reading.texts.append(shown)
    return shown


def _column(reading: Reading, value: Any, place: str) -> str:
    return reading.column(value, place)


def _flag(_: Reading, value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise _refused(place)
    return value


def _whole(reading: Reading, value: Any, place: str) -> int:
    del reading
    if type(value) is not int or not SIZE[0] <= value <= SIZE[1]:
        raise _refused(place)
    return value


def _one_of(*values: Any) -> Rule:
    def rule(_: Reading, value: Any, place: str) -> Any:
        # 0 == False, and 1.0 == 1: what is written must be the very value.
        if not any(type(value) is type(one) and value == one for one in values):
            raise _refused(place)
        return value

    return rule


def _record(rules: Mapping[str, Rule], *needed: str) -> Rule:
    def rule(reading: Reading, value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict) or not set(needed) <= set(value):
            raise _refused(place)
        for key in value:
            if key not in rules:
                raise _refused(f"{place}.{key}")
        return {key: rules[key](reading, one, f"{place}.{key}") for key, one in value.items()}

    return rule


def _either(kind: type, rule: Rule, other: Rule) -> Rule:
    """Read by ``rule`` what is of a kind, all else by ``other``."""
    return lambda reading, value, place: (rule if isinstance(value, kind) else other)(reading, value, place)


def _several(rule: Rule, most: int) -> Rule:
    def several(reading: Reading, value: Any, place: str) -> list[Any]:
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            raise _refused(place)
        return [rule(reading, one, f"{place}[{number}]") for number, one in enumerate(value)]

    return several


_NULL = _one_of(None)
_TITLE = _either(str, _text, _NULL)
_AXIS = _record({"title": _TITLE, "format": _one_of(*FORMATS), "grid": _flag, "labelAngle": _one_of(0, -45, -90)})
_LEGEND = _record({"title": _TITLE, "format": _one_of(*FORMATS)})
_SCALE = _record({"type": _one_of("linear", "log", "sqrt"), "zero": _flag, "scheme": _one_of(*SCHEMES)})
_CHANNEL = _record(
    {
        "field": _column,
        "type": _one_of(*KINDS),
        "title": _TITLE,
        "axis": _either(dict, _AXIS, _NULL),
        "legend": _either(dict, _LEGEND, _NULL),
        "scale": _SCALE,
        "sort": _one_of(*SORTS),
        "stack": _one_of("zero", "normalize", True, False, None),
        "format": _one_of(*FORMATS),
    },
    "field",
    "type",
)
_SECOND = _record({"field": _column}, "field")
_INK = _record({"value": _one_of(*INKS)}, "value")
_CHANNELS = ("x", "y", "xOffset", "yOffset", "shape", "size", "theta", "text", "row", "column")


def _colour(reading: Reading, value: Any, place: str) -> Any:
    return (_INK if isinstance(value, dict) and "value" in value else _CHANNEL)(reading, value, place)


_ENCODING = _record({**dict.fromkeys(_CHANNELS, _CHANNEL), "x2": _SECOND, "y2": _SECOND, "color": _colour})
_MARK = _either(str, _one_of(*MARKS), _record({"type": _one_of(*MARKS), "filled": _flag, "point": _flag}, "type"))
_UNIT = _record({"mark": _MARK, "encoding": _ENCODING}, "mark", "encoding")
_WHOLE = _record(
    {
        "$schema": _one_of(SCHEMA),
        "title": _either(str, _text, _record({"text": _text, "subtitle": _text}, "text")),
        "mark": _MARK,
        "encoding": _ENCODING,
        "layer": _several(_UNIT, MOST_LAYERS),
        "width": _whole,
        "height": _whole,
    }
)
