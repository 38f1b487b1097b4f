"""Dead links and forbidden words are found; what looks like them and is not, passes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra.checks import finding, links, words


PAGE = """# Use of 数闸
## Step two: `run` it!
## Step two: `run` it!
<a id="named"></a>
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(PAGE, encoding="utf-8")
    (tmp_path / "tool.py").write_text("", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "dead"),
    [
        ("[a](docs/page.md)", 0),
        ("[a](docs/page.md#use-of-数闸)", 0),
        ("[a](docs/page.md#step-two-run-it) [b](docs/page.md#step-two-run-it-1)", 0),
        ("[a](docs/page.md#named)", 0),
        ("[a](/docs/page.md) ![pic](tool.py) [c](docs)", 0),
        ("[a](https://example.com/x.md) [m](mailto:a@example.com)", 0),
        ("`[a](gone.md)`", 0),
        ("```\n[a](gone.md)\n```", 0),
        ("[a](gone.md)", 1),
        ("![a](docs/gone.png)", 1),
        ("[a](docs/page.md#step-three)", 1),
        ("[a](docs/page.md#step-two-run-it-2)", 1),
        ("[a](#nothing)", 1),
        ("[a](../outside.md)", 1),
        ('[a](gone.md "title")', 1),
        ("[a]: gone.md", 1),
    ],
)
def test_links(site: Path, line: str, dead: int) -> None:
    page = site / "README.md"
    page.write_text(line + "\n", encoding="utf-8")
    (site.parent / "outside.md").write_text("", encoding="utf-8")
    assert len(list(links.check_page(page, site))) == dead


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("registry-host", "url = https://files." + "python" + "hosted.org/x"),
        ("registry-host", "get it from " + "PyPI" + ".org"),
        ("registry-host", "repo1." + "maven" + ".org"),
        ("machine-place", "see /work/" + "shared/design.md"),
        ("ticket", "fixes issue" + " #3"),
        ("ticket", "see Issue" + " 12"),
    ],
)
def test_forbidden_words(rule: str, line: str) -> None:
    assert [found[1] for found in words.breaches_in(line)] == [rule]


@pytest.mark.parametrize(
    "line",
    [
        "colour #123456",
        "# 3 issues in all",
        "one session, 3 users",
        "PyPI and Maven Central",
        "/workshop",
        "issue date 2026",
    ],
)
def test_innocent_words(line: str) -> None:
    assert list(words.breaches_in(line)) == []


def test_file_that_cannot_be_parsed_is_a_finding(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "good.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "jobs" / "bad.py").write_text("x = 1\nx = (\n", encoding="utf-8")
    sources, findings = finding.parsed_sources(tmp_path)
    assert [source.path for source in sources] == ["jobs/good.py"]
    assert [(found.path, found.rule) for found in findings] == [("jobs/bad.py", "syntax")]


def test_new_files_are_looked_at_and_ignored_ones_are_not(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("secret/\n", encoding="utf-8")
    (tmp_path / "secret").mkdir()
    for name in ("new.txt", "secret/x.txt"):
        (tmp_path / name).write_text("see /work/" + "shared", encoding="utf-8")
    (tmp_path / "picture.bin").write_bytes(b"\0/work/" + b"shared")
    assert [path.name for path in finding.tracked_files(tmp_path)] == [".gitignore", "new.txt", "picture.bin"]
    assert [found.path for found in words.check(tmp_path)] == ["new.txt"]
