"""Filling: every placeholder becomes a released value, a released table or a released picture (law 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from export_gate.chart.numbers import Numbers
from export_gate.report.blocks import Node
from export_gate.report.placeholders import Placeholder
from lineage.errors import DefinitionError


NOT_TOLD = "—"


@dataclass(frozen=True)
class Material:
    """What a product gives to others: its numbers, or its picture (PNG)."""

    numbers: Numbers | None = None
    picture: bytes | None = None

    def __post_init__(self) -> None:
        """Refuse neither and both."""
        if (self.numbers is None) is (self.picture is None):
            raise ValueError("a product gives numbers or a picture")


def fill(blocks: Sequence[Node], placeholders: Sequence[Placeholder], materials: Mapping[str, Material]) -> list[Node]:
    """Give the tree with every slot filled.

    Raises:
        DefinitionError: the product is of another kind, the cell does not exist, or a table stands inside a sentence.
    """
    return [_block(one, placeholders, materials) for one in blocks]


def _block(block: Node, placeholders: Sequence[Placeholder], materials: Mapping[str, Material]) -> Node:
    alone = _alone(block)
    if alone is not None and placeholders[alone].asked != "cell":
        return _inserted(placeholders[alone], materials)
    filled: dict[str, Any] = dict(block)
    if "parts" in block:
        filled["parts"] = [_part(one, placeholders, materials) for one in block["parts"]]
    if "blocks" in block:
        filled["blocks"] = fill(block["blocks"], placeholders, materials)
    return filled


def _alone(block: Node) -> int | None:
    """Give the slot that is all of a paragraph."""
    if block["kind"] != "paragraph" or len(block["blocks"]) != 1:
        return None
    parts = block["blocks"][0].get("parts", [])
    return parts[0]["slot"] if len(parts) == 1 and "slot" in parts[0] else None


def _inserted(one: Placeholder, materials: Mapping[str, Material]) -> Node:
    material = materials[one.product]
    if one.asked == "chart":
        if material.picture is None:
            raise DefinitionError("report.other-kind", product=one.product)
        return {"kind": "picture", "product": one.product}
    numbers = _numbers(one, material)
    rows = [[NOT_TOLD if value is None else value for value in row] for row in numbers.rows]
    return {"kind": "numbers", "columns": list(numbers.columns), "rows": rows}


def _part(part: Node, placeholders: Sequence[Placeholder], materials: Mapping[str, Material]) -> Node:
    if "slot" not in part:
        return part
    one = placeholders[part["slot"]]
    if one.asked != "cell":
        raise DefinitionError("report.not-alone", product=one.product)
    value = _numbers(one, materials[one.product]).cell(one.column, one.keys)
    return {"text": NOT_TOLD if value is None else value, "bold": part["bold"], "slanted": part["slanted"]}


def _numbers(one: Placeholder, material: Material) -> Numbers:
    if material.numbers is None:
        raise DefinitionError("report.other-kind", product=one.product)
    return material.numbers
