"""Fixtures for every test live in the ``fixtures_*`` modules beside this file."""

from __future__ import annotations

from pathlib import Path


pytest_plugins = sorted(f"tests.{path.stem}" for path in Path(__file__).parent.glob("fixtures_*.py"))
