"""A full disk: the target is gone, whatever had been written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lineage.errors import MissingPartError
from sandbox.grants import Zone
from tests.fixtures_desensitize import RESIDENTS, residents


if TYPE_CHECKING:
    from tests.fixtures_desensitize import Town

pytestmark = [pytest.mark.spark, pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True)
    yield folder
    # Lazily: the engine closes the file it could not finish when it likes.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("zone", list(Zone))
def test_a_full_disk_leaves_nothing(town: Town, small_disk: Path, zone: Zone) -> None:
    raw = town.raw(residents(6000), RESIDENTS)
    with pytest.raises(MissingPartError, match=r"desensitize\.failed"):
        town.provision(raw, RESIDENTS, zone, into=small_disk / "table")
    assert list(small_disk.iterdir()) == []
