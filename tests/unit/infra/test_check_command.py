"""The check command runs everything, counts, and ends once."""

from __future__ import annotations

from functools import partial

import pytest

from infra.checks import __main__ as command


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    ran: list[str] = []

    def passing(name: str) -> bool:
        ran.append(name)
        return name != "two"

    monkeypatch.setattr(command, "CHECKS", {name: partial(passing, name) for name in ("one", "two", "three")})
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
