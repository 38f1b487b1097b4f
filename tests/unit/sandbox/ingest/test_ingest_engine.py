"""What the session factory refuses before it starts anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.errors import MissingPartError
from sandbox import engine


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    for name in engine.JARS:
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("name", engine.JARS)
def test_a_missing_jar_is_an_error(jars: Path, name: str) -> None:
    (jars / name).unlink()
    with pytest.raises(MissingPartError) as caught:
        engine.spark_session(jars)
    assert (caught.value.code, caught.value.params["jar"]) == ("import.jar-missing", name)


@pytest.mark.parametrize("memory", ["", "2", "2t", "0g", "-1g", "2g -XX:OnOutOfMemoryError=x", "2g\n"])
def test_memory_is_a_size_and_nothing_else(jars: Path, memory: str) -> None:
    with pytest.raises(ValueError, match="memory"):
        engine.spark_session(jars, memory)


def test_no_cores_is_no_size(jars: Path) -> None:
    with pytest.raises(ValueError, match="cores"):
        engine.spark_session(jars, cores=0)


def test_the_environment_names_the_jars_and_the_repository_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHUZHA_JARS", raising=False)
    assert engine.jars_folder() == Path(engine.__file__).parents[1] / ".jars"
    monkeypatch.setenv("SHUZHA_JARS", "/elsewhere")
    assert engine.jars_folder() == Path("/elsewhere")
