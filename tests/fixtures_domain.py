"""Worlds for tests: walked once a run and stage, then copied for each test that asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.factories import Stage, World, found, walk


WorldAt = Callable[[Stage], World]


@pytest.fixture
def unit_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let domains of this test keep their folders unsealed."""
    monkeypatch.setenv("SHUZHA_UNIT_TESTS", "1")


@pytest.fixture(scope="session")
def world_templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorldAt]:
    """One world a stage that nobody but this fixture changes."""
    folder = tmp_path_factory.mktemp("worlds")
    made: dict[Stage, World] = {}

    def give(stage: Stage) -> World:
        if stage not in made:
            home = folder / stage.name / "home"
            home.parent.mkdir()
            made[stage] = found(home) if stage is Stage.FOUNDED else walk(give(Stage(stage - 1)).copy(home), stage)
        return made[stage]

    yield give
    made.clear()


@pytest.fixture
def world_at(world_templates: WorldAt, unit_storage: None, tmp_path: Path) -> WorldAt:
    """Give a world of the test's own at a stage, on SQLite."""
    count = 0

    def give(stage: Stage) -> World:
        nonlocal count
        count += 1
        return world_templates(stage).copy(tmp_path / f"world-{count}" / "home")

    return give


@pytest.fixture
def world_on(world_templates: WorldAt, unit_storage: None, database_url: str, tmp_path: Path) -> WorldAt:
    """Give a world of the test's own at a stage, once on SQLite and once on PostgreSQL; only once a test."""
    url = None if database_url.startswith("sqlite") else database_url
    return lambda stage: world_templates(stage).copy(tmp_path / "home", url)
