"""What the pages name exists: commands with their options, files, laws with the comment at their place, requirement ids."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from console.app import build


ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}
GLOBAL = {"--home", "--as", "--lang", "--json", "--help"}
CODE = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for package in ("lineage", "sandbox", "desensitize", "jobs", "export_gate", "console")
    for path in (ROOT / package).rglob("*.py")
}


def commands_in(page: str) -> set[str]:
    """Give every ``shuzha …`` that a page tells to type, in fences and in code spans, continued lines joined."""
    joined = PAGES[page].replace("\\\n", " ")
    fenced = re.findall(r"^```sh\n(.*?)^```$", joined, re.DOTALL | re.MULTILINE)
    lines = [line for block in fenced for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", joined)
    return {found for line in lines for found in re.findall(r"(?<![\w/-])shuzha [a-z-](?:(?! #)[^|)])*", line)}


COMMANDS = sorted((page, command) for page in PAGES for command in commands_in(page))


def options_of(command: Any) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_and_its_options_exist(page: str, command: str) -> None:
    words = shlex.split(command.partition(" > ")[0].rstrip(". …"))[1:]
    node: Any = get_command(build())
    while words and not words[0].startswith("-") and hasattr(node, "commands"):
        assert words[0] in node.commands, f"{page}: {command}"
        node = node.commands[words.pop(0)]
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= options_of(node) | GLOBAL, f"{page}: {command}"


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 60


FILES = sorted(
    {(page, name) for page, text in PAGES.items() for name in re.findall(r"`([\w./-]+\.(?:py|toml|go))`", text)}
)
MADE_BY_PEOPLE = {"job.toml", "terms.toml", "people.toml", "visits.toml", "main.py"}


@pytest.mark.parametrize(("page", "name"), FILES)
def test_a_file_that_a_page_names_is_there(page: str, name: str) -> None:
    if name in MADE_BY_PEOPLE:
        return
    assert (ROOT / name).exists() or any(
        path.as_posix().endswith(f"/{name}")
        for folder in ROOT.iterdir()
        if _ours(folder)
        for path in folder.rglob("*.*")
    ), f"{page} names {name}"


def _ours(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith(".")


TESTS = sorted({name for text in PAGES.values() for name in re.findall(r"`(test_\w+)`", text)})


def test_a_test_that_a_page_names_is_there() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in TESTS if f"def {name}(" not in sources] == []


@pytest.mark.parametrize("law", range(1, 11))
def test_a_law_is_named_where_it_is_enforced(law: int) -> None:
    (row,) = re.findall(rf"^\| {law} \| (.*)$", PAGES["docs/architecture.md"], re.MULTILINE)
    enforced, attacked = row.split(" | ")[1:3]
    named = [name for name in CODE if any(f"`{part}" in enforced for part in _tails(name))]
    by_number = re.compile(rf"\blaws? (?:\d+(?:, | and )?)*\b{law}\b")
    assert any(by_number.search(CODE[name]) for name in named), f"no module of law {law} names it"
    assert re.search(r"test_\w+\.py", attacked)


def _tails(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def test_requirement_rows_are_whole() -> None:
    rows = re.findall(r"^\| ([A-Z]\d+) \| (.*)$", PAGES["docs/requirements.md"], re.MULTILINE)
    ids = [row[0] for row in rows]
    assert len(ids) == len(set(ids))
    expected = {"D": 11, "I": 9, "A": 9, "P": 8, "E": 8, "L": 5, "S": 6, "T": 5}
    assert sorted(ids) == sorted(
        f"{letter}{number}" for letter, most in expected.items() for number in range(1, most + 1)
    )
    for identity, cells in rows:
        state = cells.split(" | ")[1]
        assert state in {"met", "partly", "not yet"}, identity
        assert state == "not yet" or ".py`" in cells, f"{identity} names no module"


def test_requirements_that_code_cites_exist() -> None:
    known = set(re.findall(r"^\| ([A-Z]\d+) \|", PAGES["docs/requirements.md"], re.MULTILINE))
    cited = {one for text in CODE.values() for one in re.findall(r"\(([DIAPELST]\d{1,2})[,;)]", text)}
    assert len(cited) > 20
    assert cited <= known
