"""Founding and admitting on the command line: two people, two halves of each token, files that only their owner reads."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from console.main import main
from console.tokens import keep_first, keep_second, keep_token
from lineage.errors import Exit


Typed = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Type a command in a founded domain as somebody; gives the exit code and the answer."""
    monkeypatch.setenv("SHUZHA_LANG", "en")
    monkeypatch.delenv("SHUZHA_TOKEN", raising=False)

    def give(login: str, *words: str) -> tuple[int, dict[str, Any]]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = main([*words, "--home", str(tmp_path / "home"), "--as", login, "--json"])
        text = out.getvalue()
        return code, json.loads(text) if text else {}

    founding = "init --name bureau.example --title Bureau --login li --officer Li --registrar-login he --registrar He"
    assert give("li", *founding.split())[0] == 0
    return give


def admit(typed: Typed, login: str) -> None:
    for words in (
        f"person add {login} --name Wang --organisation insight",
        f"person advance {login} vetted trained active",
        f"person role {login} processor",
        f"person token {login}",
    ):
        assert typed("he", *words.split())[0] == 0
    assert typed("li", "person", "confirm", login, "processor")[0] == 0
    assert typed("li", "person", "token", login)[0] == 0


def test_two_people_found_a_domain_and_admit_a_third(typed: Typed, tmp_path: Path) -> None:
    assert typed("he", "tenant", "add", "insight", "--title", "Insight")[0] == 0
    admit(typed, "wang")
    code, told = typed("wang", "person", "me")
    assert (code, told["roles"]) == (0, ["processor"])
    assert [(one["offered_by"], one["confirmed_by"]) for one in told["tokens"]] == [("He", "Li")]
    tokens = tmp_path / "home" / "tokens"
    assert sorted(path.name for path in tokens.iterdir()) == ["he.token", "li.token", "wang.token"]
    assert {path.stat().st_mode & 0o777 for path in tokens.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("login", "words"),
    [
        ("li", "tenant add insight --title T"),
        ("li", "person add puppet --name P --organisation bureau"),
        ("li", "person role he auditor"),
        ("he", "person confirm li auditor"),
        ("he", "request list"),
        ("he", "export list"),
    ],
)
def test_neither_does_the_others_part(typed: Typed, login: str, words: str) -> None:
    code, told = typed(login, *words.split())
    assert code == int(Exit.NOT_PERMITTED) or told == {"rows": []}


def test_an_officer_does_not_draw_the_first_half(typed: Typed) -> None:
    code, told = typed("li", "person", "token", "he")
    assert (code, told["error"]["code"]) == (int(Exit.DEFINITION), "token.not-offered")


def test_both_logins_at_once_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    founding = "init --name b.example --title B --login li --officer Li --registrar-login li --registrar He"
    assert main([*founding.split(), "--home", str(tmp_path / "other")]) == int(Exit.DEFINITION)
    assert "li" in capsys.readouterr().err
    # Nothing was made that a second try would find in its way.
    assert not (tmp_path / "other").exists()


def test_a_new_half_leaves_the_token_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir()
    whole = keep_token(tmp_path, "wang", "a.b")
    keep_first(tmp_path, "wang", "c")
    assert whole.read_text() == "a.b"
    assert keep_second(tmp_path, "wang", "d") == whole
    assert whole.read_text() == "c.d"
    assert sorted(path.name for path in (tmp_path / "tokens").iterdir()) == ["wang.token"]


def test_a_second_half_alone_stays_a_half(tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir()
    path = keep_second(tmp_path, "wang", "d")
    assert (path.name, path.read_text(), path.stat().st_mode & 0o777) == ("wang.second", "d", 0o600)
