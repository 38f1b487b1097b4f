"""The subset of Vega-Lite: what it reads comes out anew, and a product's numbers go in unchanged (B22)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export_gate.chart.fonts import font_folder
from export_gate.chart.grammar import read_spec
from export_gate.chart.numbers import MOST_ROWS, Numbers
from lineage.errors import DefinitionError, MissingPartError
from tests.factories import refused


COLUMNS = ("district", "visits", "visits_low", "visits_high")


def layered() -> dict[str, Any]:
    x = {"field": "district", "type": "nominal"}
    return {
        "layer": [
            {"mark": "bar", "encoding": {"x": x, "y": {"field": "visits", "type": "quantitative", "title": "人次"}}},
            {
                "mark": "rule",
                "encoding": {
                    "x": x,
                    "y": {"field": "visits_low", "type": "quantitative"},
                    "y2": {"field": "visits_high"},
                },
            },
        ]
    }


def test_columns_are_named_by_place_and_layers_share_their_titles() -> None:
    described = read_spec(json.dumps(layered()), COLUMNS)
    first, second = (one["encoding"] for one in described.spec["layer"])
    assert first["x"] == {"field": "c0", "type": "nominal", "title": "district"}
    assert second["y"] == {"field": "c2", "type": "quantitative", "title": "人次"}
    assert second["y2"] == {"field": "c3"}
    assert described.texts == ("人次",)


@pytest.mark.parametrize(
    "broken", ["", "[", "[]", "3", '{"mark": "bar"}', "{}", '{"layer": [], "mark": "bar"}', "[" * 70_000, "NaN"]
)
def test_what_is_no_chart_is_refused(broken: str) -> None:
    with pytest.raises(DefinitionError):
        read_spec(broken, COLUMNS)


KEYS = st.sampled_from(
    ["mark", "encoding", "x", "field", "type", "title", "data", "url", "layer", "scale", "domain", "values", "expr"]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.sampled_from(["bar", "nominal", "visits", "x"]),
)
ANY = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@given(ANY)
def test_nothing_but_the_subset_comes_out(value: Any) -> None:
    """Whatever is handed in: an error of ours, or a description in which no number but a size was typed."""
    try:
        described = read_spec(json.dumps(value), COLUMNS)
    except DefinitionError:
        return
    text = json.dumps(described.spec)
    assert not {"data", "url", "domain", "values", "expr"} & set(json.loads(text))


def test_numbers_are_read_as_they_were_released() -> None:
    numbers = Numbers.from_csv('district,visits\n"北,城",1234.50\nsouth,\n'.encode())
    assert numbers.rows == (("北,城", "1234.50"), ("south", None))
    assert numbers.records() == [{"c0": "北,城", "c1": 1234.5}, {"c0": "south", "c1": None}]
    assert Numbers.from_json(numbers.json) == numbers
    assert numbers.cell("visits", {"district": "北,城"}) == "1234.50"
    assert numbers.cell("visits", {"district": "south"}) is None


@pytest.mark.parametrize(
    ("column", "keys", "code"),
    [
        ("x", {}, "column"),
        ("visits", {"y": "1"}, "column"),
        ("visits", {}, "cell"),
        ("visits", {"district": "east"}, "cell"),
    ],
)
def test_a_cell_is_exactly_one(column: str, keys: dict[str, str], code: str) -> None:
    numbers = Numbers(("district", "visits"), (("north", "1"), ("south", "2")))
    with refused(DefinitionError, f"report.no-such-{code}"):
        numbers.cell(column, keys)


def test_too_much_for_a_picture_is_refused() -> None:
    with refused(DefinitionError, "chart.too-many-rows"):
        Numbers(("n",), tuple((str(number),) for number in range(MOST_ROWS + 1)))


def test_without_the_font_nothing_is_drawn(tmp_path: Any) -> None:
    with refused(MissingPartError, "chart.no-font"):
        font_folder(tmp_path)
