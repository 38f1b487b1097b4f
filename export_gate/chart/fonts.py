"""The one font that pictures and pages are set in: without Han glyphs a label is a row of empty boxes, so without it nothing is drawn."""

from __future__ import annotations

from pathlib import Path

from lineage.errors import MissingPartError


FAMILY = "Noto Sans CJK SC"
FOLDER = Path("/usr/share/fonts/opentype/noto")
_FILES = ("NotoSansCJK-Regular.ttc", "NotoSansCJK-Bold.ttc")


def font_folder(folder: Path = FOLDER) -> Path:
    """Give the folder of the font.

    Raises:
        MissingPartError: it is not installed (law 7).
    """
    if not all((folder / name).is_file() for name in _FILES):
        raise MissingPartError("chart.no-font", font=FAMILY)
    return folder
