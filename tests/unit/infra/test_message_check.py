"""The catalogue check finds what a person would otherwise meet as a broken message."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from infra.checks import messages


ERROR = {
    "zh": {"what": "第 {line} 行不对。", "why": "因为。", "fix": "改正。"},
    "en": {"what": "Line {line} is wrong.", "why": "Because.", "fix": "Mend it."},
}
PLAIN = {"zh": "你好，{name}", "en": "Hello, {name}"}


def entry_rules(entry: dict[str, Any], code: str = "import.bad-line") -> set[str]:
    return {finding.rule for finding in messages.check_entry("a.toml", code, entry)}


@pytest.mark.parametrize("entry", [ERROR, PLAIN])
def test_good_entry_passes(entry: dict[str, Any]) -> None:
    assert entry_rules(entry) == set()


@pytest.mark.parametrize(
    ("rule", "entry"),
    [
        ("message-parts", {"zh": ERROR["zh"]}),
        ("message-parts", {"zh": "你好", "en": ERROR["en"]}),
        ("message-parts", {"zh": ERROR["zh"], "en": {"what": "Line {line}", "why": "Because."}}),
        ("message-parts", {"zh": "你好", "en": "  "}),
        ("message-params", {"zh": "你好，{name}", "en": "Hello, {nam}"}),
        ("message-params", {"zh": "你好", "en": "Hello, {name}"}),
        ("message-language", {"zh": "hello", "en": "hello"}),
    ],
)
def test_bad_entry_is_found(rule: str, entry: dict[str, Any]) -> None:
    assert rule in entry_rules(entry)


def test_code_has_a_form() -> None:
    assert "message-code" in entry_rules(PLAIN, "import.Bad_Line")


def use_rules(source: str, entries: dict[str, Any]) -> set[str]:
    uses = messages.uses_in("a.py", ast.parse(source))
    return {finding.rule for finding in messages.check_uses(uses, entries)}


@pytest.mark.parametrize(
    ("source", "rules"),
    [
        ('raise DataFileError("import.bad-line", line=3)', set()),
        ('raise errors.DataFileError("import.bad-line", line=3)', set()),
        ('raise DataFileError("import.bad-line", **params)', set()),
        ('raise DataFileError("import.bad-lin", line=3)', {"message-missing"}),
        ('raise DataFileError("import.bad-line", row=3)', {"message-params"}),
        ('raise DataFileError("label.hello", name="x")', {"message-parts"}),
        ('text("label.hello", language, name="x")', set()),
        ('text("label.helo", language, name="x")', {"message-missing"}),
        ('Finding(check="a", version=1, verdict=v, reason="cells.small")', {"message-missing"}),
        ('raise ValueError("a plain sentence.")', set()),
    ],
)
def test_use_against_the_catalogue(source: str, rules: set[str]) -> None:
    assert use_rules(source, {"import.bad-line": ERROR, "label.hello": PLAIN}) == rules


@pytest.mark.parametrize(
    ("source", "other", "unused"),
    [
        ('x = "label.hello"', "", 0),
        ('x = f"label.{name}"', "", 0),
        ('x = f"label.he{name}"', "", 0),
        ('x = f"other.{name}"', "", 1),
        ('x = f"{name}.hello"', "", 1),
        ("x = 1", "<b>{{ text('label.hello') }}</b>", 0),
        ("x = 1", "label.hello-2", 1),
        ("x = 1", "", 1),
    ],
)
def test_entry_that_nothing_names(source: str, other: str, unused: int) -> None:
    patterns = list(messages.mentions_in(ast.parse(source)))
    assert len(list(messages.check_unused({"label.hello": ("a.toml", PLAIN)}, patterns, other))) == unused
