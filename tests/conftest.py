"""Fixtures for every test live in the ``fixtures_*`` modules beside this file; here the run is split into parts."""

from __future__ import annotations

from pathlib import Path

import pytest


pytest_plugins = sorted(f"tests.{path.stem}" for path in Path(__file__).parent.glob("fixtures_*.py"))


PARTS = ("spark", "jail", "rest")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take a part: the run is spread over two cores, and only one process of it starts a Spark session."""
    parser.addoption(
        "--part", choices=PARTS, help="only tests of the Spark session, of a real jail without it, or the rest"
    )


def part_of(item: pytest.Item) -> str:
    """Give the one part that a test belongs to."""
    if "spark" in getattr(item, "fixturenames", ()):
        return "spark"
    return "jail" if item.get_closest_marker("jail") else "rest"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the part that was asked for."""
    part = config.getoption("--part")
    if part is not None:
        config.hook.pytest_deselected(items=[item for item in items if part_of(item) != part])
        items[:] = [item for item in items if part_of(item) == part]
