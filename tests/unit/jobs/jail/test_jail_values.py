"""The values a jail is told: what would weaken it cannot be written down."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from jobs.jail.spec import LOWEST_UID, Capability, Ending, JailSpec, Limits
from lineage.errors import DefinitionError, MissingPartError
from sandbox.messages import Language, catalogue, explain, text


NAME = "run-0123456789abcdef"


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "visits").mkdir()
    return {
        "name": NAME,
        "workspace": tmp_path / "run",
        "uid": LOWEST_UID,
        "argv": ("/usr/bin/true",),
        "environment": {"LANG": "C.UTF-8"},
        "read_only": {"/in/visits": tmp_path / "visits"},
    }


def test_a_sound_specification_is_frozen(given: dict[str, Any]) -> None:
    spec = JailSpec(**given)
    with pytest.raises(TypeError):
        spec.read_only["/in/other"] = Path("/etc")  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.uid = 0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        pytest.param("name", "short", "jail.bad-name", id="a name that can be guessed"),
        pytest.param("name", "run-../../../etc-0123", "jail.bad-name", id="a name that climbs"),
        pytest.param("name", "run 0123456789abc\n", "jail.bad-name", id="a name with a line break"),
        pytest.param("uid", 0, "jail.bad-uid", id="root"),
        pytest.param("uid", LOWEST_UID - 1, "jail.bad-uid", id="a uid of the host"),
        pytest.param("uid", 2**32 - 1, "jail.bad-uid", id="the uid that means none"),
        pytest.param("workspace", Path("run"), "jail.bad-workspace", id="a relative workspace"),
        pytest.param("workspace", Path("/srv"), "jail.bad-workspace", id="a folder of the root as workspace"),
        pytest.param("workspace", Path("/srv/x/../y"), "jail.bad-workspace", id="a workspace that climbs"),
        pytest.param("argv", (), "jail.bad-program", id="no program"),
        pytest.param("argv", ("sh", "a\0b"), "jail.bad-program", id="an argument that ends early"),
        pytest.param("environment", {"A=B": "c"}, "jail.bad-program", id="a variable name with an equals sign"),
        pytest.param("environment", {"A": "b\0--bind"}, "jail.bad-program", id="a value that becomes an option"),
    ],
)
def test_refused(given: dict[str, Any], field: str, value: Any, code: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        JailSpec(**{**given, field: value})
    assert caught.value.code == code
    assert explain(caught.value, Language.EN).fix


@pytest.mark.parametrize(
    "inside",
    [
        *(
            "/",
            "/in",
            "/opt",
            "/etc",
            "in/visits",
            "/in/../etc",
            "/in/visits/",
            "//in",
            "//proc",
            "/./proc",
            "/in//a",
            "/in/.a",
        ),
        *(
            "/proc",
            "/proc/self",
            "/dev/shm",
            "/tmp/x",
            "/out",
            "/usr/lib",
            "/lib",
            "/etc/passwd",
            "/in/a\nb",
            "/in/表",
            "",
        ),
    ],
)
def test_a_mount_may_not_cover_the_jails_own(given: dict[str, Any], tmp_path: Path, inside: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        JailSpec(**{**given, "read_only": {inside: tmp_path}})
    assert caught.value.code == "jail.bad-mount"
    assert str(caught.value.params["path"]).isascii()
    assert str(caught.value.params["path"]).isprintable()


def test_mounts_may_not_overlap(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as caught:
        JailSpec(**{**given, "read_only": {"/in/a": tmp_path, "/in/a/b": tmp_path}})
    assert caught.value.code == "jail.bad-mount"


def test_a_source_may_not_be_a_link_a_device_or_the_whole_host(given: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    for host in (tmp_path / "link", Path("/"), Path("/dev/null"), Path("relative"), tmp_path / ".." / "x"):
        with pytest.raises(DefinitionError) as caught:
            JailSpec(**{**given, "read_only": {"/in/a": host}})
        assert caught.value.code == "jail.bad-source"


def test_a_missing_source_is_a_missing_part(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(MissingPartError) as caught:
        JailSpec(**{**given, "read_only": {"/in/a": tmp_path / "nowhere"}})
    assert caught.value.code == "jail.input-missing"


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Limits)])
def test_no_limit_may_be_absent_or_endless(field: str) -> None:
    for value in (0, -1, 1 << 60, None, 1.5):
        with pytest.raises(DefinitionError) as caught:
            Limits(**{field: value})  # type: ignore[arg-type]
        assert caught.value.params["limit"] == field


def test_a_jail_without_limits_is_not_whole() -> None:
    whole = Capability(network=True, files=True, uid=True, limits=True, kernel=False)
    assert whole.whole
    for absent in ("network", "files", "uid", "limits"):
        assert not dataclasses.replace(whole, kernel=True, **{absent: False}).whole  # type: ignore[arg-type]


def test_every_ending_has_a_name_for_people() -> None:
    for ending in Ending:
        assert text(f"reason.ended.{ending}", Language.ZH)
    named = {code for code in catalogue() if code.startswith("reason.ended.")}
    assert named == {f"reason.ended.{ending}" for ending in Ending}
