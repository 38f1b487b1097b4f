"""Every kind of attack is a whole triplet of tests that exist; a check without an innocent twin is not accepted."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.redteam.registry import TRIPLETS, Chosen, Part, Triplet, count, modules


ROOT = Path(__file__).resolve().parents[2]


@cache
def collected() -> tuple[tuple[str, str], ...]:
    """The tests that pytest finds in the registry's modules, as module and name."""
    files = [f"tests/attack/{module}.py" for module in modules()]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts=", "-p", "no:randomly", *files]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=240).stdout
    nodes = (line.split("::", 1) for line in told.splitlines() if "::" in line)
    return tuple((Path(file).stem, name) for file, name in nodes)


@pytest.mark.parametrize("part", Part)
def test_every_row_has_tests_for_every_part(part: Part) -> None:
    found = count(collected())
    assert [row.id for row in TRIPLETS if not found[row.id, part]] == []


def test_rows_have_names_of_their_own() -> None:
    assert len({row.id for row in TRIPLETS}) == len(TRIPLETS)


def test_a_row_without_an_innocent_twin_cannot_be_made() -> None:
    one = (Chosen("test_x", "test_leak"),)
    with pytest.raises(ValueError, match="no triplet"):
        Triplet("B0", "no twin", one, one, ())


def test_a_test_plays_one_part() -> None:
    row = Triplet("B0", "", (Chosen("m", "f", "^a"),), (Chosen("m", "f", "^b"),), (Chosen("m", "g"),))
    names = ("f[a]", "f[b]", "g", "f[c]")
    assert [row.part_of("m", name) for name in names] == [Part.LEAK, Part.DISGUISE, Part.INNOCENT, None]
    assert row.part_of("other", "f[a]") is None
