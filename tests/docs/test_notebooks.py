"""Every cell of every walk-through runs on the domain that the demo leaves behind; a refusal is where one is promised and nowhere else."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures_story import Played


ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def read(path: Path) -> list[Mapping[str, Any]]:
    cells: list[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does; gives the value of its last expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)  # noqa: S102 - the repository's own pages
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None  # noqa: S307


def test_there_are_walks_and_they_keep_no_output() -> None:
    assert {path.stem for path in NOTEBOOKS} == {"auditor", "authority", "processor"}
    assert all(not cell["outputs"] for path in NOTEBOOKS for cell in read(path))


@pytest.mark.jail
@pytest.mark.spark
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(played: Played, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUZHA_HOME", str(played.home))
    monkeypatch.setenv("PATH", str(ROOT / ".venv/bin"), prepend=":")
    names: dict[str, Any] = {}
    for number, cell in enumerate(read(path)):
        source = "".join(cell["source"])
        value = run_cell(source, names)
        refused = isinstance(value, Mapping) and {"code", "what", "fix"} <= set(value)
        assert refused == ("refused" in cell["metadata"].get("tags", [])), f"cell {number}: {source}\n{value}"
        assert refused or value not in ([], {}) or "problems" in source, f"cell {number} shows nothing: {source}"
        assert not isinstance(value, Mapping) or "error" not in value, f"cell {number}: {value}"
        assert not isinstance(value, Mapping) or value.get("holds", True)
