"""Fixtures for every test live in the ``fixtures_*`` modules beside this file; here the run is split into halves."""

from __future__ import annotations

from pathlib import Path

import pytest


pytest_plugins = sorted(f"tests.{path.stem}" for path in Path(__file__).parent.glob("fixtures_*.py"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take a half: two processes run the whole on two cores, and only one of them starts a Spark session."""
    parser.addoption(
        "--half", choices=("spark", "rest"), help="only the tests that need the Spark session, or only the rest"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the half that was asked for; every test is in exactly one."""
    half = config.getoption("--half")
    if half is None:
        return
    chosen = {True: list[pytest.Item](), False: list[pytest.Item]()}
    for item in items:
        chosen["spark" in getattr(item, "fixturenames", ())].append(item)
    config.hook.pytest_deselected(items=chosen[half == "rest"])
    items[:] = chosen[half == "spark"]
