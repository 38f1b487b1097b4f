from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import sandbox
from sandbox.messages import Language, catalogue


ROOT = Path(sandbox.__file__ or "").parent
SOURCES = [ROOT / "engine.py", *sorted((ROOT / "ingest").glob("*.py"))]
RAISED = sorted({code for path in SOURCES for code in re.findall(r'"(import\.[a-z0-9-]+)"', path.read_text("utf-8"))})
WRITTEN = sorted(code for code in catalogue() if code.startswith("import."))


def test_every_code_that_is_raised_has_a_message_and_no_message_is_dead() -> None:
    assert RAISED == WRITTEN


@pytest.mark.parametrize("code", WRITTEN)
def test_both_languages_say_what_why_and_fix_with_the_same_parameters(code: str) -> None:
    entry = catalogue()[code]
    named = []
    for language in Language:
        parts = entry[language.value]
        assert set(parts) == {"what", "why", "fix"}
        assert all(parts.values())
        named.append({name for text in parts.values() for _, name, _, _ in string.Formatter().parse(text) if name})
    assert named[0] == named[1]
