"""Worlds for tests: walked once a run and stage, then copied for each test that asks."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.factories import Stage, World, found, walk


WorldAt = Callable[[Stage], World]


MEMORY = Path("/dev/shm")


@contextmanager
def quick_folder() -> Iterator[Path]:
    """Make a folder in memory where there is one: every transaction syncs the disk, and a test's disk holds nothing to keep."""
    place = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="shuzha-test-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def unit_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let domains of this test keep their folders unsealed."""
    monkeypatch.setenv("SHUZHA_UNIT_TESTS", "1")


@pytest.fixture(scope="session")
def world_templates() -> Iterator[WorldAt]:
    """One world a stage that nobody but this fixture changes."""
    made: dict[Stage, World] = {}

    def give(stage: Stage) -> World:
        if stage not in made:
            home = folder / stage.name / "home"
            home.parent.mkdir()
            made[stage] = found(home) if stage is Stage.FOUNDED else walk(give(Stage(stage - 1)).copy(home), stage)
        return made[stage]

    with quick_folder() as folder:
        yield give


@pytest.fixture
def world_at(world_templates: WorldAt, unit_storage: None) -> Iterator[WorldAt]:
    """Give a world of the test's own at a stage, on SQLite."""
    numbers = itertools.count()
    with quick_folder() as folder:
        yield lambda stage: world_templates(stage).copy(folder / f"world-{next(numbers)}" / "home")


@pytest.fixture
def world_on(world_templates: WorldAt, unit_storage: None, database_url: str) -> Iterator[WorldAt]:
    """Give a world of the test's own at a stage, once on SQLite and once on PostgreSQL; only once a test."""
    url = None if database_url.startswith("sqlite") else database_url
    with quick_folder() as folder:
        yield lambda stage: world_templates(stage).copy(folder / "home", url)
