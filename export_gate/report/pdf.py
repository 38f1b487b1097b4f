"""The report as PDF, set by Typst from a fixed template: equal reports are equal bytes, with no date, author or random identifier (B23)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from export_gate.chart.fonts import font_folder
from export_gate.report.blocks import Node
from lineage.errors import DefinitionError


TEMPLATE: Final = Path(__file__).parent / "template.typ"


def to_pdf(blocks: Sequence[Node], title: str, pictures: Mapping[str, bytes]) -> bytes:
    """Set the page.

    Raises:
        DefinitionError: Typst does not take it.
        MissingPartError: the font is missing.
    """
    import typst

    report = json.dumps({"title": title, "blocks": list(blocks)}, ensure_ascii=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / TEMPLATE.name).write_bytes(TEMPLATE.read_bytes())
        for product, data in pictures.items():
            (folder / f"{product}.png").write_bytes(data)
        try:
            made = typst.compile(
                str(folder / TEMPLATE.name),
                root=name,
                font_paths=[str(font_folder())],
                ignore_system_fonts=True,
                format="pdf",
                sys_inputs={"report": report},
                timestamp=0,
            )
        except RuntimeError as error:
            raise DefinitionError("report.not-set") from error
    return bytes(made)
