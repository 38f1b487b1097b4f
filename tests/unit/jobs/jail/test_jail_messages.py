"""Every refusal of the jail and the collector has its sentence in both languages, and no sentence lies unused."""

from __future__ import annotations

import re
import string
import tomllib
from pathlib import Path

import pytest

import jobs.jail
import sandbox.messages
from sandbox.messages import Language, catalogue


SOURCES = Path(jobs.jail.__file__).parent
RAISED = re.compile(r'Error\(\s*"((?:jail|outbox)\.[a-z-]+)"((?:,\s*\w+=)?)')


def raised() -> set[str]:
    files = (*SOURCES.rglob("*.py"), SOURCES.parent / "jail_policy.py")
    return {match[1] for path in files for match in RAISED.finditer(path.read_text(encoding="utf-8"))}


def told() -> set[str]:
    entries = tomllib.loads((Path(sandbox.messages.__file__).parent / "jail.toml").read_text(encoding="utf-8"))
    return {code for code in entries if not code.startswith("jail.ending.")}


def test_every_code_is_told_and_every_sentence_is_used() -> None:
    assert raised() == told()


@pytest.mark.parametrize("code", sorted(told()))
def test_both_languages_say_the_same_with_the_same_parameters(code: str) -> None:
    entry = catalogue()[code]
    names = []
    for language in Language:
        assert set(entry[language.value]) == {"what", "why", "fix"}
        whole = " ".join(entry[language.value].values())
        names.append({name for _, name, _, _ in string.Formatter().parse(whole) if name})
    assert names[0] == names[1]
