"""Write the table of ``docs/jail.md``: every protection with the probe that gets out without it; a test keeps the page equal.

``python -m infra.jail_page`` rewrites what stands between the two marks.
"""

from __future__ import annotations

from pathlib import Path

from jobs.jail.battery.protections import table


PAGE = Path(__file__).parents[1] / "docs" / "jail.md"
BEGIN, END = "<!-- protections: python -m infra.jail_page -->", "<!-- end -->"


def written(text: str) -> str:
    """Give the page's text with the table as it is in code.

    Raises:
        ValueError: a mark is missing.
    """
    head, _, rest = text.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise ValueError(f"{PAGE.name} has lost its marks")
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
