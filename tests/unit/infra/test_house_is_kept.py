"""The repository itself keeps the house rules."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infra.checks import house, links, messages, words
from infra.checks.finding import Finding


@pytest.mark.parametrize(
    "check", [house.check, messages.check, links.check, words.check], ids=["house", "messages", "links", "words"]
)
def test_no_finding(check: Callable[[], list[Finding]]) -> None:
    assert "\n".join(map(str, check())) == ""
