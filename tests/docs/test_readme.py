"""What the README tells people to type works: its blocks run as they stand, in order, in one shell and one new domain."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
TOUR = [block for block in BLOCKS if not block.startswith("make ")]
TITLES = ("opening and people", "data in", "agreement to approval", "promotion and export", "review to verification")
LONGEST = 900
"""Seconds; the tour takes about one minute of two idle cores."""


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Run all blocks of the tour in one shell that stops at the first failure and says which blocks it finished."""
    folder = tmp_path_factory.mktemp("newcomer")
    script = "set -euo pipefail\n" + "".join(
        f"{block}\necho {number} >> finished\n" for number, block in enumerate(TOUR)
    )
    path = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", "SHUZHA_LANG": "en"},
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    return folder, done


def test_the_tour_is_the_readmes() -> None:
    assert len(TOUR) == len(TITLES)
    assert len(BLOCKS) == len(TOUR) + 1


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)$", README, re.MULTILINE))
def test_make_knows_the_target(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.jail
@pytest.mark.parametrize("number", range(len(TITLES)), ids=TITLES)
def test_a_block_works(tour: tuple[Path, subprocess.CompletedProcess[str]], number: int) -> None:
    folder, done = tour
    finished = (folder / "finished").read_text(encoding="ascii").split() if (folder / "finished").exists() else []
    assert str(number) in finished, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.jail
def test_the_tour_ends_with_a_product(tour: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = tour
    assert done.returncode == 0, done.stderr[-2000:]
    (release,) = (path for path in (folder / "received").iterdir() if path.is_dir())
    lines = (release / "data/data.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split(",")[:2] == ["education", "people"]
    assert {line.split(",")[0] for line in lines[1:]} == {"Bachelors", "HS-grad", "Masters", "Some-college"}
    assert "holds: True" in done.stdout
