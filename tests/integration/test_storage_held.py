"""What runs leave behind lies sealed like the tables they read, and ends with their tenant (D11, law 10)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from jobs import holding
from jobs.runs import Run
from jobs.runs import Stage as RunStage
from jobs.states import RunState
from lineage.errors import MissingPartError
from sandbox import domain, ending
from tests.factories import Stage, World, refused
from tests.fixtures_domain import WorldAt


pytestmark = [
    pytest.mark.jail,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount for others"),
    pytest.mark.skipif(shutil.which("gocryptfs") is None, reason="gocryptfs is not installed"),
]

ROW = "resident 220104199001011234"
RUN = Run("R-1", "J-1", 0, RunStage.DEVELOPMENT, RunState.SUCCEEDED, "", "", "", None, None, None, None)


@pytest.fixture
def world(world_at: WorldAt, monkeypatch: pytest.MonkeyPatch) -> World:
    """A run that left an outbox and a log, on storage that is sealed for real."""
    made = world_at(Stage.GRANTED)
    settings = made.domain.home / "domain.toml"
    settings.write_text(settings.read_text().replace('storage = "none"', 'storage = "gocryptfs"'))
    made.domain = domain.open_domain(made.domain.home, clock=made.hands)
    # Whose run it is: queueing one would try the jail first, which has tests of its own.
    monkeypatch.setattr(holding, "_tenant", lambda *_about: made.ids["medica"])
    with holding.outbox_opened(made.domain, RUN.id) as outbox:
        outbox.mkdir()
        (outbox / "rows.csv").write_text(ROW)
    with holding.held_opened(made.domain, RUN.id, holding.log_of(made.domain, RUN.id)) as folder:
        (folder / holding.LOG).write_text(f"read {ROW}\n")
    return made


def in_clear(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if ROW.encode() in path.read_bytes() or path.name == "rows.csv"]


def read_log(world: World) -> str:
    return holding.read_log(world.domain, RUN)


def test_neither_names_nor_rows_lie_in_clear(world: World) -> None:
    assert in_clear(world.domain.home / "held") == []


def test_trusted_code_reads_them_again(world: World) -> None:
    with holding.outbox_opened(world.domain, RUN.id) as outbox:
        assert (outbox / "rows.csv").read_text() == ROW
    assert read_log(world) == f"read {ROW}\n"


def test_an_outbox_that_is_dropped_leaves_the_log(world: World) -> None:
    holding.drop_outbox(world.domain, RUN.id)
    holding.drop_outbox(world.domain, RUN.id)
    assert not holding.outbox_of(world.domain, RUN.id).exists()
    assert ROW in read_log(world)


def test_a_copy_gives_nothing_after_the_end(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.domain.home / "held", tmp_path / "held")
    shutil.copytree(world.domain.home / "keys", tmp_path / "keys")
    ending.end_agreement(world.domain, world.session("officer"), world.ids["agreement"], "over")
    assert not world.domain.held(world.ids["medica"]).exists()
    for name in ("held", "keys"):
        shutil.copytree(tmp_path / name, world.domain.home / name, dirs_exist_ok=True)
    with refused(MissingPartError, "key.missing"):
        read_log(world)
    with (
        refused(MissingPartError, "key.missing"),
        holding.outbox_opened(world.domain, RUN.id),
    ):
        pytest.fail("opened after the end")
