"""What a program is given to run with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jobs.jail.runtimes import python_runtime, spark_runtime, with_sources
from jobs.jail.spec import check_host_path, check_inside_path
from jobs.sdk import spark_session
from lineage.errors import MissingPartError


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    (tmp_path / "delta.jar").touch()
    return tmp_path


def test_every_mount_is_one_that_a_jail_accepts(jars: Path) -> None:
    for runtime in (python_runtime(), spark_runtime(2, 1 << 30, jars), with_sources(python_runtime())):
        for inside, host in runtime.read_only.items():
            check_inside_path(inside)
            check_host_path(inside, host)


def test_the_moved_interpreter_finds_its_own_library() -> None:
    runtime = python_runtime()
    prefix = "/usr" if sys.base_prefix == "/usr" else "/opt/py"
    assert runtime.argv[0].startswith(f"{prefix}/bin/python3")
    assert runtime.environment["LD_LIBRARY_PATH"] == f"{prefix}/lib"


def test_a_tenant_sees_the_sdk_and_no_other_package_of_ours(jars: Path) -> None:
    runtime = spark_runtime(2, 1 << 30, jars)
    repository = Path(__file__).resolve().parents[4]
    ours = {
        host.relative_to(repository).as_posix()
        for host in runtime.read_only.values()
        if host.is_relative_to(repository)
    }
    assert {name for name in ours if not name.startswith((".venv", ".jars"))} == {"jobs/sdk"}


def test_the_gates_worker_sees_our_packages_but_not_the_repository() -> None:
    runtime = with_sources(python_runtime())
    assert "/opt/shuzha/export_gate" in runtime.read_only
    assert "/opt/shuzha" not in runtime.read_only
    assert runtime.environment["PYTHONPATH"].endswith(":/opt/shuzha")


def test_no_jars_no_spark(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError):
        spark_runtime(2, 1 << 30, tmp_path)


def test_spark_talks_to_its_own_loopback_only() -> None:
    settings = spark_session.settings(2)
    assert settings["spark.driver.bindAddress"] == settings["spark.driver.host"] == "127.0.0.1"
    assert settings["spark.ui.enabled"] == "false"


def test_the_class_path_has_one_order_and_the_archive_is_used_where_it_is(jars: Path, tmp_path: Path) -> None:
    home = tmp_path / "spark"
    (home / "jars").mkdir(parents=True)
    for name in ("b.jar", "a.jar", "not-a-jar"):
        (home / "jars" / name).touch()
    without = spark_session.java_command(2, 1 << 30, home, jars)
    assert without[without.index("-cp") + 1] == f"{home}/jars/a.jar:{home}/jars/b.jar:{jars}/delta.jar"
    assert not [option for option in without if "SharedArchiveFile" in option]
    (jars / spark_session.ARCHIVE).touch()
    assert f"-XX:SharedArchiveFile={jars}/spark.jsa" in spark_session.java_command(2, 1 << 30, home, jars)
    assert "-XX:TieredStopAtLevel=1" not in spark_session.java_command(8, 1 << 30, home, jars)
