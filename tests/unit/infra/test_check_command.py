"""The check command runs everything, counts, and ends once."""

from __future__ import annotations

import pytest

from infra.checks import __main__ as command


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    ran: list[str] = []

    def make(name: str, *, passes: bool) -> None:
        monkeypatch.setitem(checks, name, lambda: bool(ran.append(name)) or passes)

    checks: dict[str, object] = {}
    make("one", passes=True)
    make("two", passes=False)
    make("three", passes=True)
    monkeypatch.setattr(command, "CHECKS", checks)
    return ran


def test_a_failure_does_not_stop_the_rest(ran: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 1
    assert ran == ["one", "two", "three"]
    shown = capsys.readouterr().out
    assert "\033[1m== two\033[0m" in shown
    assert "2 of 3 checks passed" in shown
    assert shown.rstrip().endswith("failed: two")


def test_named_checks_only(ran: list[str]) -> None:
    assert command.main(["three", "one"]) == 0
    assert ran == ["three", "one"]


def test_unknown_name_runs_nothing(ran: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["one", "four"]) == 2
    assert ran == []
    assert "four" in capsys.readouterr().err
