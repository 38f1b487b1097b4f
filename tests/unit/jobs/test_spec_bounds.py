"""What a manifest may ask for, and what a job's folder may hold: each limit, each disguise of a number or a name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.spec import InvalidJobError, digest_of, load_job
from lineage.errors import DefinitionError
from sandbox.messages import Language, explain


TOML = """[job]
name = "a-job"
scenario = "S-0001"
[inputs]
visits = "health.visits"
[[run]]
runtime = "python"
entry = "main.py"
{line}
[[product]]
name = "own"
kind = "opaque"
"""
LINE = 9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "job"
    made.mkdir()
    (made / "job.toml").write_text(TOML.format(line=""), encoding="utf-8")
    (made / "main.py").write_text("def main(job): ...", encoding="utf-8")
    return made


def problems(folder: Path) -> list[tuple[str, int, str]]:
    with pytest.raises(InvalidJobError) as caught:
        load_job(folder)
    for language in Language:
        # Whoever asks for too much is told what may be asked for, in words.
        assert all(explain(problem, language).fix for problem in caught.value.problems)
    return [(one.code, int(one.params["line"]), str(one.params.get("needs", ""))) for one in caught.value.problems]


@pytest.mark.parametrize(
    "value",
    [
        "1000000",
        "10000000000000000000000000",
        "65",
        "0x41",
        "0",
        "-1",
        "1.5",
        "1e9",
        "nan",
        "inf",
        "true",
        '"4"',
        "[1]",
    ],
)
def test_cores_beyond_a_machine(folder: Path, value: str) -> None:
    (folder / "job.toml").write_text(TOML.format(line=f"cores = {value}"))
    assert problems(folder) == [("job.wrong-value", LINE, "1…64")]


@pytest.mark.parametrize("value", ["10000000", "0", "-1", "99999999999999999999999", "1979-05-27", "1.0", '"20"'])
def test_minutes_beyond_a_day(folder: Path, value: str) -> None:
    (folder / "job.toml").write_text(TOML.format(line=f"minutes = {value}"))
    assert problems(folder) == [("job.wrong-value", LINE, "1…1440")]


@pytest.mark.parametrize(
    ("value", "needs"),
    [
        ('"999999g"', "256m…1024g"),
        ('"1025g"', "256m…1024g"),
        ('"255m"', "256m…1024g"),
        ('"0g"', "256m…1024g"),
        ('"1000000000g"', "512m | 4g"),
        ('"-4g"', "512m | 4g"),
        ('"4G"', "512m | 4g"),
        ('"4 g"', "512m | 4g"),
        ('"4gb"', "512m | 4g"),
        ('"\uff14g"', "512m | 4g"),
        ('"\u0664g"', "512m | 4g"),
        ('"4g\\u0000"', "512m | 4g"),
        ("4", "512m | 4g"),
        ("1000000000", "512m | 4g"),
    ],
)
def test_memory_beyond_a_machine(folder: Path, value: str, needs: str) -> None:
    (folder / "job.toml").write_text(TOML.format(line=f"memory = {value}"), encoding="utf-8")
    assert problems(folder) == [("job.wrong-value", LINE, needs)]


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [("cores = 64", "cores", 64), ("minutes = 1440", "minutes", 1440), ('memory = "1024g"', "memory_bytes", 1 << 40)],
)
def test_the_most_that_may_be_asked_for(folder: Path, line: str, field: str, value: int) -> None:
    (folder / "job.toml").write_text(TOML.format(line=line))
    assert getattr(load_job(folder).runs[0], field) == value


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\x00", "job.hidden-characters"),
        (b"\xef\xbb\xbf[job]", "job.hidden-characters"),
        ("# \u202e".encode(), "job.hidden-characters"),
        (b"[job]\rname = 1", "job.hidden-characters"),
        ("[job]".encode("utf-16"), "job.not-text"),
        ("# \u4e2d\u6587".encode("gbk"), "job.not-text"),
        (b"# \xed\xa0\x80", "job.not-text"),
        (b"#" * 70_000, "job.file-large"),
        (b"x = " + b"[" * 5000 + b"]" * 5000, "job.toml-syntax"),
    ],
)
def test_a_manifest_in_another_encoding(folder: Path, content: bytes, code: str) -> None:
    (folder / "job.toml").write_bytes(content)
    assert problems(folder)[0][0] == code


NAMES: dict[str, tuple[bytes, str]] = {
    "no text": (b"\xff\xfe", "job.bad-file-name"),
    "GBK": ("\u4e2d".encode("gbk"), "job.bad-file-name"),
    "line break": (b"a\nb", "job.bad-file-name"),
    "escape": (b"a\x1b[2Jb", "job.bad-file-name"),
    "reads backwards": ("a\u202egpj.py".encode(), "job.bad-file-name"),
    "no width": ("ma\u200bin.py".encode(), "job.bad-file-name"),
    "letters in two pieces": ("e\u0301.py".encode(), "job.bad-file-name"),
    "backslash": (b"a\\b", "job.path-escapes"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_that_deceives(folder: Path, name: str) -> None:
    raw, code = NAMES[name]
    os.close(os.open(os.fsencode(folder) + b"/" + raw, os.O_CREAT | os.O_WRONLY))
    with pytest.raises(DefinitionError) as caught:
        digest_of(folder)
    assert caught.value.code == code
    assert all(char.isprintable() for char in str(caught.value.params["path"]))


def test_a_name_in_chinese_is_a_name(folder: Path) -> None:
    (folder / "\u6570\u636e.py").touch()
    assert len(digest_of(folder)) == 64


def many(folder: Path) -> None:
    for number in range(201):
        (folder / f"f{number}").touch()


def hollow(folder: Path) -> None:
    for number in range(1001):
        (folder / f"d{number}").mkdir()


def branching(folder: Path) -> None:
    for first in range(40):
        for second in range(40):
            (folder / f"a{first}" / f"b{second}").mkdir(parents=True)


@pytest.mark.parametrize(
    ("plant", "code"),
    [
        (many, "job.folder-large"),
        (hollow, "job.folder-large"),
        (branching, "job.folder-large"),
        (lambda folder: (folder / "x").symlink_to("/etc"), "job.not-plain"),
        (lambda folder: (folder / "x").symlink_to("main.py"), "job.not-plain"),
        (lambda folder: os.link(folder / "main.py", folder / "y.py"), "job.not-plain"),
        (lambda folder: os.mkfifo(folder / "p"), "job.not-plain"),
        (lambda folder: (folder / "/".join("d" * 12)).mkdir(parents=True), "job.bad-file-name"),
        (lambda folder: (folder / "big").write_bytes(b"x" * (10 * 1024 * 1024 + 1)), "job.file-large"),
    ],
    ids=["files", "folders", "tree", "link", "link inside", "second name", "pipe", "depth", "size"],
)
def test_a_folder_that_is_more_than_a_job(folder: Path, plant: Callable[[Path], object], code: str) -> None:
    plant(folder)
    with pytest.raises(DefinitionError) as caught:
        digest_of(folder)
    assert caught.value.code == code


@pytest.mark.parametrize("target", ["/etc/passwd", "x", "job"])
def test_a_manifest_or_program_that_is_a_link(folder: Path, target: str) -> None:
    for name in ("job.toml", "main.py"):
        (folder / name).rename(folder / "x")
        (folder / name).symlink_to(target)
        assert problems(folder)[0][0] == "job.not-plain"
        (folder / name).unlink()
        (folder / "x").rename(folder / name)
