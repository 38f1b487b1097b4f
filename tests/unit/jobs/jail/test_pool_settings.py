"""How many warm jails a domain keeps."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from jobs.jail.pool_settings import WAITING, default_tables, pooled, read_kinds
from jobs.jail.spec import MEBIBYTE, Capability, Jail
from lineage.errors import DefinitionError


GIBIBYTE = 1024 * MEBIBYTE


def kinds_of(home: Path, text: str) -> list[tuple[str, int, int, int]]:
    found = read_kinds(tomllib.loads(text), home / "jars")
    return [(kind.name, kind.limits.cores, kind.limits.memory_bytes // MEBIBYTE, kind.count) for kind in found]


def test_what_is_written_is_kept(tmp_path: Path) -> None:
    text = '[[warm]]\nruntime = "python"\ncores = 2\nmemory = "512m"\ncount = 3\n[[warm]]\nruntime = "python"'
    assert kinds_of(tmp_path, text) == [("python", 2, 512, 3), ("python", 1, 2048, 1)]


def test_none_is_none(tmp_path: Path) -> None:
    assert kinds_of(tmp_path, "warm = []") == []


@pytest.mark.parametrize(
    ("free", "kept"), [(4 * GIBIBYTE, []), (8 * GIBIBYTE, []), (16 * GIBIBYTE, ["spark", "python"])]
)
def test_without_a_word_the_free_memory_decides(free: int, kept: list[str]) -> None:
    assert [table["runtime"] for table in default_tables(free)] == kept


def test_what_waits_is_a_small_part_of_the_memory() -> None:
    least = next(size for size in range(GIBIBYTE, 64 * GIBIBYTE, GIBIBYTE) if default_tables(size))
    assert sum(WAITING.values()) * 16 <= least


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('warm = "yes"', "warm"),
        ("warm = [1]", "warm"),
        ('[[warm]]\nruntime = "ruby"', "runtime"),
        ("[[warm]]\ncores = 1", "runtime"),
        ('[[warm]]\nruntime = "python"\ncores = 0', "cores"),
        ('[[warm]]\nruntime = "python"\ncores = true', "cores"),
        ('[[warm]]\nruntime = "python"\ncount = 65', "count"),
        ('[[warm]]\nruntime = "python"\nmemory = "lots"', "memory"),
        ('[[warm]]\nruntime = "python"\nmemory = 2', "memory"),
        ('[[warm]]\nruntime = "python"\nuid = 7', "'uid'"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(tmp_path: Path, text: str, name: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        kinds_of(tmp_path, text)
    assert (caught.value.code, caught.value.params["name"]) == ("pool.bad-setting", name)


def test_limits_outside_the_jails_own_bounds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"jail\.bad-limit"):
        kinds_of(tmp_path, '[[warm]]\nruntime = "python"\nmemory = "1m"')


class OtherJail:
    """A jail of another backend."""

    def capability(self) -> Capability:
        """Whole, as far as this test goes."""
        return Capability(network=True, files=True, uid=True, limits=True, kernel=True)


def test_a_jail_that_cannot_be_entered_late_is_given_back_as_it_is(tmp_path: Path) -> None:
    jail: Jail = OtherJail()  # type: ignore[assignment] # only asked for its kind
    with pooled(jail, {"warm": [{"runtime": "python"}]}, tmp_path / "warm", tmp_path) as given:
        assert given is jail
    assert not (tmp_path / "warm").exists()
